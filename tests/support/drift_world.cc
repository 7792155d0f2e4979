// Apache-2.0.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/philox.h"
#include "tests/support/table_world.h"

namespace pivotal::testing {
namespace {

constexpr int32_t kHighest = 40;  // scores are clamped to [-kHighest, kHighest]
constexpr int32_t kScores = 2 * kHighest + 1;

TokenId Id(int32_t step, int32_t score) { return 1 + step * kScores + kHighest + score; }

// How a step may change the score.
struct Step {
  int32_t down = 0, up = 0;       // the amounts by which it may be lowered or raised
  double lowers = 0, raises = 0;  // the probabilities of lowering and raising it
};

Step RandomStep(kernels::RandomStream& random, const DriftWorldOptions& options) {
  const auto size = [&] { return 1 + static_cast<int32_t>(random.Below(options.reach)); };
  Step step;
  step.down = size();
  step.up = size();
  if (random.Uniform() < options.forks) {
    step.raises = 0.25 + 0.5 * random.Uniform();
    step.lowers = 1 - step.raises;
  } else {
    const double slips = std::pow(10.0, -1.3 - 2.7 * random.Uniform());
    step.raises = slips * random.Uniform();
    step.lowers = slips - step.raises;
  }
  return step;
}

}  // namespace

TableWorld DriftWorld(const DriftWorldOptions& options) {
  kernels::RandomStream random(options.seed, kernels::MixStream(0, "drift world"));
  const TokenId wrong = Id(options.length - 1, -kHighest), right = wrong + 1;
  std::vector<std::vector<Move>> moves(right + 1);
  for (int32_t k = 0; k < options.length - 1; ++k) {
    const Step step = RandomStep(random, options);
    const auto row = [&](int32_t score) {
      std::vector<Move> row;
      const auto add = [&](int32_t change, double probability) {
        const TokenId to = Id(k, std::clamp(score + change, -kHighest, kHighest));
        if (!row.empty() && row.back().token == to)
          row.back().probability += probability;
        else if (probability > 0)
          row.push_back({to, probability});
      };
      add(-step.down, step.lowers);
      add(0, 1 - step.lowers - step.raises);
      add(step.up, step.raises);
      return row;
    };
    if (k == 0)
      moves[0] = row(0);
    else
      for (int32_t score = -kHighest; score <= kHighest; ++score)
        moves[Id(k - 1, score)] = row(score);
  }
  for (int32_t score = -kHighest; score <= kHighest; ++score)
    moves[Id(options.length - 2, score)] = {{score >= 0 ? right : wrong, 1.0}};
  return {std::move(moves), right};
}

}  // namespace pivotal::testing
