// Apache-2.0. What an open file is.
#pragma once

#include <sys/stat.h>

#include <filesystem>

namespace pivotal::data {

// True if `path` is still the file that was opened as `file`: not moved, removed or replaced.
inline bool IsStillAt(int file, const std::filesystem::path& path) {
  struct stat held {}, found {};
  return fstat(file, &held) == 0 && stat(path.c_str(), &found) == 0 && held.st_dev == found.st_dev &&
         held.st_ino == found.st_ino;
}

}  // namespace pivotal::data
