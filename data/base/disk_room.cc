// Apache-2.0.
#include "data/base/disk_room.h"

#include <fcntl.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"

namespace pivotal::data {

std::optional<int64_t> FreeDiskBytes(const std::filesystem::path& folder) {
  struct statvfs status {};
  if (::statvfs(folder.c_str(), &status) != 0 || status.f_blocks == 0) return std::nullopt;
  return static_cast<int64_t>(status.f_bavail) * static_cast<int64_t>(status.f_frsize);
}

std::optional<int64_t> FreeBytesFor(const std::filesystem::path& output) {
  std::filesystem::path folder = Absolute(output);
  std::error_code ignored;
  while (!std::filesystem::exists(folder, ignored) && folder.has_relative_path())
    folder = folder.parent_path();
  return FreeDiskBytes(folder);
}

void RequireRoom(const std::filesystem::path& output, int64_t bytes) {
  if (const auto free = FreeBytesFor(output); free && *free < bytes)
    Fail("{}: needs {} bytes, but the disk has {} free; make room, or take another disk",
         output.string(), bytes, *free);
}

DiskRoom::DiskRoom(const std::filesystem::path& folder, int64_t bytes) {
  if (bytes <= 0) return;
  Descriptor file(::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (!file) return;
  if (::fallocate(file.get(), 0, 0, static_cast<off_t>(bytes)) == 0)
    file_ = std::move(file);
  else if (errno == ENOSPC || errno == EDQUOT)
    Fail("{}: can't keep {} bytes for the result: {}; make room, or take another disk",
         folder.string(), bytes, ErrnoText(errno));
}

}  // namespace pivotal::data
