// Apache-2.0. What a person sees: progress on stderr, colours, and Ctrl-C.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "data/progress.h"

namespace pivotal::cli {

// From now on the first Ctrl-C (or SIGTERM) asks work to stop; a second one ends the process.
// Called again, it forgets a stop that was asked for.
void InstallStopHandler();
// Ctrl-C (or SIGTERM) ends the process again.
void ReleaseStopHandler();

// Of an error's text: LibTorch appends a C++ stack trace to its messages.
std::string_view FirstLine(std::string_view text);

// Writes to stderr what it takes: a log on a full disk must not end the work that it tells about.
void PrintStderr(const std::string& text);

// True if the stream is a terminal and NO_COLOR is not set.
bool UsesColour(int file_descriptor);

// A bar with rate and time left on a terminal; elsewhere a plain line every ten seconds and at the
// end of a phase. Everything goes to stderr. Not `visible`, it only learns that it should stop.
class ConsoleProgress : public Progress {
 public:
  explicit ConsoleProgress(bool visible = true);
  void Begin(std::string_view phase, int64_t total, std::string_view unit, int64_t done) override;
  void Update(int64_t done, std::string_view detail) override;
  void End() override;
  bool StopRequested() const override;

 private:
  void Show(bool last);

  using Clock = std::chrono::steady_clock;
  bool visible_, terminal_;
  std::string phase_, unit_, detail_;
  int64_t total_ = 0, done_ = 0;
  int64_t begin_ = 0;  // done before the phase began
  Clock::time_point start_, shown_;
};

}  // namespace pivotal::cli
