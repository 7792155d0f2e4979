// Apache-2.0.
#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/step_world.h"

namespace pivotal::testing {
namespace {

// Adds the places at which a strategy slips or recovers. State 2 s is strategy s on its way, state
// 2 s + 1 the same after a slip.
void AddSlips(kernels::RandomStream& random, int32_t strategy, int32_t begin,
              std::vector<StateStep>& steps) {
  const auto end = static_cast<int32_t>(steps.size());
  const int32_t ok = 2 * strategy, lost = ok + 1;
  const auto slips = RandomPlaces(random, begin, end, 2 + static_cast<int32_t>(random.Below(7)));
  const double holds = 0.1 + 0.85 * random.Uniform();
  const auto shares = RandomWeights(random, static_cast<int32_t>(slips.size()), 1.0);
  for (std::size_t i = 0; i < slips.size(); ++i) {
    const double slip = 1 - std::pow(holds, shares[i]);
    steps[slips[i]].rows[ok] = {{ok, 0, 1 - slip}, {lost, 1, slip}};
  }
  for (const int32_t k :
       RandomPlaces(random, begin, end, 1 + static_cast<int32_t>(random.Below(4)))) {
    const double recovers = 0.03 + 0.3 * random.Uniform();
    steps[k].rows[lost] = {{lost, 0, 1 - recovers}, {ok, 1, recovers}};
  }
}

}  // namespace

TableWorld StrategyWorld(const StrategyWorldOptions& options) {
  kernels::RandomStream random(options.seed, kernels::MixStream(0, "strategy world"));
  const int32_t last = options.length - 1, states = 2 * options.strategies;
  std::vector<StateStep> steps;
  for (int32_t k = 0; k < last; ++k) {
    if (random.Uniform() < options.forks) {
      steps.push_back(WordStep(random, states, 3));
      continue;
    }
    steps.push_back(RareWordStep(random, states));
  }
  const auto choice = static_cast<int32_t>(random.Below(std::max(1, last / 10)));
  const auto weights = RandomWeights(random, options.strategies, 1.0);
  steps[choice].rows[0].clear();
  for (int32_t s = 0; s < options.strategies; ++s) {
    steps[choice].rows[0].push_back({2 * s, 0, weights[s]});
    AddSlips(random, s, choice + 1, steps);
  }
  std::vector<double> ends_right;
  for (int32_t state = 0; state < states; ++state)
    ends_right.push_back(state % 2 == 0 ? 0.97 : 0.02);
  return WorldOfSteps(steps, 0, ends_right);
}

}  // namespace pivotal::testing
