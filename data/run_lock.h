// Apache-2.0. One process at a time in a run folder.
#pragma once

#include <filesystem>

namespace pivotal::data {

// Holds RUN/lock (flock) while it lives; the system frees it when the process ends, however it ends.
class RunLock {
 public:
  // Throws Error if another process holds the folder, or it can't be written.
  explicit RunLock(const std::filesystem::path& run);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  // Throws Error unless RUN is still the folder that was locked: not moved, removed or replaced. Before
  // each write into it.
  void Check() const;

 private:
  std::filesystem::path path_;
  int file_;
};

}  // namespace pivotal::data
