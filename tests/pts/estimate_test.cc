// Apache-2.0.
#include "pts/estimate.h"

#include <gtest/gtest.h>

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
