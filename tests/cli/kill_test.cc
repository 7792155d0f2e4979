// Apache-2.0. A search that is killed at any moment can be resumed and ends with the pairs of an
// undisturbed search. PIVOTAL_KILLS sets how often it is killed (default 30).
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "kernels/philox.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using testing::CheckStored;
using testing::kTinySearch;
using testing::PairsOf;
using testing::Pivotal;
using testing::RunCommand;

TEST(Kill, ARunSurvivesItAtAnyMoment) {
  const int kills = testing::KillCount(30);
  const testing::TempDir temp;
  const fs::path whole = temp.path() / "whole";
  const double whole_seconds = testing::Seconds([&] {
    const auto done = Pivotal(kTinySearch + whole.string());
    ASSERT_EQ(done.code, 0) << done.output;
  });
  const std::string want = PairsOf(whole);
  ASSERT_FALSE(want.empty());

  kernels::RandomStream random(1, kernels::MixStream(0, "kill test"));
  int killed = 0;
  for (int round = 0; killed < kills; ++round) {
    const fs::path run = temp.path() / ("run" + std::to_string(round));
    testing::StoredQueries known;
    for (bool finished = false; !finished;) {
      // A kill falls anywhere from loading to consolidating.
      const double seconds = killed < kills ? whole_seconds * (0.1 + random.Uniform()) : 600;
      const bool started = fs::exists(run / "run.toml");
      if (!started) fs::remove_all(run);  // killed before there was a run
      const std::string arguments = (started ? "search --resume " : kTinySearch) + run.string();
      const auto result = RunCommand(testing::KilledAfter(seconds, arguments));
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

}  // namespace
}  // namespace pivotal
