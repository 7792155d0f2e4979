// Apache-2.0. pivotal watch
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "cli/checks.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"
#include "data/base/error.h"
#include "data/base/json_input.h"
#include "experiments/watch/run_state.h"
#include "experiments/watch/state_text.h"
#include "experiments/watch/watch_server.h"

namespace pivotal::cli {
namespace {

using experiments::RunCondition;
using experiments::RunState;
using Clock = std::chrono::steady_clock;

struct WatchFlags {
  std::filesystem::path run;
  bool once = false, json = false;
  double interval = 0;  // 0: chosen by where the text goes
  std::optional<uint16_t> port;
};

std::string JsonText(const RunState& state) { return data::JsonLine(StateJson(state)); }

// Returns true if the locale writes UTF-8, by the variables that decide it, in their order.
bool WritesUtf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view text = value;
    return text.find("UTF-8") != std::string_view::npos ||
           text.find("utf8") != std::string_view::npos ||
           text.find("UTF8") != std::string_view::npos ||
           text.find("utf-8") != std::string_view::npos;
  }
  return false;
}

winsize WindowSize() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) size = {};
  return size;
}

experiments::StateStyle StyleOfStdout() {
  const std::size_t width = TerminalWidth(STDOUT_FILENO);
  return {
      .width = width == 0 ? 100 : width, .colour = UsesColour(STDOUT_FILENO), .utf8 = WritesUtf8()};
}

std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

// Shows states in the same place of a terminal.
class Screen {
 public:
  void Show(const RunState& state) {
    const winsize size = WindowSize();
    auto lines = StateLines(state, StyleOfStdout());
    const std::size_t rows = size.ws_row >= 4 ? size.ws_row - 1u : 23u;
    if (lines.size() > rows) {
      const std::size_t more = lines.size() - rows + 1;
      lines.resize(rows - 1);
      lines.push_back(fmt::format("... {} more lines in a higher window", more));
    }
    std::string text = shown_ > 0 ? fmt::format("\x1b[{}A\r", shown_) : "";
    for (const std::string& line : lines) text += line + "\x1b[K\n";
    PrintNow(text + "\x1b[J");
    shown_ = lines.size();
  }

 private:
  std::size_t shown_ = 0;  // lines above the cursor
};

// Sleeps until `end`. Returns false as soon as somebody asks to stop.
bool SleepUntil(Clock::time_point end, const Progress& stop) {
  while (!stop.StopRequested()) {
    const auto left = end - Clock::now();
    if (left <= Clock::duration::zero()) return true;
    std::this_thread::sleep_for(std::min<Clock::duration>(left, std::chrono::milliseconds(100)));
  }
  return false;
}

// Shows the run until it is finished or stopped, or somebody presses Ctrl-C.
void Follow(experiments::RunFollower& follower, const WatchFlags& flags, const Progress& stop) {
  const bool redraws = IsTerminal(STDOUT_FILENO);
  const auto every = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(flags.interval > 0 ? flags.interval
                                    : redraws          ? 1
                                                       : 30));
  // The end is noticed sooner than the next text is due.
  const auto poll = std::min<Clock::duration>(every, std::chrono::seconds(2));
  Screen screen;
  Clock::time_point due = Clock::now();
  bool doubted = false;  // a process that begins may not have told of itself yet
  for (;;) {
    const RunState state = follower.Look();
    if (state.condition == RunCondition::kStopped && !std::exchange(doubted, true)) {
      if (!SleepUntil(Clock::now() + std::chrono::seconds(1), stop)) return;
      continue;
    }
    doubted = doubted && state.condition == RunCondition::kStopped;
    const bool ends =
        state.condition == RunCondition::kFinished || state.condition == RunCondition::kStopped;
    if (redraws) {
      screen.Show(state);
    } else if (ends || Clock::now() >= due) {
      PrintNow(Joined(StateLines(state, StyleOfStdout())) + (ends ? "" : "\n"));
      due = Clock::now() + every;
    }
    if (state.condition == RunCondition::kFinished) return;
    if (state.condition == RunCondition::kStopped)
      Fail("{}: {}", flags.run.string(), state.message);
    if (!SleepUntil(Clock::now() + poll, stop)) return;
  }
}

void Serve(experiments::RunFollower& follower, const WatchFlags& flags, const Progress& stop) {
  // Several pages that are open at once cost one look.
  std::string text;
  Clock::time_point looked = {};
  experiments::WatchServer server(*flags.port, [&] {
    if (text.empty() || Clock::now() - looked >= std::chrono::milliseconds(500)) {
      text = JsonText(follower.Look());
      looked = Clock::now();
    }
    return text;
  });
  PrintNow(fmt::format("{} is shown at http://127.0.0.1:{}/ on this machine; Ctrl-C ends that\n",
                       flags.run.string(), server.port()));
  server.Run([&] { return stop.StopRequested(); });
}

void RunWatch(const WatchFlags& flags) {
  experiments::RunFollower follower(flags.run);
  const ConsoleProgress stop(/*visible=*/false);
  if (flags.port) {
    Serve(follower, flags, stop);
  } else if (flags.once || flags.json) {
    const RunState state = follower.Look();
    PrintNow(flags.json ? JsonText(state) : Joined(StateLines(state, StyleOfStdout())));
  } else {
    Follow(follower, flags, stop);
  }
}

}  // namespace

void AddWatch(CLI::App& app) {
  auto* sub = app.add_subcommand("watch", "Show how a search or a training gets on while it runs");
  auto flags = std::make_shared<WatchFlags>();
  sub->add_option("run", flags->run, "folder of the search or training; it is only read")
      ->required();
  auto* once = sub->add_flag("--once", flags->once,
                             "show the state once and end with exit code 0; without it, watch ends "
                             "with 0 when the run is finished, with 1 when it has stopped before");
  auto* json =
      sub->add_flag("--json", flags->json, "print the state once as a JSON object, for programs");
  auto* interval =
      sub->add_option(
             "--interval", flags->interval,
             "seconds between two looks (default: 1 on a terminal, where the text is drawn "
             "anew in its place; else 30)")
          ->check(Interval("[0.1, 86400]"))
          ->excludes(once)
          ->excludes(json);
  sub->add_option(
         "--serve", flags->port,
         "show the state as a page of curves, for browsers on this machine: on this port of "
         "127.0.0.1, until Ctrl-C; 0: any free port, which is printed")
      ->check(Whole(0, 65535))
      ->excludes(once)
      ->excludes(json)
      ->excludes(interval);
  SetHelp(*sub, {"RUN [OPTIONS]",
                 {"--once", "--json", "--interval", "--serve"},
                 {{"follow a search or a training in this terminal", "watch run"},
                  {"show its curves in a browser", "watch run --serve 8080"}},
                 "docs/search.md"});
  sub->callback([flags] { RunWatch(*flags); });
}

}  // namespace pivotal::cli
