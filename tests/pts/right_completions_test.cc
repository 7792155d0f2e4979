// Apache-2.0. Tests right completions as data for next-token training.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "pivotal/error.h"
#include "pivotal/pairs.h"
#include "tests/support/error_text.h"

namespace pivotal {
namespace {

using ::testing::ElementsAre;
using testing::ErrorText;
using ::testing::HasSubstr;
using Tokens = std::vector<TokenId>;

RolloutTrace Rollout(RolloutKind kind, int32_t position, TokenId forced, Tokens tokens,
                     bool success) {
  RolloutTrace rollout;
  rollout.kind = kind;
  rollout.response = kind == RolloutKind::kQuery ? -1 : 0;
  rollout.position = position;
  rollout.forced = forced;
  rollout.tokens = std::move(tokens);
  rollout.success = success;
  return rollout;
}

// Returns a query with the wrong response 1 2 3.
QueryTrace Query(const std::string& id) {
  QueryTrace query;
  query.id = id;
  query.prompt = {8, 9};
  ResponseTrace response;
  response.tokens = {1, 2, 3};
  query.responses = {response};
  query.rollouts = {
      Rollout(RolloutKind::kChosen, 1, 5, {6}, true),        // 1 5 6
      Rollout(RolloutKind::kPrefix, 2, -1, {4}, true),       // 1 2 4
      Rollout(RolloutKind::kPrefix, 1, -1, {2, 4}, true),    // 1 2 4, and a longer completion
      Rollout(RolloutKind::kRejected, 1, 2, {3}, false),     // 1 2 3
      Rollout(RolloutKind::kQuery, 0, -1, {1, 5, 6}, true),  // 1 5 6, a whole response
      Rollout(RolloutKind::kQuery, 0, -1, {1, 2, 3}, false),
      Rollout(RolloutKind::kQuery, 0, -1, {1, 5, 6}, true),
      Rollout(RolloutKind::kQuery, 0, -1, {7}, true)};
  return query;
}

std::vector<std::string> Ids(const std::vector<PromptCompletion>& completions) {
  std::vector<std::string> ids;
  for (const PromptCompletion& completion : completions) ids.push_back(completion.id);
  return ids;
}

TEST(BuildRightCompletions, TakesEachRightResponseOnce) {
  const std::vector<QueryTrace> queries = {Query("a"), Query("b")};
  const auto completions = BuildRightCompletions(queries, {});
  EXPECT_THAT(Ids(completions), ElementsAre("a/right/0", "a/right/1", "b/right/0", "b/right/1"));
  for (const PromptCompletion& completion : completions)
    EXPECT_THAT(completion.prompt_ids, ElementsAre(8, 9));
  EXPECT_THAT(completions[0].completion_ids, ElementsAre(1, 5, 6));
  EXPECT_THAT(completions[1].completion_ids, ElementsAre(7));
}

TEST(BuildRightCompletions, TakesTheLongestContinuationOfEachResponse) {
  const std::vector<QueryTrace> queries = {Query("a")};
  const auto completions = BuildRightCompletions(queries, {.continuations = true});
  ASSERT_THAT(Ids(completions), ElementsAre("a/right/0", "a/right/1", "a/right/2"));
  EXPECT_THAT(completions[0].completion_ids, ElementsAre(1, 5, 6));
  EXPECT_THAT(completions[1].completion_ids, ElementsAre(7));
  EXPECT_THAT(completions[2].prompt_ids, ElementsAre(8, 9, 1));
  EXPECT_THAT(completions[2].completion_ids, ElementsAre(2, 4));
}

// Where no better completion makes the response, the token of a pair belongs to the prompt.
TEST(BuildRightCompletions, AForcedTokenIsGiven) {
  std::vector<QueryTrace> queries = {Query("a")};
  queries[0].rollouts.resize(1);
  EXPECT_TRUE(BuildRightCompletions(queries, {}).empty());
  const auto completions = BuildRightCompletions(queries, {.continuations = true});
  ASSERT_EQ(completions.size(), 1u);
  EXPECT_THAT(completions[0].prompt_ids, ElementsAre(8, 9, 1, 5));
  EXPECT_THAT(completions[0].completion_ids, ElementsAre(6));
}

// A run may hold a right response that is none of its rollouts, as one that was imported.
TEST(BuildRightCompletions, TakesSearchedResponses) {
  std::vector<QueryTrace> queries = {Query("a")};
  queries[0].rollouts.clear();
  queries[0].responses[0].success = true;
  const auto completions = BuildRightCompletions(queries, {});
  ASSERT_EQ(completions.size(), 1u);
  EXPECT_THAT(completions[0].completion_ids, ElementsAre(1, 2, 3));
}

TEST(BuildRightCompletions, LeavesOutWhatTheLimitCut) {
  std::vector<QueryTrace> queries = {Query("a")};
  for (RolloutTrace& rollout : queries[0].rollouts) rollout.finish = FinishReason::kLength;
  queries[0].responses[0].success = true;
  queries[0].responses[0].finish = FinishReason::kLength;
  EXPECT_TRUE(BuildRightCompletions(queries, {.continuations = true}).empty());
  queries[0].rollouts[0].finish = FinishReason::kStop;
  EXPECT_EQ(BuildRightCompletions(queries, {.continuations = true}).size(), 1u);
}

TEST(BuildRightCompletions, DrawsAsManyOfAQueryAsAsked) {
  QueryTrace query = Query("a");
  for (TokenId token = 10; token < 20; ++token)
    query.rollouts.push_back(Rollout(RolloutKind::kQuery, 0, -1, {token}, true));
  const std::vector<QueryTrace> queries = {query, Query("b")};
  std::set<Tokens> seen;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const auto completions = BuildRightCompletions(queries, {.per_query = 3, .seed = seed});
    ASSERT_THAT(Ids(completions),
                ElementsAre("a/right/0", "a/right/1", "a/right/2", "b/right/0", "b/right/1"));
    for (std::size_t i = 0; i < 3; ++i) seen.insert(completions[i].completion_ids);
  }
  EXPECT_EQ(seen.size(), 12u) << "each one is drawn now and then";
  EXPECT_THAT(ErrorText([&] { BuildRightCompletions(queries, {.per_query = -1}); }),
              HasSubstr("per_query is -1"));
}

}  // namespace
}  // namespace pivotal
