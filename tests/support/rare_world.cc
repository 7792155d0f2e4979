// Apache-2.0.
#include <cmath>
#include <vector>

#include "tests/support/step_world.h"

namespace pivotal::testing {
namespace {

enum RareState : int32_t { kGood, kBad, kRareStates };

StateStep RareSlip(kernels::RandomStream& random) {
  const double slip = std::pow(10.0, -2.5 - 1.5 * random.Uniform());
  return {{{{kGood, 0, 1 - slip}, {kBad, 0, slip}}, {{kBad, 0, 1 - slip}, {kGood, 0, slip}}}};
}

StateStep RareChoice(kernels::RandomStream& random) {
  const double away = 0.1 + 0.25 * random.Uniform(), back = 0.1 + 0.25 * random.Uniform();
  return {{{{kGood, 0, 1 - away}, {kBad, 0, away}}, {{kBad, 0, 1 - back}, {kGood, 0, back}}}};
}

// Word 1 is rare. It leads from state `from` to state `to`, and changes nothing in `to`.
StateStep RareToken(RareState from, RareState to, double probability) {
  StateStep step{std::vector<std::vector<Jump>>(kRareStates)};
  for (const RareState state : {from, to})
    step.rows[state] = {{state, 0, 1 - probability}, {to, 1, probability}};
  return step;
}

}  // namespace

TableWorld RareWorld(const RareWorldOptions& options) {
  kernels::RandomStream random(options.seed, kernels::MixStream(0, "rare world"));
  const int32_t last = options.length - 1, half = last / 2;
  std::vector<StateStep> steps;
  for (int32_t k = 0; k < last; ++k)
    steps.push_back(random.Uniform() < options.forks ? WordStep(random, kRareStates, 3)
                                                     : RareSlip(random));
  for (const int32_t k : RandomPlaces(random, 1, half, 1 + static_cast<int32_t>(random.Below(3))))
    steps[k] = RareChoice(random);
  const double first = 0.05 + 0.9 * random.Uniform();
  steps[0].rows.assign(kRareStates, {{kGood, 0, first}, {kBad, 0, 1 - first}});
  const auto probability = [&] {
    return options.least + (options.most - options.least) * random.Uniform();
  };
  for (const int32_t k : RandomPlaces(random, 1, half, 2 + static_cast<int32_t>(random.Below(3))))
    steps[k] = RareToken(kBad, kGood, probability());
  for (const int32_t k :
       RandomPlaces(random, half, last, 2 + static_cast<int32_t>(random.Below(5))))
    steps[k] = RareToken(kGood, kBad, probability());
  return WorldOfSteps(steps, kGood, std::vector<double>{1, 0});
}

}  // namespace pivotal::testing
