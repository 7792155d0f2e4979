// Apache-2.0.
#include "dpo/stochastic_round.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/error.h"

namespace pivotal::dpo {
namespace {

constexpr int64_t kDraws = 100'000;

// `share` of the way from `low` to the next bfloat16.
void ExpectUnbiased(double low, double spacing, double share) {
  const double value = low + share * spacing;
  const at::Tensor rounded =
      StochasticRound(at::full({kDraws}, value, at::TensorOptions(at::kFloat)), 3).to(at::kDouble);
  const at::Tensor up = rounded.eq(low + spacing);
  EXPECT_TRUE(up.logical_or(rounded.eq(low)).all().item<bool>()) << value;
  // Four standard deviations of a binomial share.
  EXPECT_NEAR(up.to(at::kDouble).mean().item<double>(), share,
              4 * std::sqrt(share * (1 - share) / kDraws)) << value;
}

TEST(StochasticRound, IsRightOnAverageBetweenTheNeighbours) {
  ExpectUnbiased(1.0, 1.0 / 128, 0.1);
  ExpectUnbiased(1.0, 1.0 / 128, 0.75);
  ExpectUnbiased(-1.0, -1.0 / 128, 0.25);
  ExpectUnbiased(0.0078125, 0.0078125 / 128, 0.5);
}

TEST(StochasticRound, LeavesWhatBFloat16HoldsAndIsAFunctionOfItsSeed) {
  const at::Tensor exact = at::full({1000}, 1.0078125, at::TensorOptions(at::kFloat));
  EXPECT_TRUE(StochasticRound(exact, 1).to(at::kFloat).equal(exact));
  const at::Tensor between = exact + 0.003;
  EXPECT_TRUE(StochasticRound(between, 1).equal(StochasticRound(between, 1)));
  EXPECT_FALSE(StochasticRound(between, 1).equal(StochasticRound(between, 2)));
  EXPECT_THROW(StochasticRound(exact.to(at::kDouble), 1), Error);
}

}  // namespace
}  // namespace pivotal::dpo
