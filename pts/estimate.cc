// Apache-2.0.
#include "pts/estimate.h"

#include <algorithm>
#include <cmath>

namespace pivotal::pts {

Interval WilsonInterval(Estimate estimate, double z) {
  return WilsonInterval(estimate.Mean(), estimate.samples, z);
}

Interval WilsonInterval(double share, double samples, double z) {
  if (samples <= 0) return {0.0, 1.0};
  const double n = samples;
  const double p = share;
  const double scale = 1.0 / (1.0 + z * z / n);
  const double center = scale * (p + z * z / (2.0 * n));
  const double half = scale * z * std::sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n));
  // The ends are exact where no rollout, or every rollout, succeeded; rounding would move them.
  return {p <= 0 ? 0.0 : std::max(0.0, center - half), p >= 1 ? 1.0 : std::min(1.0, center + half)};
}

double NormalCdf(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }

double NormalQuantile(double p) {
  double low = -40, high = 40;  // bisection to the last bits
  for (int i = 0; i < 100; ++i) {
    const double middle = 0.5 * (low + high);
    (NormalCdf(middle) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

Interval AnytimeInterval(Estimate estimate, double confidence) {
  if (estimate.samples <= 0) return {0.0, 1.0};
  const double s = estimate.successes, f = estimate.samples - s;
  const double log_beta = std::lgamma(1 + s) + std::lgamma(1 + f) - std::lgamma(2 + s + f);
  const double bound = -std::log(1 - confidence);
  const auto rejects = [&](double q) {
    const double likelihood = (s > 0 ? s * std::log(q) : 0) + (f > 0 ? f * std::log1p(-q) : 0);
    return log_beta - likelihood >= bound;
  };
  // The mean is never rejected; between it and an end that is, bisection finds the border.
  const auto border = [&](double outside) {
    double inside = estimate.Mean();
    if (outside == inside) return outside;
    for (int i = 0; i < 60; ++i) {
      const double middle = 0.5 * (inside + outside);
      (rejects(middle) ? outside : inside) = middle;
    }
    return outside;
  };
  return {border(0), border(1)};
}

bool ReachesGap(double difference, double gap) {
  constexpr double kRounding = 1e-9;
  return difference >= gap - kRounding;
}

namespace {

double MeanOf(const LinearEstimate::Term& term) {
  return term.estimate.samples > 0 ? term.estimate.Mean() : term.guess;
}

}  // namespace

double SampleVariance(Estimate estimate) {
  const double p = estimate.Smoothed();
  return p * (1 - p);
}

double LinearEstimate::Mean() const {
  double mean = constant;
  for (const Term& term : terms) mean += term.weight * MeanOf(term);
  return mean;
}

double LinearEstimate::Variance() const {
  double variance = 0;
  for (const Term& term : terms)
    variance += term.weight * term.weight * SampleVariance(term.estimate) /
                std::max(0.5, static_cast<double>(term.estimate.samples));
  return variance;
}

template <typename F>
Interval LinearEstimate::Combine(F&& interval_of) const {
  // squared distances to the ends; the range of q without samples
  double below = 0, above = 0, unknown_below = 0, unknown_above = 0;
  for (const Term& term : terms) {
    const double mean = MeanOf(term);
    const Interval q = interval_of(term.estimate);
    double down = term.weight * (mean - q.low), up = term.weight * (q.high - mean);
    if (term.weight < 0) {
      std::swap(down, up);
      down = -down;
      up = -up;
    }
    if (term.estimate.samples == 0) {
      unknown_below += down;
      unknown_above += up;
    } else {
      below += down * down;
      above += up * up;
    }
  }
  const double mean = Mean();
  return {mean - std::sqrt(below) - unknown_below, mean + std::sqrt(above) + unknown_above};
}

Interval LinearEstimate::Bounds(double z) const {
  return Combine([z](Estimate estimate) { return WilsonInterval(estimate, z); });
}

Interval LinearEstimate::AnytimeBounds(double confidence) const {
  return Combine([=](Estimate estimate) { return AnytimeInterval(estimate, confidence); });
}

Estimate LinearEstimate::AsCounts() const {
  const double mean = std::clamp(Mean(), 0.02, 0.98);
  const double samples = std::clamp(mean * (1 - mean) / std::max(1e-6, Variance()) - 1, 0.0, 1e3);
  return {static_cast<int32_t>(std::lround(samples)),
          static_cast<int32_t>(std::lround(samples * mean))};
}

}  // namespace pivotal::pts
