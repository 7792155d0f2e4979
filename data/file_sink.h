// Apache-2.0. Files that are either whole or absent.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace pivotal::data {

// Writes `path` aside (path + ".tmp"), syncs it, renames it over `path`. The body fills the file
// through Write(). On any error the old file stays, the partial one is removed, and Error names the
// file and the cause ("no space left on device").
class FileSink {
 public:
  explicit FileSink(std::filesystem::path path);
  ~FileSink();  // removes the partial file unless Commit() ran
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;

  void Write(std::string_view bytes);
  void Write(const void* bytes, std::size_t size);
  void Commit();

 private:
  void Flush();

  std::filesystem::path path_, partial_;
  std::string buffer_;
  int fd_ = -1;
};

// Replaces `path` by a file that `fill` writes at the path it is given, e.g. through a library that
// opens files itself (HDF5). Synced and renamed as above.
void WriteAside(const std::filesystem::path& path,
                const std::function<void(const std::filesystem::path& partial)>& fill);

// Creates `folder` for a command's output. Throws Error if it exists and is not empty ("choose
// another --output or remove it"), or cannot be made.
void CreateOutputFolder(const std::filesystem::path& folder);

// Throws Error if `path`, a command's output file, exists.
void RequireAbsent(const std::filesystem::path& path);

// Whole file as text; Error names it if it can't be read, or is larger than 1 GiB.
std::string ReadFile(const std::filesystem::path& path);

// SHA-256 as 64 hex digits; of a file from byte `begin` on.
std::string Sha256OfText(std::string_view text);
std::string Sha256OfFile(const std::filesystem::path& path, std::size_t begin = 0);

// The system's text for an errno value, e.g. "no space left on device".
std::string ErrnoText(int error);

}  // namespace pivotal::data
