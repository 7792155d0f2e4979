// Apache-2.0. A search of a few seconds, and what its folder must hold whatever happened to it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "data/trace_store.h"
#include "tests/support/run_command.h"

namespace pivotal::testing {

// Six problems, each stored on its own.
inline const std::string kTinySearch = "search --model " + kTinyModel + " --problems " + kTiny +
    "/problems/train.jsonl --limit 6 --samples 8 --confirm 8 --max-new-tokens 64 --group 1 --output ";

inline std::string PairsOf(const std::filesystem::path& run) {
  const auto pairs = run / "all-pairs.jsonl";
  std::filesystem::remove(pairs);
  const auto made =
      Pivotal("pairs --min-confidence 0 " + run.string() + " --output " + pairs.string());
  EXPECT_EQ(made.code, 0) << made.output;
  std::ifstream in(pairs);
  return {std::istreambuf_iterator<char>(in), {}};
}

using StoredQueries = std::map<std::string, data::QueryTrace>;

// What is stored can be read, and holds what was stored before: not lost, not searched again.
inline void CheckStored(const std::filesystem::path& run, StoredQueries& known) {
  const auto traces = data::TraceStore(run).ReadAll();
  EXPECT_GE(traces.size(), known.size());
  for (const auto& trace : traces) {
    const data::QueryTrace& before = known.emplace(trace.id, trace).first->second;
    EXPECT_EQ(before.seconds, trace.seconds) << trace.id << " was searched twice";
    ASSERT_EQ(before.rollouts.size(), trace.rollouts.size()) << trace.id;
    for (std::size_t i = 0; i < trace.rollouts.size(); ++i) {
      EXPECT_EQ(before.rollouts[i].tokens, trace.rollouts[i].tokens);
      EXPECT_EQ(before.rollouts[i].logprobs, trace.rollouts[i].logprobs);
    }
  }
}

// A search that could not write into `run` any more: one line says where, why and how to go on.
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
