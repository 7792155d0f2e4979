// Apache-2.0. How much of p(success) a token keeps: the score of critical tokens.
#pragma once

#include "pts/estimate.h"

namespace pivotal::pts {

// Returns the share of p(success) that is left after a token, in [0, 1]:
//
//   1 - max(0, p_(k-1) - p_k) / max(p_(k-1), gap)
//
// where `change` is p_k - p_(k-1) and `before` is p_(k-1). That is p_k / p_(k-1) for a token that
// lowers p(success), and 1 for one that does not. Where less than the gap was left, no token could
// be pivotal, and the noise of a quotient of two small numbers would be all there is: there the
// loss counts in units of the gap.
double KeptShare(double change, double before, double gap);

// The estimate of that share.
struct KeptSuccess {
  double share = 1;
  double low = 0, high = 1;  // its interval, from that of the change; p_(k-1) counts as known
};

// `z` is a two-sided normal quantile.
KeptSuccess KeptBy(const LinearEstimate& change, double before, double gap, double z);

}  // namespace pivotal::pts
