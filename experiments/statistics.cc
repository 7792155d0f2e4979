// Apache-2.0.
#include "experiments/statistics.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/philox.h"

namespace pivotal::experiments {
namespace {

double Sum(std::span<const double> values, std::span<const int64_t> items) {
  double sum = 0;
  for (const int64_t i : items) sum += values[static_cast<std::size_t>(i)];
  return sum;
}

double Ratio(double numerator, double denominator) { return denominator != 0 ? numerator / denominator : 0; }

// statistic(items) of all `count` items, and its interval over resamples of them.
template <typename Statistic>
MeanInterval Bootstrap(std::size_t count, uint64_t seed, Statistic statistic) {
  constexpr int kResamples = 10000;
  if (count == 0) return {};
  std::vector<int64_t> items(count);
  std::iota(items.begin(), items.end(), 0);
  const double value = statistic(items);
  kernels::RandomStream random(seed, kernels::MixStream(0, "bootstrap"));
  std::vector<double> values(kResamples);
  for (double& resampled : values) {
    for (int64_t& item : items) item = random.Below(static_cast<int64_t>(count));
    resampled = statistic(items);
  }
  std::sort(values.begin(), values.end());
  return {value, values[kResamples / 40], values[kResamples - 1 - kResamples / 40]};
}

}  // namespace

MeanInterval BootstrapMean(std::span<const double> values, uint64_t seed) {
  return Bootstrap(values.size(), seed, [&](const std::vector<int64_t>& items) {
    return Sum(values, items) / static_cast<double>(items.size());
  });
}

MeanInterval BootstrapRatio(std::span<const double> numerators, std::span<const double> denominators, uint64_t seed) {
  return Bootstrap(numerators.size(), seed, [&](const std::vector<int64_t>& items) {
    return Ratio(Sum(numerators, items), Sum(denominators, items));
  });
}

MeanInterval BootstrapRatioChange(std::span<const double> a_numerators, std::span<const double> a_denominators,
                                  std::span<const double> b_numerators, std::span<const double> b_denominators,
                                  uint64_t seed) {
  return Bootstrap(a_numerators.size(), seed, [&](const std::vector<int64_t>& items) {
    return Ratio(Sum(b_numerators, items), Sum(b_denominators, items)) -
           Ratio(Sum(a_numerators, items), Sum(a_denominators, items));
  });
}

}  // namespace pivotal::experiments
