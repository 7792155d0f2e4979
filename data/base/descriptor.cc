// Apache-2.0.
#include "data/base/descriptor.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "data/base/error.h"
#include "data/base/file_sink.h"

namespace pivotal::data {

Descriptor OpenFile(const std::filesystem::path& path, int flags) {
  Descriptor file(::open(path.c_str(), flags | O_CLOEXEC, 0644));
  if (!file) Fail("{}: {}", path.string(), ErrnoText(errno));
  return file;
}

bool IsStillAt(const Descriptor& file, const std::filesystem::path& path) {
  struct stat held {
  }, found{};
  return ::fstat(file.get(), &held) == 0 && ::stat(path.c_str(), &found) == 0 &&
         held.st_dev == found.st_dev && held.st_ino == found.st_ino;
}

}  // namespace pivotal::data
