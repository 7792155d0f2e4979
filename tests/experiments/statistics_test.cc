// Apache-2.0.
#include "experiments/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/philox.h"

namespace pivotal::experiments {
namespace {

TEST(BootstrapMean, MatchesTheNormalIntervalOfManyValues) {
  kernels::RandomStream random(1, 2);
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) values.push_back(random.Uniform());
  const MeanInterval interval = BootstrapMean(values);
  const double half = 1.96 * std::sqrt(1.0 / 12 / 1000);  // of a uniform variable
  EXPECT_NEAR(interval.high - interval.mean, half, 0.1 * half);
  EXPECT_NEAR(interval.mean - interval.low, half, 0.1 * half);
}

// The share of intervals that hold the true mean, 0.3, over 300 samples of 100 coin flips.
TEST(BootstrapMean, CoversTheTruth) {
  int covered = 0;
  for (uint64_t trial = 0; trial < 300; ++trial) {
    kernels::RandomStream random(7, trial);
    std::vector<double> values;
    for (int i = 0; i < 100; ++i) values.push_back(random.Uniform() < 0.3 ? 1.0 : 0.0);
    const MeanInterval interval = BootstrapMean(values);
    covered += interval.low <= 0.3 && 0.3 <= interval.high;
  }
  EXPECT_GE(covered, 270);  // 285 expected, standard deviation 3.8
  EXPECT_LE(covered, 297);
}

TEST(BootstrapMean, Extremes) {
  const MeanInterval none = BootstrapMean({});
  EXPECT_EQ(none.mean, 0);
  const std::vector<double> same(5, 0.25);
  const MeanInterval constant = BootstrapMean(same);
  EXPECT_EQ(constant.low, 0.25);
  EXPECT_EQ(constant.high, 0.25);
}

}  // namespace
}  // namespace pivotal::experiments
