// Apache-2.0.
#include "pts/response_trace.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pivotal::pts {
namespace {

// Returns a trie of the responses 1 2 3 9 (right) and 1 2 4 9 (wrong), every token at probability
// 1/2.
SuccessTrie TwoResponses() {
  SuccessTrie trie;
  const std::vector<float> logprobs(4, std::log(0.5f));
  trie.AddResponse(std::vector<TokenId>{1, 2, 3, 9}, logprobs, true);
  trie.AddResponse(std::vector<TokenId>{1, 2, 4, 9}, logprobs, false);
  return trie;
}

TEST(AlternativesTo, AreWhatRolloutsDrewAndWhatOtherResponsesHave) {
  SuccessTrie trie = TwoResponses();
  const auto add = [&](int32_t node, std::vector<TokenId> tokens, bool success) {
    trie.AddRollout(node, tokens, std::vector<float>(tokens.size(), -2.0f), success);
  };
  add(0, {1, 5, 9}, true);  // leaves after P_1
  add(0, {1, 5, 9}, false);
  add(0, {1, 7, 9}, true);
  const int32_t two = trie.Path(0)[2], three = trie.Path(0)[3];
  const Strata strata(trie, 0.2);
  const auto at_two = AlternativesTo(trie, strata, two);
  ASSERT_EQ(at_two.size(), 2u);
  EXPECT_EQ(at_two[0].token, 5);
  EXPECT_EQ(at_two[0].estimate.samples, 2);
  EXPECT_EQ(at_two[0].estimate.successes, 1);
  EXPECT_FLOAT_EQ(at_two[0].logprob, -2.0f);
  EXPECT_EQ(at_two[1].token, 7);
  const auto at_three = AlternativesTo(trie, strata, three);
  ASSERT_EQ(at_three.size(), 1u);
  EXPECT_EQ(at_three[0].token, 4);  // the token of the other response
  EXPECT_FLOAT_EQ(at_three[0].logprob, std::log(0.5f));
}

TokenId Picked(std::vector<Alternative> alternatives, bool raised) {
  return PickAlternative(alternatives, raised ? 1 : 0, raised)->token;
}

TEST(PickAlternative, LowestAgainstARiseHighestAgainstAFall) {
  const std::vector<Alternative> alternatives = {{1, 0, {10, 5}}, {2, 0, {10, 1}}, {3, 0, {10, 9}}};
  EXPECT_EQ(Picked(alternatives, true), 2);
  EXPECT_EQ(Picked(alternatives, false), 3);
}

TEST(PickAlternative, OneLuckyRolloutDoesNotWinOverMany) {
  EXPECT_EQ(Picked({{1, 0, {1, 1}}, {2, 0, {20, 19}}}, false), 2);
  EXPECT_EQ(Picked({{1, 0, {1, 0}}, {2, 0, {20, 1}}}, true), 2);
}

TEST(PickAlternative, TiesGoToMoreSamplesThenToTheLowerId) {
  EXPECT_EQ(Picked({{1, 0, {2, 1}}, {2, 0, {4, 2}}}, true), 2);  // both 1/2
  EXPECT_EQ(Picked({{1, 0, {2, 1}}, {2, 0, {4, 2}}}, false), 2);
  EXPECT_EQ(Picked({{7, 0, {4, 2}}, {3, 0, {4, 2}}}, true), 3);
}

TEST(PickAlternative, ATokenThatIsHardlyEverSampledHasLittleToTeach) {
  EXPECT_EQ(Picked({{1, std::log(0.01f), {20, 0}}, {2, std::log(0.4f), {20, 4}}}, true), 2);
}

TEST(PickAlternative, NothingSeenOrNothingOnTheOtherSideNothingPicked) {
  EXPECT_FALSE(PickAlternative({}, 1, true).has_value());
  const std::vector<Alternative> above = {{1, 0, {20, 18}}};
  EXPECT_FALSE(PickAlternative(above, 0.3, true).has_value());
  EXPECT_TRUE(PickAlternative(above, 0.3, false).has_value());
}

}  // namespace
}  // namespace pivotal::pts
