// Apache-2.0. Tests the Markov policy, which other tests rely on as the truth.
#include "tests/support/markov_policy.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pivotal::testing {
namespace {

TEST(MarkovChain, BoundedSuccessTendsToTheSolutionOfTheLinearSystem) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const MarkovChain chain = RandomChain(9, seed);
    EXPECT_LT((chain.Success(2000) - chain.SuccessUnbounded()).cwiseAbs().maxCoeff(), 1e-12);
  }
}

TEST(MarkovChain, BoundedSuccessByHand) {
  MarkovChain chain;  // token 0 is followed by itself or, with probability 1/2, by the end
  chain.transition = Eigen::Matrix2d{{0.5, 0.5}, {0, 1}};
  chain.right = {true, false};
  chain.eos = 1;
  EXPECT_EQ(chain.Success(0)[0], 0.0);
  EXPECT_EQ(chain.Success(1)[0], 0.5);
  EXPECT_EQ(chain.Success(3)[0], 0.875);
}

TEST(MarkovChain, ForkDecidesEverything) {
  const Eigen::VectorXd success = ForkChain().SuccessUnbounded();
  EXPECT_NEAR(success[0], 0.5, 1e-12);
  EXPECT_NEAR(success[1], 0.5, 1e-12);
  EXPECT_NEAR(success[3], 1.0, 1e-12);
  EXPECT_NEAR(success[4], 0.0, 1e-12);
}

TEST(MarkovPolicy, RolloutsSucceedAsOftenAsTheTruthSays) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    MarkovPolicy policy(RandomChain(8, seed), seed);
    const int32_t n = 4000;
    const auto rollouts =
        policy.Sample(std::vector<RolloutRequest>{{{2, 3}, n, 12, 99, 0}}, Progress())[0];
    int32_t right = 0;
    for (const Rollout& rollout : rollouts) right += policy.chain().IsRight(3, rollout.tokens);
    const double p = policy.chain().Success(12)[3];
    EXPECT_NEAR(static_cast<double>(right) / n, p, 5 * std::sqrt(p * (1 - p) / n)) << seed;
    EXPECT_EQ(policy.counters().rollouts, n);
  }
}

TEST(MarkovPolicy, DrawsAreKeyedByIdentity) {
  MarkovPolicy policy(RandomChain(8, 1), 7);
  const RolloutRequest all{{0}, 10, 20, 5, 0}, tail{{0}, 4, 20, 5, 6}, other{{0}, 10, 20, 6, 0};
  const auto together = policy.Sample(std::vector{other, all, tail}, Progress());
  const auto alone = policy.Sample(std::vector{all}, Progress());
  for (int i = 0; i < 10; ++i) EXPECT_EQ(together[1][i].tokens, alone[0][i].tokens);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(together[2][i].tokens, alone[0][6 + i].tokens);
  bool differs = false;
  for (int i = 0; i < 10; ++i) differs |= together[0][i].tokens != alone[0][i].tokens;
  EXPECT_TRUE(differs);
}

TEST(MarkovPolicy, ScoresAgreeWithTheLogProbabilitiesOfRollouts) {
  MarkovPolicy policy(RandomChain(8, 3), 7);
  const auto rollout =
      policy.Sample(std::vector<RolloutRequest>{{{0}, 1, 30, 5, 0}}, Progress())[0][0];
  const auto scores = policy.Score(std::vector<TokenId>{0}, rollout.tokens);
  ASSERT_EQ(scores.size(), rollout.tokens.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    EXPECT_EQ(scores[i].logprob, rollout.logprobs[i]);
    EXPECT_NE(scores[i].runner_up, rollout.tokens[i]);
    EXPECT_TRUE(std::isfinite(scores[i].runner_up_logprob));
  }
}

}  // namespace
}  // namespace pivotal::testing
