// Apache-2.0.
#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/step_world.h"

namespace pivotal::testing {
namespace {

// Returns a fork at which `matter` alternatives lead to another lane.
StateStep ManyWays(kernels::RandomStream& random, const AlternativesWorldOptions& options,
                   int32_t matter) {
  const auto count =
      options.least + static_cast<int32_t>(random.Below(options.most - options.least + 1));
  const double exponent = 0.7 + 0.9 * random.Uniform();
  std::vector<double> weights;
  double sum = 0;
  for (int32_t rank = 0; rank < count; ++rank)
    sum += weights.emplace_back(std::pow(rank + 1.0, -exponent));
  std::vector<int32_t> word_of(static_cast<std::size_t>(count));  // of each rank
  for (int32_t rank = 0; rank < count; ++rank) word_of[rank] = rank;
  kernels::Shuffle(word_of, random);

  StateStep step;
  for (int32_t lane = 0; lane < options.lanes; ++lane) {
    auto& row = step.rows.emplace_back();
    for (int32_t rank = 0; rank < count; ++rank)
      row.push_back({lane, word_of[rank], weights[rank] / sum});
  }
  for (int32_t i = 0; i < matter; ++i) {
    const auto rank = random.Below(i % 2 == 0 ? std::min(5, count) : count);
    for (int32_t lane = 0; lane < options.lanes; ++lane)
      step.rows[lane][rank].state =
          (lane + 1 + static_cast<int32_t>(random.Below(options.lanes - 1))) % options.lanes;
  }
  return step;
}

}  // namespace

TableWorld AlternativesWorld(const AlternativesWorldOptions& options) {
  kernels::RandomStream random(options.seed, kernels::MixStream(0, "alternatives world"));
  const int32_t last = options.length - 1;
  std::vector<StateStep> steps;
  for (int32_t k = 0; k < last; ++k) {
    if (random.Uniform() < options.forks) {
      steps.push_back(ManyWays(random, options, 0));
      continue;
    }
    steps.push_back(RareWordStep(random, options.lanes));
  }
  const double mean = options.consequential;
  const auto consequential =
      1 + static_cast<int32_t>(std::floor(mean / 2 + mean * random.Uniform()));
  for (const int32_t k : RandomPlaces(random, 1, last, consequential))
    steps[k] = ManyWays(random, options, 1 + static_cast<int32_t>(random.Below(4)));
  std::vector<double> ends_right;
  for (int32_t lane = 0; lane < options.lanes; ++lane)
    ends_right.push_back(0.95 - 0.9 * lane / (options.lanes - 1));
  return WorldOfSteps(steps, static_cast<int32_t>(random.Below(options.lanes)), ends_right);
}

}  // namespace pivotal::testing
