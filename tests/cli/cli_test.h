// Apache-2.0. What the tests of the program share: a temporary folder, a small search, pairs to
// train on, and what a run folder must hold whatever happened to its search.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "data/base/file_sink.h"
#include "data/traces/trace_store.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::testing {

// A test with a temporary folder.
class CliTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return (temp_.path() / name).string(); }

  TempDir temp_;
};

// Returns the arguments of a search of the first `problems` problems of the tiny example, `group`
// at a time, with `samples` rollouts for each estimate and each side of a pair. The output folder
// must follow.
inline std::string SearchArguments(int problems, int samples, int group) {
  return fmt::format(
      "search --model {0} --problems {1}/problems/train.jsonl --limit {2} --samples {3} "
      "--confirm {3} --max-new-tokens 64 --group {4} --output ",
      kTinyModel, kTiny, problems, samples, group);
}

// Returns a setting of a run or of a training, as TOML; "" if there is none.
inline std::string SettingOf(const std::filesystem::path& run, const std::string& key) {
  const auto file = run / (std::filesystem::exists(run / "run.toml") ? "run.toml" : "train.toml");
  const std::string text = data::ReadFile(file), name = "\n" + key + " = ";
  const auto begin = text.find(name);
  if (begin == std::string::npos) return "";
  const auto value = begin + name.size();
  return text.substr(value, text.find('\n', value) - value);
}

// A search of a few seconds that stores each of its six problems in a shard of its own.
inline const std::string kTinySearch = SearchArguments(6, 8, 1);

// Returns the objects of a file of JSON lines.
inline std::vector<nlohmann::json> JsonLines(const std::filesystem::path& path) {
  std::vector<nlohmann::json> lines;
  std::istringstream in(data::ReadFile(path));
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

// Returns one line of a file of pairs. Lines with other numbers have other prompts.
inline std::string PairLine(int number, const std::string& chosen, const std::string& rejected) {
  const std::string prompt = fmt::format("Question: {} boxes of 14 pens\nAnswer: ", number);
  return nlohmann::json{{"id", std::to_string(number)},
                        {"prompt", prompt},
                        {"chosen", chosen},
                        {"rejected", rejected}}
             .dump() +
         "\n";
}

// Returns pairs whose chosen side is a product, for the numbers 2 to `last`.
inline std::string ProductPairs(int last) {
  std::string lines;
  for (int i = 2; i <= last; ++i)
    lines += PairLine(i, fmt::format("14*{}", i), fmt::format("14+{}", i));
  return lines;
}

// Returns how often a test kills the program: the environment variable PIVOTAL_KILLS, or
// `standard`.
inline int KillCount(int standard) {
  const char* set = std::getenv("PIVOTAL_KILLS");
  return set == nullptr ? standard : std::atoi(set);
}

// Runs the program and sends it a signal ("KILL", "INT") as soon as `file` exists.
inline CommandResult PivotalUntil(const std::filesystem::path& file, const std::string& signal,
                                  const std::string& arguments) {
  return RunCommand(fmt::format(
      "{} {} 2>&1 & PID=$!; until [ -e {} ]; do kill -0 $PID || break; sleep 0.02; done; "
      "kill -s {} $PID; wait $PID",
      PIVOTAL_BINARY, arguments, file.string(), signal));
}

// Returns the seconds that `call` takes.
template <typename Call>
double Seconds(Call&& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Returns a command that runs the program and kills it after this many seconds.
inline std::string KilledAfter(double seconds, const std::string& arguments) {
  return fmt::format("timeout -s KILL {} {} {}", seconds, PIVOTAL_BINARY, arguments);
}

// Returns all pairs of a run, as the file that `pivotal pairs` writes.
inline std::string PairsOf(const std::filesystem::path& run) {
  const auto pairs = run / "all-pairs.jsonl";
  std::filesystem::remove(pairs);
  const auto made =
      Pivotal("pairs --min-confidence 0 " + run.string() + " --output " + pairs.string());
  EXPECT_EQ(made.code, 0) << made.output;
  return data::ReadFile(pairs);
}

// The queries that a run folder holds, by id.
using StoredQueries = std::map<std::string, QueryTrace>;

// Checks that the stored traces can be read and contain the `known` ones unchanged: no query was
// lost or searched again. Adds all stored queries to `known`.
inline void CheckStored(const std::filesystem::path& run, StoredQueries& known) {
  const auto traces = data::TraceStore(run).ReadAll();
  EXPECT_GE(traces.size(), known.size());
  for (const auto& trace : traces) {
    const QueryTrace& before = known.emplace(trace.id, trace).first->second;
    EXPECT_EQ(before.seconds, trace.seconds) << trace.id << " was searched twice";
    ASSERT_EQ(before.rollouts.size(), trace.rollouts.size()) << trace.id;
    for (std::size_t i = 0; i < trace.rollouts.size(); ++i) {
      EXPECT_EQ(before.rollouts[i].tokens, trace.rollouts[i].tokens);
      EXPECT_EQ(before.rollouts[i].logprobs, trace.rollouts[i].logprobs);
    }
  }
}

// Checks a search that failed because it could not write into `run`: one line names the folder, the
// cause and the command that continues the search.
inline void ExpectExplained(const CommandResult& search, const std::filesystem::path& run,
                            const std::string& cause) {
  using ::testing::HasSubstr;
  EXPECT_EQ(search.code, 1);
  EXPECT_THAT(search.output.substr(search.output.find("pivotal: ")),
              AllOf(::testing::StartsWith("pivotal: " + run.string()), HasSubstr(cause),
                    ::testing::EndsWith("pivotal search --resume " + run.string() +
                                        " goes on from what is stored\n"),
                    ::testing::ContainsRegex("^[^\n]*\n$")));
}

}  // namespace pivotal::testing
