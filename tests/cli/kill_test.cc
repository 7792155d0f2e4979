// Apache-2.0. A search that is killed at any moment goes on, and ends with the pairs of one that never
// was. PIVOTAL_KILLS sets how often it is killed (30).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "data/trace_store.h"
#include "kernels/philox.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using testing::Pivotal;
using testing::RunCommand;

const std::string kSettings = " --model " + testing::kTinyModel + " --problems " + testing::kTiny +
    "/problems/train.jsonl --limit 6 --samples 8 --confirm 8 --max-new-tokens 64 --group 1 ";

std::string PairsOf(const fs::path& run) {
  const auto made = Pivotal("pairs --min-confidence 0 " + run.string());
  EXPECT_EQ(made.code, 0) << made.output;
  std::ifstream in(run / "pairs.jsonl");
  return {std::istreambuf_iterator<char>(in), {}};
}

// What is stored can be read, and holds what was stored before, bit by bit.
void CheckStored(const fs::path& run, std::map<std::string, std::vector<data::RolloutTrace>>& known) {
  const auto traces = data::TraceStore(run).ReadAll();
  EXPECT_GE(traces.size(), known.size());
  for (const auto& trace : traces) {
    const auto [at, fresh] = known.emplace(trace.id, trace.rollouts);
    ASSERT_EQ(at->second.size(), trace.rollouts.size()) << trace.id;
    for (std::size_t i = 0; i < trace.rollouts.size(); ++i) {
      EXPECT_EQ(at->second[i].tokens, trace.rollouts[i].tokens);
      EXPECT_EQ(at->second[i].logprobs, trace.rollouts[i].logprobs);
    }
  }
}

TEST(Kill, ARunSurvivesItAtAnyMoment) {
  const char* set = std::getenv("PIVOTAL_KILLS");
  const int32_t kills = set == nullptr ? 30 : std::atoi(set);
  const testing::TempDir temp;
  const fs::path whole = temp.path() / "whole";
  const auto done = Pivotal("search" + kSettings + "--output " + whole.string());
  ASSERT_EQ(done.code, 0) << done.output;
  const std::string want = PairsOf(whole);
  ASSERT_FALSE(want.empty());

  kernels::RandomStream random(1, kernels::MixStream(0, "kill test"));
  int32_t killed = 0;
  for (int32_t round = 0; killed < kills; ++round) {
    const fs::path run = temp.path() / ("run" + std::to_string(round));
    std::map<std::string, std::vector<data::RolloutTrace>> known;
    for (bool finished = false; !finished;) {
      // The later of two kills of a round falls anywhere from loading to consolidating.
      const double seconds = killed < kills ? 0.1 + 3 * random.Uniform() : 600;
      const bool started = fs::exists(run / "run.toml");
      if (!started) fs::remove_all(run);  // killed before there was a run
      const std::string arguments = started ? "search --resume " + run.string()
                                            : "search" + kSettings + "--output " + run.string();
      const auto result = RunCommand("timeout -s KILL " + std::to_string(seconds) + " " +
                                     PIVOTAL_BINARY + " " + arguments);
      finished = result.code == 0;
      killed += !finished;
      if (!finished) {
        ASSERT_EQ(result.code, 137) << result.output;
      }
      if (fs::exists(run / "run.toml")) CheckStored(run, known);
    }
    EXPECT_EQ(PairsOf(run), want) << "round " << round;
    EXPECT_FALSE(fs::exists(run / "shards"));
    fs::remove_all(run);
  }
}

TEST(Kill, ASecondProcessIsRefused) {
  const testing::TempDir temp;
  const std::string run = (temp.path() / "run").string();
  ASSERT_EQ(Pivotal("search" + kSettings + "--output " + run).code, 0);
  const auto result = RunCommand("flock " + run + "/lock " PIVOTAL_BINARY " search --resume " + run);
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.output, ::testing::HasSubstr("another process is at work in this run"));
}

}  // namespace
}  // namespace pivotal
