// Apache-2.0. Tables of changes whose truth is known, for tests of intervals and of their power.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "experiments/ablation/crossed_mean.h"
#include "kernels/philox.h"

namespace pivotal::experiments {

// Draws from the model of ErrorOfMean().
class CrossedWorld {
 public:
  explicit CrossedWorld(uint64_t trial) : random_(5, trial) {}

  double Normal(double deviation) {
    const double radius = std::sqrt(-2 * std::log(1 - random_.Uniform()));
    return deviation * radius * std::cos(2 * std::numbers::pi * random_.Uniform());
  }

  SeedTable NormalTable(double mean, const CellVariance& variance, int seeds, int problems) {
    const auto of_problems = Normals(variance.problems, problems);
    SeedTable table;
    for (const double seed : Normals(variance.seeds, seeds)) {
      table.emplace_back();
      for (const double problem : of_problems)
        table.back().push_back(mean + seed + problem + Normal(std::sqrt(variance.rest)));
    }
    return table;
  }

  // Changes of the share of right ones among `samples` responses. The probability of a right
  // response is 0.3 to 0.6 by problem before, and 0.05 more after, on average; the deviation of
  // what a seed adds to it is `seed_deviation`, of what the arm does to a problem 0.05.
  SeedTable ResponseTable(double seed_deviation, int seeds, int problems, int samples) {
    std::vector<double> before, after;
    for (int i = 0; i < problems; ++i) {
      before.push_back(0.3 + 0.3 * random_.Uniform());
      after.push_back(before.back() + kChange + Normal(0.05));
    }
    SeedTable table;
    for (int s = 0; s < seeds; ++s) {
      const double of_seed = Normal(seed_deviation);
      table.emplace_back();
      for (int i = 0; i < problems; ++i)
        table.back().push_back(Share(after[i] + of_seed, samples) - Share(before[i], samples));
    }
    return table;
  }
  static constexpr double kChange = 0.05;

 private:
  std::vector<double> Normals(double variance, int count) {
    std::vector<double> values;
    for (int i = 0; i < count; ++i) values.push_back(Normal(std::sqrt(variance)));
    return values;
  }
  double Share(double probability, int samples) {
    int right = 0;
    for (int k = 0; k < samples; ++k) right += random_.Uniform() < probability ? 1 : 0;
    return static_cast<double>(right) / samples;
  }

  kernels::RandomStream random_;
};

}  // namespace pivotal::experiments
