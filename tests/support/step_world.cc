// Apache-2.0.
#include "tests/support/step_world.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

namespace pivotal::testing {

TableWorld WorldOfSteps(std::span<const StateStep> steps, int32_t first,
                        std::span<const double> ends_right) {
  const auto states = static_cast<int32_t>(ends_right.size());
  std::vector<int32_t> words;  // of each step
  std::vector<TokenId> begin;  // the first token of each step
  TokenId size = 1;
  for (const StateStep& step : steps) {
    int32_t most = 0;
    for (const auto& row : step.rows)
      for (const Jump& jump : row) most = std::max(most, jump.word + 1);
    words.push_back(most);
    begin.push_back(size);
    size += states * most;
  }
  const TokenId right = size, wrong = size + 1;

  std::vector<std::vector<Move>> moves(static_cast<std::size_t>(wrong) + 1);
  const auto row_of = [&](std::size_t step, int32_t state) {
    std::map<TokenId, double> sums;
    for (const Jump& jump : steps[step].rows[state])
      sums[begin[step] + jump.state * words[step] + jump.word] += jump.probability;
    std::vector<Move> row;
    for (const auto& [token, probability] : sums)
      if (probability > 0) row.push_back({token, probability});
    return row;
  };
  moves[0] = row_of(0, first);
  for (std::size_t step = 0; step < steps.size(); ++step) {
    for (int32_t state = 0; state < states; ++state) {
      std::vector<Move> row;
      if (step + 1 < steps.size()) {
        row = row_of(step + 1, state);
      } else {
        if (ends_right[state] > 0) row.push_back({right, ends_right[state]});
        if (ends_right[state] < 1) row.push_back({wrong, 1 - ends_right[state]});
      }
      for (int32_t word = 0; word < words[step]; ++word)
        moves[begin[step] + state * words[step] + word] = row;
    }
  }
  return {std::move(moves), right};
}

std::vector<double> RandomWeights(kernels::RandomStream& random, int32_t count, double total) {
  std::vector<double> weights;
  for (int32_t i = 0; i < count; ++i) weights.push_back(-std::log1p(-random.Uniform()) + 0.02);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& weight : weights) weight *= total / sum;
  return weights;
}

StateStep WordStep(kernels::RandomStream& random, int32_t states, int32_t words) {
  const auto weights = RandomWeights(random, words, 1.0);
  StateStep step;
  for (int32_t state = 0; state < states; ++state) {
    auto& row = step.rows.emplace_back();
    for (int32_t word = 0; word < words; ++word) row.push_back({state, word, weights[word]});
  }
  return step;
}

StateStep RareWordStep(kernels::RandomStream& random, int32_t states) {
  const double rare = std::pow(10.0, -1.3 - 2.7 * random.Uniform());
  StateStep step;
  for (int32_t state = 0; state < states; ++state)
    step.rows.push_back({{state, 0, 1 - rare}, {state, 1, rare}});
  return step;
}

std::vector<int32_t> RandomPlaces(kernels::RandomStream& random, int32_t begin, int32_t end,
                                  int32_t count) {
  std::vector<int32_t> places(static_cast<std::size_t>(std::max(0, end - begin)));
  std::iota(places.begin(), places.end(), begin);
  count = std::min(count, static_cast<int32_t>(places.size()));
  for (int32_t i = 0; i < count; ++i)
    kernels::ShuffleStep(places, static_cast<std::size_t>(i), random);
  places.resize(static_cast<std::size_t>(count));
  std::ranges::sort(places);
  return places;
}

}  // namespace pivotal::testing
