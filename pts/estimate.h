// Apache-2.0. Estimates of success probabilities, with confidence intervals.
#pragma once

#include <cstdint>
#include <vector>

namespace pivotal::pts {

struct Interval {
  double low = 0, high = 1;
};

// Binomial counts: `successes` of `samples` rollouts succeeded.
struct Estimate {
  int32_t samples = 0;
  int32_t successes = 0;
  // Returns successes / samples; 0 without samples.
  double Mean() const { return samples > 0 ? static_cast<double>(successes) / samples : 0.0; }
  // Returns (successes + 1) / (samples + 2), Laplace's rule of succession: never 0 or 1.
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

// Returns the Wilson score interval (Wilson, JASA 1927) at the two-sided normal quantile `z`;
// [0, 1] without samples.
Interval WilsonInterval(Estimate estimate, double z = 1.959964);

// The same for a share that is known as if from `samples` rollouts, which may be fractional.
Interval WilsonInterval(double share, double samples, double z);

// Returns P(Z <= z) for a standard normal Z.
double NormalCdf(double z);

// Returns z with P(Z <= z) = p for a standard normal Z; p in (0, 1).
double NormalQuantile(double p);

// Returns an interval that holds the probability of success for all sample counts at once with
// probability `confidence`: the caller may look after every sample, and stop at any time. These are
// the q that Robbins' mixture of binomials (Annals of Mathematical Statistics, 1970) does not
// reject, the mixture being uniform: with s successes of n samples,
//
//   B(1 + s, 1 + n - s) / (q^s (1 - q)^(n - s)) < 1 / (1 - confidence)   (B: the beta function).
//
// The left side is a martingale of mean 1 under q, so that it reaches that bound with a probability
// of at most 1 - confidence (Ville's inequality). [0, 1] without samples.
Interval AnytimeInterval(Estimate estimate, double confidence);

// Returns true if difference >= gap, up to the rounding of quotients: 7/10 - 5/10 reaches 0.2
// although the doubles differ by less.
bool ReachesGap(double difference, double gap);

// A weighted sum of success probabilities, each with an independent sample of its own:
//
//   theta = constant + sum over terms of weight * q.
struct LinearEstimate {
  struct Term {
    double weight = 0;
    Estimate estimate;     // the sample of q
    int32_t stratum = -1;  // stratum whose rollouts sample q (pts/strata.h); -1: none
    double fraction = 1;   // expected fraction of that stratum's rollouts that sample this q
    double guess = 0.5;    // stands for q in the mean as long as it has no samples
  };
  double constant = 0;
  std::vector<Term> terms;

  // Returns the estimate of theta; a q without samples counts as its guess.
  double Mean() const;
  // Returns the estimated variance of Mean(): the sum of weight^2 SampleVariance(q) / samples. A q
  // without samples counts as half a sample.
  double Variance() const;
  // Returns the confidence interval of theta at the two-sided normal quantile `z`. The Wilson
  // intervals of the terms are combined by the method of variance estimates recovery (Zou and
  // Donner, Statistics in Medicine 2008): the distances of their ends from the means add up as
  // squares. A q without samples adds its whole range, [0, 1].
  Interval Bounds(double z) const;
  // Returns an interval for a search that has looked often: like Bounds(), but of AnytimeInterval()
  // of the terms. For one term it holds however often, and whenever, the search has looked; for
  // several this is an approximation, because distances add up as squares.
  Interval AnytimeBounds(double confidence) const;
  // Returns counts that say about as much on theta, which must be a probability: a Beta
  // distribution with them has theta's mean m and variance, so samples = m (1 - m) / variance - 1.
  // m is kept within [0.02, 0.98], samples within [0, 1000].
  Estimate AsCounts() const;

 private:
  // Combines the terms' intervals, interval_of(estimate).
  template <typename F>
  Interval Combine(F&& interval_of) const;
};

// Returns p (1 - p) at p = Smoothed(): the variance of one sample, above 0 even if all agree.
double SampleVariance(Estimate estimate);

}  // namespace pivotal::pts
