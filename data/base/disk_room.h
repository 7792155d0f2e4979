// Apache-2.0. Room on a disk: how much is free, and keeping some for later.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "data/base/descriptor.h"

namespace pivotal::data {

// Returns the bytes that the user may still write into the file system of `folder`, which must
// exist. Returns nothing where the file system does not tell (some network mounts).
std::optional<int64_t> FreeDiskBytes(const std::filesystem::path& folder);

// Throws Error if the disk has no room for `bytes` in the folder `output`, which need not exist.
void RequireRoom(const std::filesystem::path& output, int64_t bytes);

// Returns FreeDiskBytes() of the folder `output`, or of the next one above it that exists.
std::optional<int64_t> FreeBytesFor(const std::filesystem::path& output);

// Keeps `bytes` of the file system of `folder`, so that no other program can take them: in a file
// without a name, which the system removes when the process ends, even if it was killed. Keeps
// nothing where the file system has no such files (NFS). The constructor throws Error if the disk
// is too full, or the user's quota too small.
class DiskRoom {
 public:
  DiskRoom() = default;
  DiskRoom(const std::filesystem::path& folder, int64_t bytes);

  // Gives the bytes back: call it before they are needed.
  void Release() { file_.Reset(); }

 private:
  Descriptor file_;
};

}  // namespace pivotal::data
