// Apache-2.0.
#include "pts/estimator.h"

#include <algorithm>
#include <cmath>

namespace pivotal::pts {

Interval WilsonInterval(Estimate estimate, double z) {
  if (estimate.samples <= 0) return {0.0, 1.0};
  const double n = estimate.samples;
  const double p = estimate.Mean();
  const double scale = 1.0 / (1.0 + z * z / n);
  const double center = scale * (p + z * z / (2.0 * n));
  const double half = scale * z * std::sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n));
  // The ends are exact where no success or no failure was seen; rounding would leave a residue.
  const bool none = estimate.successes == 0;
  const bool all = estimate.successes == estimate.samples;
  return {none ? 0.0 : std::max(0.0, center - half), all ? 1.0 : std::min(1.0, center + half)};
}

double NormalQuantile(double p) {
  double low = -40, high = 40;  // bisection down to the last bits
  for (int i = 0; i < 100; ++i) {
    const double middle = 0.5 * (low + high);
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

double AnytimeQuantile(double confidence, int32_t samples) {
  constexpr double kTuned = 4;  // samples
  const double r = samples / kTuned;
  return std::sqrt((1 + 1 / r) * (std::log1p(r) - 2 * std::log(1 - confidence)));
}

bool ReachesGap(double difference, double gap) {
  constexpr double kRounding = 1e-9;
  return difference >= gap - kRounding;
}

}  // namespace pivotal::pts
