// Apache-2.0. Tests both sides of the candidate pairs of a search.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "pivotal/search.h"
#include "tests/pts/search_run.h"

namespace pivotal::pts {
namespace {

using testing::ForkChain;
using testing::MarkovChain;
using testing::MarkovPolicy;

// Returns a chain of 0, then 1, then EOS (4, right) or 2 3 EOS (wrong).
MarkovChain StopOrGoOn() {
  MarkovChain chain;
  chain.eos = 4;
  chain.right = {false, true, false, false, false};
  chain.transition = Eigen::MatrixXd::Zero(5, 5);
  chain.transition(0, 1) = chain.transition(2, 3) = chain.transition(3, 4) = 1;
  chain.transition(1, 4) = chain.transition(1, 2) = 0.5;
  chain.transition(4, 4) = 1;
  return chain;
}

TEST(SearchSides, ASideThatEndsTheResponseNeedsNoRollouts) {
  SearchOptions options = Published();
  options.samples = 100;
  MarkovPolicy policy(StopOrGoOn(), 2);  // this policy fails on a prefix that ends in EOS
  const auto query = Explore(Queries(1), policy, options).All()[0];
  ASSERT_EQ(query.responses.size(), 2u);
  // the response's token is EOS in one and the alternative in the other
  for (const auto& response : query.responses) {
    ASSERT_EQ(response.pivotal.size(), 1u);
    const PivotalToken& token = response.pivotal[0];
    EXPECT_EQ(token.position, 2);
    EXPECT_EQ(token.chosen, 4);
    EXPECT_EQ(token.chosen_samples, 32);
    EXPECT_EQ(token.chosen_successes, 32);
    EXPECT_EQ(token.rejected, 2);
    EXPECT_EQ(token.rejected_samples, 32);
    EXPECT_EQ(token.rejected_successes, 0);
  }
  for (const auto& rollout : query.rollouts) EXPECT_NE(rollout.forced, 4);
}

TEST(SearchSides, ASideThatFillsTheBudgetNeedsNoRollouts) {
  SearchOptions options = Published();
  options.samples = 100;
  options.max_new_tokens = 2;            // "1 2" is cut and wrong
  MarkovPolicy policy(StopOrGoOn(), 2);  // this policy fails on max_new_tokens = 0
  const auto query = Explore(Queries(1), policy, options).All()[0];
  ASSERT_EQ(query.responses.size(), 2u);
  EXPECT_EQ(query.responses[1].finish, FinishReason::kLength);
  for (const auto& response : query.responses) {
    ASSERT_EQ(response.pivotal.size(), 1u);
    EXPECT_EQ(response.pivotal[0].rejected, 2);
    EXPECT_EQ(response.pivotal[0].rejected_samples, 32);
    EXPECT_EQ(response.pivotal[0].rejected_successes, 0);
  }
}

TEST(SearchSides, ASideThatAStopRuleEndsNeedsNoRollouts) {
  SearchOptions options = Published();
  options.samples = 100;
  options.stop = [](std::span<const TokenId> response) {
    return response.back() == 2;
  };  // "1 2" is wrong
  MarkovPolicy policy(StopOrGoOn(), 2);
  const auto query = Explore(Queries(1), policy, options).All()[0];
  ASSERT_EQ(query.responses.size(), 2u);
  EXPECT_EQ(query.responses[1].finish, FinishReason::kStop);
  for (const auto& response : query.responses) {
    EXPECT_EQ(response.tokens.size(), 2u);
    ASSERT_EQ(response.pivotal.size(), 1u);
    EXPECT_EQ(response.pivotal[0].rejected, 2);
    EXPECT_EQ(response.pivotal[0].rejected_samples, 32);
    EXPECT_EQ(response.pivotal[0].rejected_successes, 0);
  }
  for (const auto& rollout : query.rollouts) EXPECT_NE(rollout.forced, 2);
}

// A policy whose context holds four tokens: longer rollouts are cut, and nothing fits after the
// fourth.
class ShortContextPolicy : public MarkovPolicy {
 public:
  using MarkovPolicy::MarkovPolicy;
  std::vector<std::vector<Rollout>> Sample(std::span<const RolloutRequest> requests,
                                           const Progress& progress,
                                           const RolloutSink& finished) override {
    std::vector<RolloutRequest> shorter(requests.begin(), requests.end());
    for (RolloutRequest& request : shorter) {
      const auto room = 4 - static_cast<int32_t>(request.prefix.size());
      request.max_new_tokens = std::min(request.max_new_tokens, room);  // the base class refuses 0
    }
    return MarkovPolicy::Sample(shorter, progress, finished);
  }
};

TEST(SearchSides, ASideThatFillsTheContextNeedsNoRollouts) {
  SearchOptions options = Published();
  options.samples = 100;
  ShortContextPolicy policy(StopOrGoOn(), 2);
  const auto query = Explore(Queries(1), policy, options).All()[0];
  ASSERT_EQ(query.responses.size(), 2u);
  EXPECT_EQ(query.responses[1].finish, FinishReason::kLength);
  // "1 2" is the response in one and the alternative in the other
  for (const auto& response : query.responses) {
    ASSERT_EQ(response.pivotal.size(), 1u);
    EXPECT_EQ(response.pivotal[0].rejected, 2);
    EXPECT_EQ(response.pivotal[0].rejected_samples, 32);
    EXPECT_EQ(response.pivotal[0].rejected_successes, 0);
  }
}

TEST(SearchSides, NoAlternativeNoCandidate) {
  SearchOptions options = Wide();
  options.samples = 3;  // noise makes the certain token 1 look pivotal
  options.confirm = 2;
  MarkovPolicy policy(StopOrGoOn(), 2);
  const Found found = Explore(Queries(40), policy, options);
  int64_t alone = 0;
  for (const auto& query : found.All()) {
    for (const auto& response : query.responses) {
      for (const auto& token : response.pivotal) {
        if (token.position == 2) continue;
        EXPECT_EQ(token.chosen, -1);
        EXPECT_EQ(token.rejected, -1);
        EXPECT_EQ(token.chosen_samples, 0);
        ++alone;
      }
    }
  }
  EXPECT_GT(alone, 5);
  EXPECT_LE(found.summary.candidates, found.summary.pivotal - alone);
}

TEST(SearchSides, WithoutConfirmationCandidatesHaveNoCounts) {
  SearchOptions options = Published();
  options.confirm = 0;
  MarkovPolicy policy(ForkChain(), 5);
  const Found found = Explore(Queries(5), policy, options);
  EXPECT_GT(found.summary.candidates, 0);
  for (const auto& query : found.All()) {
    for (const auto& response : query.responses)
      for (const auto& token : response.pivotal)
        EXPECT_EQ(token.chosen_samples + token.rejected_samples, 0);
    for (const auto& rollout : query.rollouts) EXPECT_EQ(rollout.forced, -1);
  }
}

}  // namespace
}  // namespace pivotal::pts
