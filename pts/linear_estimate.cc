// Apache-2.0.
#include "pts/linear_estimate.h"

#include <algorithm>
#include <cmath>

namespace pivotal::pts {
namespace {

double MeanOf(Estimate estimate) { return estimate.samples > 0 ? estimate.Mean() : 0.5; }

}  // namespace

double SampleVariance(Estimate estimate) {
  const double p = estimate.Smoothed();
  return p * (1 - p);
}

double LinearEstimate::Mean() const {
  double mean = constant;
  for (const Term& term : terms) mean += term.weight * MeanOf(term.estimate);
  return mean;
}

double LinearEstimate::Variance() const {
  double variance = 0;
  for (const Term& term : terms)
    variance += term.weight * term.weight * SampleVariance(term.estimate) /
                std::max(0.5, static_cast<double>(term.estimate.samples));
  return variance;
}

template <typename Quantile>
Interval LinearEstimate::Sum(Quantile&& quantile_of) const {
  double below = 0, above = 0, unknown = 0;  // squares of distances; half the range of unknowns
  for (const Term& term : terms) {
    if (term.estimate.samples == 0) {
      unknown += 0.5 * std::abs(term.weight);
      continue;
    }
    const double mean = term.estimate.Mean();
    const Interval q = WilsonInterval(term.estimate, quantile_of(term.estimate.samples));
    double down = term.weight * (mean - q.low), up = term.weight * (q.high - mean);
    if (term.weight < 0) std::swap(down, up);
    below += down * down;
    above += up * up;
  }
  const double mean = Mean();
  return {mean - std::sqrt(below) - unknown, mean + std::sqrt(above) + unknown};
}

Interval LinearEstimate::Bounds(double z) const {
  return Sum([z](int32_t) { return z; });
}

Interval LinearEstimate::AnytimeBounds(double confidence) const {
  return Sum([=](int32_t samples) { return AnytimeQuantile(confidence, samples); });
}

Estimate LinearEstimate::AsCounts() const {
  const double mean = std::clamp(Mean(), 0.02, 0.98);
  const double samples = std::clamp(mean * (1 - mean) / std::max(1e-6, Variance()) - 1, 0.0, 1e3);
  return {static_cast<int32_t>(std::lround(samples)),
          static_cast<int32_t>(std::lround(samples * mean))};
}

}  // namespace pivotal::pts
