// Apache-2.0. One process at a time in a run folder, or several that have agreed to share it.
#pragma once

#include <filesystem>

namespace pivotal::data {

// Holds RUN/lock (flock) while it lives; the system frees it when the process ends, however it ends.
class RunLock {
 public:
  enum class Kind { kAlone, kShared };
  // Throws Error if another process holds the folder, of kShared alone or of kAlone in any way, or it can't be written.
  explicit RunLock(const std::filesystem::path& run, Kind kind = Kind::kAlone);
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
