// Apache-2.0.
#include "experiments/evaluate/accuracy.h"

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
  const double half =
      1.96 * std::sqrt(1.0 / 12 / 1000);  // standard error of a uniform variable's mean
  EXPECT_NEAR(interval.high - interval.mean, half, 0.1 * half);
  EXPECT_NEAR(interval.mean - interval.low, half, 0.1 * half);
}

// Counts the intervals that hold the true mean, 0.3, over 300 samples of 100 coin flips.
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

// Compares with the interval of the delta method.
TEST(BootstrapRatio, MatchesTheNormalIntervalOfManyItems) {
  kernels::RandomStream random(1, 3);
  std::vector<double> right, answered;
  for (int i = 0; i < 1000; ++i) {
    answered.push_back(4 - static_cast<double>(random.Below(3)));  // 2, 3, 4
    right.push_back(0.5 * answered.back() + random.Uniform() - 0.5);
  }
  double sum_right = 0, sum_answered = 0, variance = 0;
  for (int i = 0; i < 1000; ++i) {
    sum_right += right[i];
    sum_answered += answered[i];
  }
  const double ratio = sum_right / sum_answered;
  for (int i = 0; i < 1000; ++i) variance += std::pow(right[i] - ratio * answered[i], 2);
  const double half = 1.96 * std::sqrt(variance) / sum_answered;
  const MeanInterval interval = BootstrapRatio(right, answered);
  EXPECT_NEAR(interval.mean, ratio, 1e-12);
  EXPECT_NEAR(interval.high - interval.mean, half, 0.1 * half);
  EXPECT_NEAR(interval.mean - interval.low, half, 0.1 * half);
  const std::vector<double> none(3, 0.0);
  EXPECT_EQ(BootstrapRatio(none, none).mean, 0);
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
