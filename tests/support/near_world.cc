// Apache-2.0.
#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/step_world.h"

namespace pivotal::testing {
namespace {

constexpr int32_t kUnits = 200;  // p = state / kUnits

// Returns a step that raises a state by `up` and lowers it by `down` units, as far as the ends
// allow, so that its mean stays. It moves with probability `moves` at most.
StateStep NearJump(int32_t up, int32_t down, double moves) {
  StateStep step;
  for (int32_t state = 0; state <= kUnits; ++state) {
    const int32_t above = std::min(up, kUnits - state), below = std::min(down, state);
    if (above == 0 || below == 0) {
      step.rows.push_back({{state, 0, 1.0}});
      continue;
    }
    const double rises = moves * below / (above + below), falls = moves - rises;
    step.rows.push_back(
        {{state - below, 0, falls}, {state, 0, 1 - moves}, {state + above, 0, rises}});
  }
  return step;
}

}  // namespace

TableWorld NearWorld(const NearWorldOptions& options) {
  kernels::RandomStream random(options.seed, kernels::MixStream(0, "near world"));
  const auto units = [&](double least, double most) {
    return static_cast<int32_t>(kUnits * (least + (most - least) * random.Uniform()));
  };
  const int32_t last = options.length - 1;
  std::vector<StateStep> steps;
  for (int32_t k = 0; k < last; ++k) {
    if (random.Uniform() < options.forks / 2)
      steps.push_back(WordStep(random, kUnits + 1, 2));
    else
      steps.push_back(NearJump(units(0.01, 0.05), units(0.01, 0.05),
                               std::pow(10.0, -1.3 - 2.7 * random.Uniform())));
  }
  const auto near = std::max(12, static_cast<int32_t>(std::lround(options.forks / 2 * last)));
  for (const int32_t k : RandomPlaces(random, 0, last, near)) {
    const bool above = random.Uniform() < options.above;
    const double least = above ? 0.2 : options.least, most = above ? 0.355 : options.most;
    // Rounding up keeps the least amount within the range.
    const auto amount = [&] {
      return std::min(units(least, most) + 1, static_cast<int32_t>(kUnits * most));
    };
    const int32_t up = amount(), down = amount();
    steps[k] = NearJump(up, down, 1.0);
  }
  std::vector<double> ends_right;
  for (int32_t state = 0; state <= kUnits; ++state)
    ends_right.push_back(static_cast<double>(state) / kUnits);
  return WorldOfSteps(steps, units(0.15, 0.85), ends_right);
}

}  // namespace pivotal::testing
