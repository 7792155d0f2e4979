// Apache-2.0.
#include "experiments/ablation/power.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/experiments/ablation/crossed_world.h"

namespace pivotal::experiments {
namespace {

// statsmodels 0.15.0: TTestPower().solve_power(nobs=n, alpha=level, power=0.8)
TEST(SmallestChange, OfOneSeedIsThatOfATTest) {
  const CellVariance variance{9, 0.75, 0.25};  // of seeds, which one seed does not count
  EXPECT_NEAR(SmallestChange(variance, 1, 20, 0.05), 0.66044, 0.01);
  EXPECT_NEAR(SmallestChange(variance, 1, 20, 0.005), 0.91157, 0.01);
  EXPECT_NEAR(SmallestChange(variance, 1, 100, 0.05), 0.28291, 0.005);
  EXPECT_NEAR(SmallestChange(variance, 1, 100, 0.005), 0.37230, 0.005);
}

// The test finds the smallest change in about 80% of simulated experiments, by itself and as one of
// eleven changes of which ten are none.
TEST(SmallestChange, IsFoundAsOftenAsItSays) {
  constexpr int kTrials = 1500, kProblems = 40;
  for (const int seeds : {2, 3, 5})
    for (const double of_seeds : {0.0, 0.001, 0.02})
      for (const double level : {0.05, 0.05 / 11}) {
        const CellVariance variance{of_seeds, 0.02, 0.08};
        const MeanTest test(seeds, kProblems);
        const double change = SmallestChange(variance, seeds, kProblems, level);
        int found = 0;
        for (uint64_t trial = 0; trial < kTrials; ++trial) {
          CrossedWorld world(trial);
          const SeedTable table = world.NormalTable(change, variance, seeds, kProblems);
          found += test.PValue(MeanOfTable(table)) < level;
        }
        EXPECT_NEAR(100.0 * found / kTrials, 80, 3)
            << seeds << " seeds, variance over them " << of_seeds << ", level " << level;
      }
}

// So it does where cells are no normal numbers but shares of four responses.
TEST(SmallestChange, HoldsForSharesOfResponses) {
  constexpr int kTrials = 2000, kSeeds = 5, kProblems = 60;
  const MeanTest test(kSeeds, kProblems);
  MeanSquares squares;
  const auto draw = [](uint64_t trial) {
    return CrossedWorld(trial).ResponseTable(0.03, kSeeds, kProblems, 4);
  };
  for (uint64_t trial = 0; trial < kTrials; ++trial) {
    const MeanSquares own = MeanOfTable(draw(trial)).squares;
    squares.seeds += own.seeds / kTrials;
    squares.problems += own.problems / kTrials;
    squares.rest += own.rest / kTrials;
  }
  const double change =
      SmallestChange(VarianceOf(squares, kSeeds, kProblems), kSeeds, kProblems, 0.05);
  int found = 0;
  for (uint64_t trial = 0; trial < kTrials; ++trial) {
    SeedTable table = draw(kTrials + trial);
    for (auto& row : table)
      for (double& cell : row) cell += change - CrossedWorld::kChange;
    found += test.PValue(MeanOfTable(table)) < 0.05;
  }
  EXPECT_NEAR(100.0 * found / kTrials, 80, 5);
}

TEST(SmallestChange, Extremes) {
  EXPECT_EQ(SmallestChange({}, 3, 10, 0.05), 0);
  EXPECT_TRUE(std::isinf(SmallestChange({1, 1, 1}, 3, 1, 0.05)));
  EXPECT_GT(SmallestChange({0.01, 0.02, 0.08}, 3, 100, 0.05),
            SmallestChange({0.01, 0.02, 0.08}, 6, 100, 0.05));
}

}  // namespace
}  // namespace pivotal::experiments
