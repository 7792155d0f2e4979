// Apache-2.0. Which step of a response is the first wrong one.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace pivotal::pts {

// A step t_(begin+1)..t_end.
struct WrongStep {
  int32_t begin = 0, end = 0;
  double change = 0;  // of p(success)
};

// Returns the first step that brings p(success) from `threshold` or more to less. `p` has p_0..p_n,
// `changes` the change at each token, and `ends` the positions at which steps end, ascending, the
// last of them n. What p(success) is after a step is p before it plus the changes in it. Returns
// nothing if there is no such step, or p_0 is below the threshold.
std::optional<WrongStep> FirstWrongStep(std::span<const double> p, std::span<const double> changes,
                                        std::span<const int32_t> ends, double threshold);

}  // namespace pivotal::pts
