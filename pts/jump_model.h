// Apache-2.0. What rollouts say of the curve p_0..p_n where few tokens matter.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/philox.h"

namespace pivotal::pts {

// One place along a response at which rollouts may leave it.
struct JumpStep {
  double leave = 0;      // probability of leaving here: 1 - pi
  double successes = 0;  // among the rollouts that left here; may be fractional
  double failures = 0;
};

// A curve that agrees with the observations. Index i: step i.
struct JumpCurve {
  std::vector<float> aside;  // q: p(success) of rollouts that leave at the step
  std::vector<float> after;  // p(success) of rollouts that stay
};

// A prior that search is guided by (what it reports does not rest on it): most tokens that could have
// been others change nothing, so q equals p there; at some it differs a little, at few it may be
// anything. Working backwards from the verdict, p before a step is (1 - leave) p + leave q. A hidden
// Markov chain over p on a grid: the posterior is drawn from exactly, by filtering from the end and
// sampling from the start.
//
// `count` independent curves, for steps in order of position; at least one step.
std::vector<JumpCurve> SampleJumpCurves(std::span<const JumpStep> steps, bool verdict, int32_t count,
                                        kernels::RandomStream& random);

}  // namespace pivotal::pts
