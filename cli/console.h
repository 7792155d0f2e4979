// Apache-2.0. The terminal: progress on stderr, colours, and Ctrl-C.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "pivotal/progress.h"

namespace pivotal::cli {

// Makes the first Ctrl-C (or SIGTERM) request a stop and the second one end the process. Clears an
// earlier request.
void InstallStopHandler();
// Makes Ctrl-C (or SIGTERM) end the process, as by default.
void ReleaseStopHandler();

// Returns the first line of a text. LibTorch appends a C++ stack trace to its messages.
std::string_view FirstLine(std::string_view text);

// Writes to stderr and ignores failures: a log on a full disk must not end the work.
void PrintStderr(const std::string& text);

// Writes lines to stdout that hold texts of a file: control characters in them are shown, not
// obeyed.
void PrintVisible(std::string_view text);

// Throws Error if something that was written to stdout did not arrive.
void FlushStdout();

// Writes to stdout at once. Throws Error if that fails.
void PrintNow(std::string_view text);

// Writes a result to stdout. If that fails, nothing is lost: writes it to stderr and throws Error.
void PrintResult(std::string_view text);

// Makes spdlog write to stderr, each line after "pivotal: ", with control characters shown.
void InstallLogger();

// Returns true if the stream is a terminal that obeys escape sequences: TERM is not "dumb".
bool IsTerminal(int file_descriptor);
// Returns true if it is one, and NO_COLOR is not set.
bool UsesColour(int file_descriptor);

// How much the program says on stderr.
enum class Loudness : uint8_t {
  kQuiet,    // warnings and errors
  kNormal,   // progress and notes, too
  kVerbose,  // and what is loaded and chosen; progress of a log has a line every second
};
// Sets it for the logger and for every ConsoleProgress that is made later.
void SetLoudness(Loudness loudness);

// Returns the number of columns of the terminal that the stream is; 0 if it is none.
std::size_t TerminalWidth(int file_descriptor);

// Returns the width of help texts: the terminal's, but at most 100 columns; 100 elsewhere.
std::size_t HelpWidth();

// Shows progress on stderr: a bar with rate and remaining time on a terminal, otherwise a plain
// line every ten seconds and at the end of a phase. If it is not `visible`, it shows nothing and
// only passes on stop requests.
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
  int64_t begin_ = 0;  // value of `done_` when the phase began
  Clock::time_point start_, shown_;
};

}  // namespace pivotal::cli
