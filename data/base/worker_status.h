// Apache-2.0. What the processes that work on a run tell those who watch it: a small file for each
// in RUN/status (data/FORMATS.md).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pivotal/progress.h"

namespace pivotal::data {

inline constexpr const char* kStatusFolder = "status";

// Which process it is.
struct ProcessName {
  std::string host;     // name of the machine, for people
  std::string machine;  // the same for processes that see one another in /proc, for no others
  int64_t pid = 0;
  int64_t start = 0;  // when it started, in clock ticks since the machine did; tells pids apart

  // Returns that of this process.
  static ProcessName Own();
};

struct WorkerStatus {
  ProcessName process;
  int64_t rank = 0;                         // among processes that were started together
  double began = 0, written = 0;            // times in seconds since 1970
  std::string phase, unit, part, detail;    // as Progress was told them
  int64_t total = 0, done = 0, before = 0;  // units; `before`: were done when the phase began
  double phase_began = 0;
  std::map<std::string, double> numbers;  // Progress::Tell
};

// How it is with a worker.
enum class WorkerLife {
  kWorks,
  kSilent,  // on another machine; its last sign of life is minutes old
  kGone     // its process has ended and left the file behind
};

// `now`: seconds since 1970.
WorkerLife LifeOf(const WorkerStatus& status, double now);

struct WorkersFound {
  std::vector<WorkerStatus> workers;  // by rank, then by when they began
  std::vector<std::string> faults;    // a line for each file that cannot be read
};
// Reads the files of RUN/status; finds none where there is no such folder.
WorkersFound ReadWorkers(const std::filesystem::path& run);

// Removes RUN/status with what processes left there that were killed. Call it while no other
// process works on the run. What cannot be removed stays.
void RemoveStatus(const std::filesystem::path& run);

// Returns seconds since 1970.
double UnixTime();

// Passes reports on to `shown` and keeps them in a file of RUN/status, which is replaced at most
// once a second (and when a phase begins), as the work reports or asks whether it should stop.
// Nothing that goes wrong with the file stops the work or is told: it is no part of the run. The
// file goes with the object.
class RecordedProgress : public Progress {
 public:
  // Records from when RUN holds the file `settings`, which another process may write: until then
  // that one expects an empty folder.
  RecordedProgress(Progress& shown, const std::filesystem::path& run, std::string_view settings,
                   int64_t rank = 0);
  ~RecordedProgress() override { Close(); }
  RecordedProgress(const RecordedProgress&) = delete;
  RecordedProgress& operator=(const RecordedProgress&) = delete;

  void Begin(std::string_view phase, int64_t total, std::string_view unit, int64_t done) override;
  void Update(int64_t done, std::string_view detail) override;
  void Tell(std::string_view part, std::span<const ProgressNumber> numbers) override;
  void End() override;
  bool StopRequested() const override;

  // Removes the file, and RUN/status if no other process has one there. Reports are only passed on
  // from now on.
  void Close();

 private:
  using Clock = std::chrono::steady_clock;
  // Replaces the file if a second has passed since it was last written, or `now` says so.
  void Record(bool now) const;

  Progress& shown_;
  std::filesystem::path settings_, file_;
  mutable bool made_ = false;  // the folder of `file_`; it is made once alone, as others remove it
  bool closed_ = false;
  mutable WorkerStatus status_;
  mutable Clock::time_point recorded_ = {};
};

}  // namespace pivotal::data
