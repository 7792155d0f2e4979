// Apache-2.0. Weighted sums of success probabilities that were each sampled on their own.
#pragma once

#include <cstdint>
#include <vector>

#include "pts/estimator.h"

namespace pivotal::pts {

// theta = constant + sum of weight * q, each q an unknown probability with its own sample.
struct LinearEstimate {
  struct Term {
    double weight = 0;
    Estimate estimate;     // of q
    int32_t stratum = -1;  // pts/strata.h: where more samples of q come from
    double share = 1;      // of that stratum's samples that are samples of this q
  };
  double constant = 0;
  std::vector<Term> terms;

  // A q without samples counts as 1/2.
  double Mean() const;
  // Estimated variance of Mean(); the variance of one sample is taken at (successes + 1) /
  // (samples + 2), so that it is not 0 for a sample of one kind, and a q without samples counts as
  // half a sample.
  double Variance() const;
  // Sums the Wilson intervals of the terms by the method of variance estimates recovery (Zou and
  // Donner, Statistics in Medicine 2008): their distances to the means add up as squares. The
  // range of each q without samples, [0, 1], is added whole.
  Interval Bounds(double z) const;
  // Bounds that hold however often, and whenever, one has looked: each term's interval at the
  // normal-mixture boundary for its own sample count (AnytimeQuantile).
  Interval AnytimeBounds(double confidence) const;
  // The binomial sample that says as much about theta, which must be a probability.
  Estimate AsCounts() const;

 private:
  template <typename Quantile>
  Interval Sum(Quantile&& quantile_of) const;
};

// Variance of a single sample as Variance() takes it.
double SampleVariance(Estimate estimate);

}  // namespace pivotal::pts
