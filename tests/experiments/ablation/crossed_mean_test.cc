// Apache-2.0.
#include "experiments/ablation/crossed_mean.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "tests/experiments/ablation/crossed_world.h"

namespace pivotal::experiments {
namespace {

using ::testing::DoubleNear;
using ::testing::Pointwise;

const SeedTable kTable = {{0.25, 0.5, 0.0, 0.75, 0.25, 0.5},
                          {0.5, 0.75, 0.25, 0.75, 0.5, 0.5},
                          {0.0, 0.5, -0.25, 0.25, 0.25, 0.25}};

// The numbers are those of statsmodels 0.15.0. With y, seed and problem as columns of `d`, the mean
// squares are
//   anova_lm(ols("y ~ C(seed) + C(problem)", d).fit())["mean_sq"]
// and the variances, by restricted maximum likelihood, which agrees with them for such tables,
//   mixedlm("y ~ 1", d, groups=np.ones(18),
//           vc_formula={"seed": "0+C(seed)", "problem": "0+C(problem)"}).fit()
TEST(MeanOfTable, HasTheVarianceOfAMixedModel) {
  const TableMean mean = MeanOfTable(kTable);
  EXPECT_NEAR(mean.mean, 0.3611111111, 1e-9);
  EXPECT_NEAR(mean.squares.seeds, 0.2118055556, 1e-9);
  EXPECT_NEAR(mean.squares.problems, 0.1472222222, 1e-9);
  EXPECT_NEAR(mean.squares.rest, 0.0118055556, 1e-9);
  const CellVariance variance = VarianceOf(mean.squares, 3, 6);
  EXPECT_NEAR(variance.seeds, 0.03333542, 1e-5);
  EXPECT_NEAR(variance.problems, 0.04513999, 1e-5);
  EXPECT_NEAR(variance.rest, 0.01180530, 1e-5);
  const MeanSquares again = ExpectedSquares(variance, 3, 6);
  EXPECT_NEAR(again.seeds, mean.squares.seeds, 1e-12);
  EXPECT_NEAR(again.problems, mean.squares.problems, 1e-12);
}

// Numbers of numpy 2.4.6, with the sums of squares ss, sp, sr of kTable and 20 times 10^6 draws:
//   Q = (sp / rng.chisquare(5, N)
//        + np.maximum(0, ss / rng.chisquare(2, N) - sr / rng.chisquare(10, N))) / 18
//   p = np.mean(2 * scipy.special.ndtr(-mean / np.sqrt(Q)))
// and the interval ends where p is 0.05. Their standard errors are 3e-5 and 1e-4.
TEST(MeanTest, AgreesWithManyDraws) {
  const TableMean mean = MeanOfTable(kTable);
  const MeanTest test(3, 6);
  EXPECT_NEAR(test.PValue(mean), 0.10599, 0.002);
  EXPECT_NEAR(test.Interval(mean, -1, 1).low, -0.1543, 0.01);
  EXPECT_NEAR(test.Interval(mean, -1, 1).high, 0.8765, 0.01);
  EXPECT_EQ(test.Interval(mean, 0, 0.5).low, 0);
  EXPECT_EQ(test.Interval(mean, 0, 0.5).high, 0.5);
  EXPECT_NEAR(test.Reach(mean.squares, test.PValue(mean)), mean.mean, 1e-5);
}

// Of 120 responses three more are right, one with each seed, of another problem each: the seeds
// agree by chance, and the interval is at least as wide as that over problems.
TEST(MeanTest, SeedsThatAgreeTellNoMoreThanProblems) {
  SeedTable table(3, std::vector<double>(20));
  for (std::size_t seed = 0; seed < 3; ++seed) table[seed][seed] = 0.5;
  std::vector<double> means(20);
  for (std::size_t i = 0; i < 3; ++i) means[i] = 0.5 / 3;
  const MeanInterval over_problems = MeanTest(1, 20).Interval(MeanOfTable({means}), -1, 1),
                     both = MeanTest(3, 20).Interval(MeanOfTable(table), -1, 1);
  EXPECT_NEAR(both.mean, 0.025, 1e-12);
  EXPECT_LE(both.low, over_problems.low + 1e-6);
  EXPECT_GE(both.high, over_problems.high - 1e-6);
  EXPECT_GT(MeanTest(3, 20).PValue(MeanOfTable(table)), 0.05);
}

// scipy.stats.ttest_1samp(values, 0) and its confidence_interval(), for the first row of the table,
// and for the means of three rows whose problems are all alike.
TEST(MeanTest, IsStudentsTestWhereOneEffectDecides) {
  const TableMean mean = MeanOfTable({kTable[0]});
  const MeanTest one(1, 6), three(3, 100);
  EXPECT_NEAR(one.Interval(mean, -1, 1).low, 0.0998356538, 1e-5);
  EXPECT_NEAR(one.Interval(mean, -1, 1).high, 0.6501643462, 1e-5);
  EXPECT_NEAR(one.PValue(mean), 0.0172245497, 1e-5);
  const TableMean seeds =
      MeanOfTable({std::vector(100, 0.30), std::vector(100, 0.34), std::vector(100, 0.41)});
  EXPECT_NEAR(three.Interval(seeds, -1, 1).low, 0.2116890658, 1e-5);
  EXPECT_NEAR(three.PValue(seeds), 0.0083301196, 1e-5);
}

TEST(MeanTest, Extremes) {
  EXPECT_EQ(MeanTest(3, 0).PValue(MeanOfTable({})), 1);
  // Of one problem nothing can be concluded about others.
  const TableMean one = MeanOfTable({{0.5}, {0.5}});
  EXPECT_EQ(one.mean, 0.5);
  EXPECT_EQ(MeanTest(2, 1).Interval(one, 0, 1).low, 0);
  EXPECT_EQ(MeanTest(2, 1).Interval(one, 0, 1).high, 1);
  EXPECT_EQ(MeanTest(2, 1).PValue(one), 1);
  const TableMean zero = MeanOfTable({{0, 0}, {0, 0}}), all = MeanOfTable({{1, 1}, {1, 1}});
  EXPECT_EQ(MeanTest(2, 2).PValue(zero), 1);
  EXPECT_EQ(MeanTest(2, 2).PValue(all), 0);
  EXPECT_EQ(MeanTest(2, 2).Interval(all, -1, 1).low, 1);
  // Only draws of less than 5% of the weight vary.
  const TableMean halves = MeanOfTable({{1, 1.0 / 16}, {0, 15.0 / 16}});
  EXPECT_LT(MeanTest(2, 2).PValue(halves), 0.05);
  EXPECT_EQ(MeanTest(2, 2).Reach(halves.squares, 0.05), 0);
}

// Two problems of two samples are often alike by chance. Where nothing changes, a test that takes
// them to vary by a response at least is wrong in 5% of the tables at most.
TEST(MeanTest, FewCoarseCellsThatAreAlikeTellLittle) {
  constexpr int kTrials = 4000, kSamples = 2;
  constexpr double kStep = 1.0 / kSamples;
  const auto share = [](kernels::RandomStream& random) {
    return ((random.Uniform() < 0.5) + (random.Uniform() < 0.5)) * kStep;
  };
  for (const auto& [seeds, problems] : {std::pair(1, 2), {1, 3}, {2, 2}, {2, 3}, {3, 2}}) {
    const MeanTest test(seeds, problems);
    int wrong = 0, wrong_without = 0;
    for (uint64_t trial = 0; trial < kTrials; ++trial) {
      kernels::RandomStream random(6, trial);
      SeedTable table(seeds, std::vector<double>(problems));
      for (auto& row : table)
        for (double& cell : row) cell = share(random) - share(random);
      wrong += test.PValue(MeanOfTable(table, kStep)) < 0.05;
      wrong_without += test.PValue(MeanOfTable(table)) < 0.05;
    }
    EXPECT_LE(wrong, 0.05 * kTrials) << seeds << " seeds, " << problems << " problems";
    if (problems == 2 && seeds == 1) {
      EXPECT_GT(wrong_without, 0.1 * kTrials);
    }
  }
  // Each seed solves another of two problems, so that these are equal by chance.
  const TableMean other = MeanOfTable({{1, 0}, {0, 1}}, kStep);
  EXPECT_GT(MeanTest(2, 2).PValue(other), 0.05);
}

// Returns how many of 100 tables have a p-value below `level` for the hypothesis that the change is
// what it is, with a standard deviation of 0.7 at 5%. `test` decides on the table.
template <typename PValue>
double FoundWrong(double seed_deviation, int seeds, double level, PValue p_value) {
  constexpr int kTrials = 1000;
  int wrong = 0;
  for (uint64_t trial = 0; trial < kTrials; ++trial) {
    SeedTable table = CrossedWorld(trial).ResponseTable(seed_deviation, seeds, 100, 4);
    for (auto& row : table)
      for (double& cell : row) cell -= CrossedWorld::kChange;
    wrong += p_value(table) < level;
  }
  return 100.0 * wrong / kTrials;
}

// True differences are missed by 5% of the 95% intervals at most, and by 0.5% where Holm's method
// asks for that, whether seeds matter little or much. A test that counts problems alone is wrong
// far more often.
TEST(MeanTest, IsRarelyWrong) {
  for (const int seeds : {1, 3, 5, 10}) {
    const MeanTest test(seeds, 100);
    const auto p_value = [&](const SeedTable& table) { return test.PValue(MeanOfTable(table)); };
    for (const double deviation : {0.0, 0.02, 0.06}) {
      if (seeds == 1 && deviation > 0) continue;  // one seed does not tell
      const double wrong = FoundWrong(deviation, seeds, 0.05, p_value);
      EXPECT_LE(wrong, 7) << seeds << " seeds, deviation " << deviation;
      // Where seeds matter, or there is one, the intervals are no wider than they have to be.
      if (seeds == 1 || deviation == 0.06) {
        EXPECT_GE(wrong, 2) << seeds << " seeds, deviation " << deviation;
      }
      EXPECT_LE(FoundWrong(deviation, seeds, 0.005, p_value), 1.2)
          << seeds << " seeds, deviation " << deviation;
    }
  }
  const MeanTest problems(1, 100);
  EXPECT_GT(FoundWrong(0.06, 3, 0.05,
                       [&](const SeedTable& table) {
                         std::vector<double> means(100);
                         for (const auto& row : table)
                           for (std::size_t i = 0; i < 100; ++i) means[i] += row[i] / 3;
                         return problems.PValue(MeanOfTable({means}));
                       }),
            20);
}

// statsmodels.stats.multitest.multipletests(p, method="holm")[1]
TEST(HolmAdjusted, AgreesWithStatsmodels) {
  EXPECT_THAT(HolmAdjusted({0.01, 0.04, 0.03, 0.005, 0.5, 0.04}),
              Pointwise(DoubleNear(1e-12), std::vector{0.05, 0.12, 0.12, 0.03, 0.5, 0.12}));
  EXPECT_THAT(HolmAdjusted({0.6, 0.7}), Pointwise(DoubleNear(0), std::vector{1.0, 1.0}));
  EXPECT_TRUE(HolmAdjusted({}).empty());
}

}  // namespace
}  // namespace pivotal::experiments
