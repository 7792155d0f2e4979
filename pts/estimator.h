// Apache-2.0. A success probability with its count.
#pragma once

#include <cstdint>

namespace pivotal::pts {

struct Interval {
  double low = 0, high = 1;
};

struct Estimate {
  int32_t samples = 0;
  int32_t successes = 0;
  double Mean() const { return samples > 0 ? static_cast<double>(successes) / samples : 0.0; }
};

// Wilson score interval (Wilson, JASA 1927) at two-sided normal quantile `z`; [0, 1] for no
// samples.
Interval WilsonInterval(Estimate estimate, double z = 1.959964);

// difference >= gap, but for the rounding of quotients: 7/10 - 5/10 reaches 0.2.
bool ReachesGap(double difference, double gap);

}  // namespace pivotal::pts
