// Apache-2.0. The lock of a run folder: one process at a time, or several that agree to share it.
#pragma once

#include <filesystem>

#include "data/base/descriptor.h"

namespace pivotal::data {

// Holds a lock (flock) on the file RUN/lock. The system releases it when the process ends, even if
// it was killed.
class RunLock {
 public:
  enum class Kind { kAlone, kShared };
  // Throws Error if the folder can't be written, or another process holds a lock that excludes this
  // one. Only locks that are all kShared can be held at the same time.
  explicit RunLock(const std::filesystem::path& run, Kind kind = Kind::kAlone);

  // Throws Error if the run folder was moved, removed or replaced since it was locked. Call it
  // before each write into the folder.
  void Check() const;

 private:
  std::filesystem::path path_;
  Descriptor file_;
};

// Makes the file `path` and locks it (flock) as long as the descriptor is open. If another process
// holds the lock, LockFile waits, and TryLockFile returns an empty descriptor. Whoever holds it may
// remove the file. Throw Error if the file can't be made or locked.
Descriptor LockFile(const std::filesystem::path& path);
Descriptor TryLockFile(const std::filesystem::path& path);

}  // namespace pivotal::data
