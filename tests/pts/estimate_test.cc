// Apache-2.0.
#include "pts/estimate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

namespace pivotal::pts {
namespace {

constexpr double kZ95 = 1.959963984540054, kZ99 = 2.5758293035489004;

struct Truth {
  int32_t successes, samples;
  double z, low, high;
};

class WilsonTest : public ::testing::TestWithParam<Truth> {};

// Expected values are of scipy 1.17.1: binomtest(k, n).proportion_ci(level, method="wilson").
TEST_P(WilsonTest, EqualsScipy) {
  const Truth& truth = GetParam();
  const Interval interval = WilsonInterval({truth.samples, truth.successes}, truth.z);
  EXPECT_NEAR(interval.low, truth.low, 1e-13);
  EXPECT_NEAR(interval.high, truth.high, 1e-13);
}

INSTANTIATE_TEST_SUITE_P(
    Published, WilsonTest,
    ::testing::Values(Truth{81, 263, kZ95, 0.2552885198782742, 0.36620957698280004},
                      Truth{15, 148, kZ95, 0.06238639953073629, 0.16048724172330803},
                      Truth{0, 20, kZ95, 0.0, 0.16112515805281935},
                      Truth{1, 29, kZ95, 0.006113214292762667, 0.17175521879320282},
                      Truth{29, 29, kZ95, 0.8830302015002592, 1.0},
                      Truth{10, 32, kZ95, 0.17952541633609737, 0.48566678300955407},
                      Truth{10, 32, kZ99, 0.1499369093414129, 0.5394630617799591},
                      Truth{0, 20, kZ99, 0.0, 0.2491054010987534}));

TEST(Wilson, EndsAreExactAtNoneAndAll) {
  for (int32_t n : {1, 2, 7, 20, 1000}) {
    EXPECT_EQ(WilsonInterval({n, 0}).low, 0.0);
    EXPECT_EQ(WilsonInterval({n, n}).high, 1.0);
  }
}

TEST(Wilson, KnowsNothingWithoutSamples) {
  EXPECT_EQ(WilsonInterval({0, 0}).low, 0.0);
  EXPECT_EQ(WilsonInterval({0, 0}).high, 1.0);
}

TEST(AnytimeInterval, EndsWhereTheMixtureRejects) {
  // 1 / 33 / (1 - q)^32 = 20
  EXPECT_EQ(AnytimeInterval({32, 0}, 0.95).low, 0.0);
  EXPECT_NEAR(AnytimeInterval({32, 0}, 0.95).high, 1 - std::pow(660.0, -1.0 / 32), 1e-13);
  EXPECT_EQ(AnytimeInterval({32, 32}, 0.95).high, 1.0);
  EXPECT_NEAR(AnytimeInterval({32, 32}, 0.95).low, std::pow(660.0, -1.0 / 32), 1e-13);
  EXPECT_EQ(AnytimeInterval({0, 0}, 0.95).high, 1.0);
  const Interval half = AnytimeInterval({20, 10}, 0.95), other = AnytimeInterval({20, 10}, 0.99);
  EXPECT_NEAR(half.low, 1 - half.high, 1e-12);
  EXPECT_LT(other.low, half.low);
}

// Exact probabilities of coins that ever miss the interval, at any of 600 looks: at most the 5%
// that are promised. The variance of a normal mixture is wrong where coins are skewed; that one
// missed in up to 14%.
TEST(AnytimeInterval, HoldsAtAllLooksAtOnce) {
  constexpr int32_t kLooks = 600;
  std::vector<std::vector<Interval>> intervals(kLooks + 1);
  for (int32_t n = 1; n <= kLooks; ++n)
    for (int32_t s = 0; s <= n; ++s) intervals[n].push_back(AnytimeInterval({n, s}, 0.95));
  for (const double q : {0.002, 0.01, 0.03, 0.1, 0.3, 0.5, 0.9, 0.99}) {
    std::vector<double> alive = {1.0};  // probability of s successes without a miss so far
    double missed = 0;
    for (int32_t n = 1; n <= kLooks; ++n) {
      std::vector<double> next(static_cast<std::size_t>(n) + 1);
      for (std::size_t s = 0; s < alive.size(); ++s) {
        next[s] += alive[s] * (1 - q);
        next[s + 1] += alive[s] * q;
      }
      for (std::size_t s = 0; s < next.size(); ++s) {
        if (intervals[n][s].low <= q && q <= intervals[n][s].high) continue;
        missed += next[s];
        next[s] = 0;
      }
      alive = std::move(next);
    }
    EXPECT_LE(missed, 0.05) << q;
    EXPECT_GT(missed, 0.001) << q << ": the interval is far too wide";
  }
}

TEST(Estimate, MeanOfNothingIsZero) {
  EXPECT_EQ(Estimate{}.Mean(), 0.0);
  EXPECT_EQ((Estimate{8, 2}.Mean()), 0.25);
}

TEST(ReachesGap, ForgivesRoundingOnly) {
  EXPECT_LT(7.0 / 10 - 5.0 / 10, 0.2);  // the rounding that ReachesGap forgives
  EXPECT_TRUE(ReachesGap(7.0 / 10 - 5.0 / 10, 0.2));
  EXPECT_TRUE(ReachesGap(0.5, 0.5));
  EXPECT_FALSE(ReachesGap(0.1999999, 0.2));
}

}  // namespace
}  // namespace pivotal::pts
