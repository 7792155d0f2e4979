// Apache-2.0. The lines that a terminal shows, and the addresses that the server answers to.
#include "experiments/watch/state_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "experiments/watch/watch_server.h"
#include "pivotal/error.h"

namespace pivotal::experiments {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::size_t Columns(const std::string& line) {
  std::size_t columns = 0;
  for (const char c : line) columns += (c & 0xC0) != 0x80;
  return columns;
}

std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

RunState Sample() {
  RunState state;
  state.run = "runs/one";
  state.condition = RunCondition::kWorking;
  SearchState& s = state.search.emplace();
  s.model = "models/phi";
  s.strategy = "pairs";
  s.problems = 1200;
  s.stored = 600;
  s.searched = 500;
  s.skipped = 100;
  s.pairs = 321;
  s.pair_cost = 1234.4;
  s.next_pair_cost = 20000;
  s.group_problems = 64;
  s.tokens = 1234567;
  s.budget_tokens = 2000000;
  s.seconds_left = 3725;
  s.ends_by = "tokens";
  for (int i = 1; i <= 200; ++i) s.curve.push_back({i * 100, i, 100.0 + i});
  WorkerState& worker = state.workers.emplace_back();
  worker.status.process = {"host", "m", 42, 1};
  worker.status.part = "problems a to b";
  return state;
}

TEST(StateLines, SaysWhatIsKnown) {
  const std::string text = Joined(StateLines(Sample(), {.width = 200}));
  for (const char* part :
       {"runs/one: search with models/phi, strategy pairs", "[##########..........] 600 of 1,200",
        "64 more in hand (0 of them done)", "about 1:02:05 left (the limit of tokens ends it)",
        "500 searched, 100 skipped", "321 confirmed, 1,234 tokens each, the next for about 20,000",
        "1,234,567 of 2,000,000 tokens", "host:42: problems a to b", "101 to 300 tokens"})
    EXPECT_THAT(text, HasSubstr(part));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(StateLines, FitIntoAnyWidth) {
  RunState state = Sample();
  state.run = "/a/very/long/path/without/any/blank/in/it/so/that/it/has/to/be/cut/somewhere";
  const auto letters = [](const std::string& text) {
    std::string kept;
    for (const char c : text)
      if (c != ' ' && c != '\n') kept += c;
    return kept;
  };
  state.search->curve.clear();
  const std::string whole = letters(Joined(StateLines(state, {.width = 500})));
  for (const std::size_t width : {20u, 30u, 40u, 59u}) {
    const auto lines = StateLines(state, {.width = width});
    for (const std::string& line : lines) EXPECT_LE(Columns(line), width) << line;
    std::string text = letters(Joined(lines));
    text.replace(text.find("[#####.....]"), 12, "[##########..........]");
    EXPECT_EQ(text, whole) << "lines are broken, nothing is left out";
  }
}

TEST(StateLines, TextsOfFilesCannotMoveTheCursor) {
  RunState state = Sample();
  state.workers[0].status.part = "problem \x1b[2Jx\r\ny";
  state.faults = {"bad\x1b[31m\nfile"};
  const auto lines = StateLines(state, {.width = 80});
  for (const std::string& line : lines) {
    EXPECT_THAT(line, Not(HasSubstr("\x1b")));
    EXPECT_THAT(line, Not(HasSubstr("\n")));
    EXPECT_THAT(line, Not(HasSubstr("\r")));
  }
  EXPECT_THAT(Joined(StateLines(state, {.width = 80, .colour = true})),
              HasSubstr("\x1b[32mworking\x1b[0m"));
}

TEST(StateLines, AsciiWhereTheLocaleIsNotUtf8) {
  for (const std::string& line : StateLines(Sample(), {.width = 80, .utf8 = false}))
    for (const char c : line) EXPECT_GE(c, ' ');
}

TEST(StateLines, UnknownNumbersAreLeftOut) {
  RunState state;
  state.condition = RunCondition::kWorking;
  TrainingState& t = state.training.emplace();
  const double none = std::nan("");
  t.loss = 0.5;
  t.margin = t.accuracy = t.grad_norm = t.learning_rate = t.held_out = t.best = none;
  const std::string text = Joined(StateLines(state, {.width = 80}));
  EXPECT_THAT(text, HasSubstr("0 of ?"));
  EXPECT_THAT(text, HasSubstr("loss       0.5"));
  EXPECT_THAT(text, Not(HasSubstr("nan")));
  EXPECT_THAT(text, Not(HasSubstr("margin")));
}

TEST(Sparkline, ShowsLowAndHigh) {
  EXPECT_EQ(Sparkline({0, 1, 2, 3, 4, 5, 6, 7}, 8, true), "▁▂▃▄▅▆▇█");
  EXPECT_EQ(Sparkline({7, 0}, 8, false), "#_");
  EXPECT_EQ(Sparkline({0, 0, 4, 4, 8, 8}, 3, true), "▁▅█");
  EXPECT_EQ(Columns(Sparkline(std::vector<double>(1000, 3.0), 60, true)), 60u);
  EXPECT_EQ(Sparkline({}, 8, true), "");
}

TEST(WatchServer, KnowsItsOwnNames) {
  for (const char* host : {"localhost", "localhost:8080", "127.0.0.1:1", "LocalHost:65535"})
    EXPECT_TRUE(IsOwnHost(host)) << host;
  for (const char* host :
       {"", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "localhost:80:80",
        "localhost:x", "[::1]", "127.0.0.1@evil.example", "localhost ", ":80", "127.0.0.2"})
    EXPECT_FALSE(IsOwnHost(host)) << host;
}

TEST(WatchServer, APortThatIsTakenIsAnError) {
  WatchServer first(0, [] { return std::string(); });
  ASSERT_NE(first.port(), 0);
  try {
    WatchServer second(first.port(), [] { return std::string(); });
    FAIL() << "two servers have one port";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("take another port"));
  }
}

TEST(WatchPage, HoldsEverything) {
  const std::string page = WatchPage();
  EXPECT_THAT(page, Not(HasSubstr("/*@")));
  EXPECT_THAT(page, Not(HasSubstr("src=")));
  EXPECT_THAT(page, Not(HasSubstr("https://")));
}

}  // namespace
}  // namespace pivotal::experiments
