// Apache-2.0.
#include "data/base/folders.h"

#include <string_view>
#include <system_error>

#include "data/base/error.h"
#include "data/base/file_sink.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;

void RequireDone(const std::error_code& error, const fs::path& path, std::string_view what) {
  if (!error) return;
  const bool denied = error == std::errc::permission_denied ||
                      error == std::errc::operation_not_permitted ||
                      error == std::errc::read_only_file_system;
  Fail("{}: can't {}: {}{}", path.string(), what, ErrnoText(error.value()),
       denied ? "; get the right to it, or take another folder" : "");
}

fs::file_status StatusOf(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::status_known(status)) RequireDone(error, path, "tell whether it is there");
  return status;
}

// Returns the paths of the entries that `iterator` visits and `wanted` accepts.
template <typename Iterator, typename Wanted>
std::vector<fs::path> Visit(const fs::path& folder, const Wanted& wanted) {
  std::vector<fs::path> paths;
  std::error_code error;
  Iterator entry(folder, error);
  for (; !error && entry != Iterator(); entry.increment(error))
    if (wanted(entry->path())) paths.push_back(entry->path());
  RequireDone(error, folder, "read the folder");
  return paths;
}

}  // namespace

bool Exists(const fs::path& path) {
  const fs::file_status status = StatusOf(path);
  return fs::exists(status);
}

bool IsFolder(const fs::path& path) {
  const fs::file_status status = StatusOf(path);
  return fs::is_directory(status);
}

bool IsThere(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

uint64_t FileSize(const fs::path& file) {
  std::error_code error;
  const uint64_t size = fs::file_size(file, error);
  RequireDone(error, file, "tell its size");
  return size;
}

fs::path Absolute(const fs::path& path) {
  std::error_code error;
  fs::path whole = fs::absolute(path, error);
  RequireDone(error, path, "find its place (is the present folder gone?)");
  return whole;
}

std::vector<fs::path> PathsIn(const fs::path& folder) {
  return Visit<fs::directory_iterator>(folder, [](const fs::path&) { return true; });
}

std::vector<fs::path> FilesUnder(const fs::path& folder) {
  return Visit<fs::recursive_directory_iterator>(folder, [](const fs::path& path) {
    const fs::file_status status = StatusOf(path);
    return fs::is_regular_file(status);
  });
}

void CreateFolders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  RequireDone(error, folder, "create the folder");
}

void RemoveAll(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  RequireDone(error, path, "remove it");
}

void Rename(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  RequireDone(error, from, "rename it to " + to.string());
}

}  // namespace pivotal::data
