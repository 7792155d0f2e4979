// Apache-2.0.
#include "experiments/statistics.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/philox.h"

namespace pivotal::experiments {

MeanInterval BootstrapMean(std::span<const double> values, uint64_t seed) {
  constexpr int kResamples = 10000;
  if (values.empty()) return {};
  const auto count = static_cast<int64_t>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(count);
  kernels::RandomStream random(seed, kernels::MixStream(0, "bootstrap"));
  std::vector<double> means(kResamples);
  for (double& resampled : means) {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += values[random.Below(count)];
    resampled = sum / static_cast<double>(count);
  }
  std::sort(means.begin(), means.end());
  return {mean, means[kResamples / 40], means[kResamples - 1 - kResamples / 40]};
}

}  // namespace pivotal::experiments
