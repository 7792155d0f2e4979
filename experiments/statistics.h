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

}  // namespace pivotal::experiments
