// Apache-2.0.
#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/step_world.h"

namespace pivotal::testing {

TableWorld CoinWorld(const CoinWorldOptions& options) {
  kernels::RandomStream random(options.seed, kernels::MixStream(0, "coin world"));
  enum : int32_t { kStays, kTurned, kStates };
  const bool likely = options.success >= 0.5;  // a response is right unless it turns
  const int32_t last = options.length - 1;
  std::vector<StateStep> steps;
  for (int32_t k = 0; k < last; ++k)
    steps.push_back(WordStep(random, kStates, random.Uniform() < options.forks ? 3 : 1));
  const double stays = std::max(options.success, 1 - options.success);
  const auto places = RandomPlaces(random, 0, last, options.places);
  const auto shares = RandomWeights(random, static_cast<int32_t>(places.size()), 1.0);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const double turns = 1 - std::pow(stays, shares[i]);
    steps[places[i]].rows[kStays] = {{kStays, 0, 1 - turns}, {kTurned, 0, turns}};
  }
  return WorldOfSteps(steps, kStays, std::vector<double>{likely ? 1.0 : 0.0, likely ? 0.0 : 1.0});
}

}  // namespace pivotal::testing
