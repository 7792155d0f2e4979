// Apache-2.0.
#include "pts/kept_success.h"

#include <algorithm>

namespace pivotal::pts {

double KeptShare(double change, double before, double gap) {
  const double there = std::max(before, gap);
  return 1 - std::clamp(-change, 0.0, there) / there;
}

KeptSuccess KeptBy(const LinearEstimate& change, double before, double gap, double z) {
  const Interval bounds = change.Bounds(z);
  return {KeptShare(change.Mean(), before, gap), KeptShare(bounds.low, before, gap),
          KeptShare(bounds.high, before, gap)};
}

}  // namespace pivotal::pts
