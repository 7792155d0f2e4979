// Apache-2.0. Means with intervals.
#pragma once

#include <cstdint>
#include <span>

namespace pivotal::experiments {

struct MeanInterval {
  double mean = 0, low = 0, high = 0;
};

// Mean with a percentile bootstrap interval at 95% (Efron and Tibshirani, 1993): 10,000 resamples
// of `values`, each a problem's score or a paired difference. A pure function of its arguments.
MeanInterval BootstrapMean(std::span<const double> values, uint64_t seed = 1);

// Sum of `numerators` over the sum of `denominators`, by item, with such an interval: items are drawn as pairs. Resamples
// whose denominators sum to 0 count as 0.
MeanInterval BootstrapRatio(std::span<const double> numerators, std::span<const double> denominators, uint64_t seed = 1);

// What ratio b differs by from ratio a over the same items, drawn together.
MeanInterval BootstrapRatioChange(std::span<const double> a_numerators, std::span<const double> a_denominators,
                                  std::span<const double> b_numerators, std::span<const double> b_denominators,
                                  uint64_t seed = 1);

}  // namespace pivotal::experiments
