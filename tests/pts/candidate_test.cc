// Apache-2.0.
#include "pts/candidate.h"

#include <gtest/gtest.h>

namespace pivotal::pts {
namespace {

using data::RolloutKind;

data::RolloutTrace Rollout(RolloutKind kind, int32_t response, int32_t position,
                           std::vector<TokenId> tokens, bool success, TokenId forced = -1) {
  data::RolloutTrace rollout;
  rollout.kind = kind;
  rollout.response = response;
  rollout.position = position;
  rollout.forced = forced;
  rollout.logprobs.assign(tokens.size(), -1.0f);
  rollout.tokens = std::move(tokens);
  rollout.success = success;
  return rollout;
}

// Responses 1 2 3 9 and 1 2 4 9.
data::QueryTrace TwoResponses() {
  data::QueryTrace trace;
  trace.responses.resize(2);
  trace.responses[0].tokens = {1, 2, 3, 9};
  trace.responses[1].tokens = {1, 2, 4, 9};
  return trace;
}

TEST(AlternativesAt, CountsWhatWasSampledAfterThePrefix) {
  data::QueryTrace trace = TwoResponses();
  trace.rollouts = {
      Rollout(RolloutKind::kQuery, -1, 0, {1, 2, 5, 9}, true),  // passes through, leaves at 3
      Rollout(RolloutKind::kQuery, -1, 0, {1, 2, 3, 9}, true),  // the trunk itself
      Rollout(RolloutKind::kQuery, -1, 0, {1, 7, 5, 9}, true),  // leaves before
      Rollout(RolloutKind::kQuery, -1, 0, {1, 2}, true),        // cut before
      Rollout(RolloutKind::kPrefix, 0, 2, {5, 9}, false),       // from P_2
      Rollout(RolloutKind::kPrefix, 1, 1, {2, 4, 9}, true),     // a sibling's P_1 is the same
      Rollout(RolloutKind::kPrefix, 1, 3, {9}, true),           // t_3 was given, not sampled
      Rollout(RolloutKind::kRejected, 0, 2, {9}, true, 5),      // t_3 was forced
  };
  const auto alternatives = AlternativesAt(trace, 0, 3);
  ASSERT_EQ(alternatives.size(), 2u);
  EXPECT_EQ(alternatives[0].token, 4);
  EXPECT_EQ(alternatives[0].estimate.samples, 1);
  EXPECT_EQ(alternatives[0].estimate.successes, 1);
  EXPECT_EQ(alternatives[1].token, 5);
  EXPECT_EQ(alternatives[1].estimate.samples, 2);
  EXPECT_EQ(alternatives[1].estimate.successes, 1);
}

TEST(AlternativesAt, FirstTokenIsComparedWithRolloutsOfThePrompt) {
  data::QueryTrace trace = TwoResponses();
  trace.rollouts = {Rollout(RolloutKind::kQuery, -1, 0, {1, 2}, true),
                    Rollout(RolloutKind::kQuery, -1, 0, {8, 9}, false)};
  const auto alternatives = AlternativesAt(trace, 0, 1);
  ASSERT_EQ(alternatives.size(), 1u);
  EXPECT_EQ(alternatives[0].token, 8);
}

TokenId Picked(std::vector<Alternative> alternatives, bool trunk_accepted) {
  return PickOther(alternatives, trunk_accepted)->token;
}

TEST(PickOther, LowestAgainstARiseHighestAgainstAFall) {
  const std::vector<Alternative> alternatives = {{1, {10, 5}}, {2, {10, 1}}, {3, {10, 9}}};
  EXPECT_EQ(Picked(alternatives, true), 2);
  EXPECT_EQ(Picked(alternatives, false), 3);
}

TEST(PickOther, OneLuckyRolloutDoesNotWinOverMany) {
  EXPECT_EQ(Picked({{1, {1, 1}}, {2, {20, 19}}}, false), 2);
  EXPECT_EQ(Picked({{1, {1, 0}}, {2, {20, 1}}}, true), 2);
}

TEST(PickOther, TiesGoToMoreSamplesThenToTheLowerId) {
  EXPECT_EQ(Picked({{1, {2, 1}}, {2, {4, 2}}}, true), 2);  // both 1/2
  EXPECT_EQ(Picked({{1, {2, 1}}, {2, {4, 2}}}, false), 2);
  EXPECT_EQ(Picked({{7, {4, 2}}, {3, {4, 2}}}, true), 3);
}

TEST(PickOther, NothingSeenNothingPicked) { EXPECT_FALSE(PickOther({}, true).has_value()); }

}  // namespace
}  // namespace pivotal::pts
