// Apache-2.0.
#include "cli/console.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/text.h"

namespace pivotal::cli {
namespace {

std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);

extern "C" void OnStopSignal(int signal) {
  stop_requested = true;
  std::signal(signal, SIG_DFL);  // the next signal ends the process
}

std::string Time(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole >= 3600)
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

std::size_t TerminalWidth(int file_descriptor) {
  winsize size{};
  if (isatty(file_descriptor) == 0) return 0;
  return ioctl(file_descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col : 80;
}

std::size_t HelpWidth() {
  constexpr std::size_t kMost = 100, kLeast = 60;
  const std::size_t terminal = TerminalWidth(STDOUT_FILENO);
  return terminal == 0 ? kMost : std::clamp(terminal, kLeast, kMost);
}

void InstallStopHandler() {
  stop_requested = false;
  std::signal(SIGINT, OnStopSignal);
  std::signal(SIGTERM, OnStopSignal);
}

void ReleaseStopHandler() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

std::string_view FirstLine(std::string_view text) { return text.substr(0, text.find('\n')); }

void PrintStderr(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

void PrintVisible(std::string_view text) { PrintNow(data::Visible(text)); }

void FlushStdout() {
  errno = 0;
  const bool flushed = std::fflush(stdout) == 0;
  if (!flushed || std::ferror(stdout) != 0)
    Fail("standard output: {}", data::ErrnoText(errno != 0 ? errno : EIO));
}

void PrintNow(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size())
    Fail("standard output: {}", data::ErrnoText(errno != 0 ? errno : EIO));
  FlushStdout();
}

void PrintResult(std::string_view text) {
  try {
    PrintNow(text);
  } catch (const Error&) {
    PrintStderr(std::string(text));
    throw;
  }
}

namespace {

class VisibleLine : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& to) override {
    const std::string line =
        "pivotal: " + data::Visible({message.payload.data(), message.payload.size()}) + "\n";
    to.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<VisibleLine>();
  }
};

}  // namespace

void InstallLogger() {
  spdlog::set_default_logger(spdlog::stderr_color_mt("pivotal"));
  spdlog::set_formatter(std::make_unique<VisibleLine>());
}

bool IsTerminal(int file_descriptor) {
  const char* const name = std::getenv("TERM");
  return isatty(file_descriptor) != 0 && (name == nullptr || std::string_view(name) != "dumb");
}

bool UsesColour(int file_descriptor) {
  return IsTerminal(file_descriptor) && std::getenv("NO_COLOR") == nullptr;
}

namespace {

Loudness program_loudness = Loudness::kNormal;

}  // namespace

void SetLoudness(Loudness loudness) {
  program_loudness = loudness;
  spdlog::set_level(loudness == Loudness::kQuiet    ? spdlog::level::warn
                    : loudness == Loudness::kNormal ? spdlog::level::info
                                                    : spdlog::level::debug);
}

ConsoleProgress::ConsoleProgress(bool visible)
    : visible_(visible && program_loudness != Loudness::kQuiet),
      terminal_(IsTerminal(STDERR_FILENO)) {}

void ConsoleProgress::Begin(std::string_view phase, int64_t total, std::string_view unit,
                            int64_t done) {
  phase_ = phase;
  unit_ = unit;
  total_ = total;
  done_ = begin_ = done;
  detail_.clear();
  start_ = shown_ = Clock::now();
  if (terminal_) Show(false);
}

void ConsoleProgress::Update(int64_t done, std::string_view detail) {
  done_ = done;
  detail_ = detail;
  const auto period = std::chrono::milliseconds(terminal_                                ? 100
                                                : program_loudness == Loudness::kVerbose ? 1000
                                                                                         : 10000);
  if (Clock::now() - shown_ >= period) Show(false);
}

void ConsoleProgress::End() { Show(true); }

bool ConsoleProgress::StopRequested() const { return stop_requested; }

void ConsoleProgress::Show(bool last) {
  if (!visible_) return;
  shown_ = Clock::now();
  const double seconds = std::chrono::duration<double>(shown_ - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done_ - begin_) / seconds : 0;
  std::string line = fmt::format("{:<9} ", phase_);
  if (terminal_ && total_ > 0) {
    const auto filled = static_cast<std::size_t>(20 * done_ / total_);
    line += fmt::format("[{:.<20}] ", std::string(filled, '#'));
  }
  line += fmt::format("{}/{} {}, {:.1f}/s, ", done_, total_, unit_, rate);
  line += last ? "took " + Time(seconds)
               : (rate > 0 ? Time(static_cast<double>(total_ - done_) / rate) : "?:??") + " left";
  if (!detail_.empty()) line += ", " + detail_;
  if (terminal_) {
    line.resize(std::min(line.size(), TerminalWidth(STDERR_FILENO) - 1));
    PrintStderr(fmt::format("\r\x1b[K{}{}", line, last ? "\n" : ""));
  } else {
    PrintStderr(line + "\n");
  }
}

}  // namespace pivotal::cli
