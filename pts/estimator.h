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
  // Laplace's rule of succession: never 0 or 1.
  double Smoothed() const { return (successes + 1.0) / (samples + 2.0); }
  void Add(bool success) {
    ++samples;
    successes += success;
  }
  Estimate& operator+=(Estimate other) {
    samples += other.samples;
    successes += other.successes;
    return *this;
  }
};

// Wilson score interval (Wilson, JASA 1927) at two-sided normal quantile `z`; [0, 1] for no
// samples.
Interval WilsonInterval(Estimate estimate, double z = 1.959964);

// z with P(Z <= z) = p for a standard normal Z; p in (0, 1).
double NormalQuantile(double p);

// In place of the two-sided normal quantile at `confidence` where one may look after every sample:
// the boundary of Robbins' normal mixture (Annals of Mathematical Statistics, 1970), its mixture
// tuned to a few samples. Larger than the quantile by half or so; grows with the logarithm of n.
double AnytimeQuantile(double confidence, int32_t samples);

// difference >= gap, but for the rounding of quotients: 7/10 - 5/10 reaches 0.2.
bool ReachesGap(double difference, double gap);

}  // namespace pivotal::pts
