// Apache-2.0. Tests pairs of whole responses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <stdexcept>

#include "data/base/error.h"
#include "pivotal/pairs.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/error_text.h"

namespace pivotal::pts {
namespace {

using testing::ByteTokenizer;
using ::testing::ElementsAre;
using testing::ErrorText;
using ::testing::HasSubstr;
using Tokens = std::vector<TokenId>;

constexpr TokenId kEos = ByteTokenizer::kEos;

RolloutTrace Rollout(Tokens tokens, bool success) {
  RolloutTrace rollout;
  rollout.logprobs.assign(tokens.size(), -1.0f);
  rollout.tokens = std::move(tokens);
  rollout.success = success;
  return rollout;
}

QueryTrace Query(const std::string& id, bool searched) {
  QueryTrace query;
  query.id = id;
  query.prompt = {'1', id.back()};
  query.searched = searched;
  return query;
}

std::vector<std::string> Ids(const std::vector<PreferencePair>& pairs) {
  std::vector<std::string> ids;
  for (const auto& pair : pairs) ids.push_back(pair.id);
  return ids;
}

TEST(BuildFullPairs, SetsRightAgainstWrongResponsesInTurns) {
  std::vector<QueryTrace> queries = {Query("q0", true), Query("q1", true), Query("q2", false)};
  for (QueryTrace& query : queries) {
    for (TokenId t = 'a'; t < 'd'; ++t) {
      query.rollouts.push_back(Rollout({'r', t, kEos}, true));
      query.rollouts.push_back(Rollout({'r', t, kEos}, true));  // the same text again
    }
    for (TokenId t = 'x'; t < 'z'; ++t) query.rollouts.push_back(Rollout({'w', t, kEos}, false));
    query.rollouts.push_back(Rollout({'p'}, false));
    query.rollouts.back().kind = RolloutKind::kPrefix;
  }
  const ByteTokenizer tokenizer;
  const auto pairs = BuildFullPairs(queries, tokenizer, {100, 1});
  EXPECT_THAT(Ids(pairs), ElementsAre("q0/full/0", "q1/full/0", "q0/full/1", "q1/full/1"));
  std::set<Tokens> chosen, rejected;
  for (const auto& pair : pairs) {
    EXPECT_EQ(pair.source, "full");
    EXPECT_EQ(pair.chosen_ids[0], 'r');
    EXPECT_EQ(pair.rejected_ids[0], 'w');
    if (!pair.id.starts_with("q0")) continue;
    EXPECT_TRUE(chosen.insert(pair.chosen_ids).second);
    EXPECT_TRUE(rejected.insert(pair.rejected_ids).second);
  }
  EXPECT_EQ(BuildFullPairs(queries, tokenizer, {1, 1}).size(), 1u);
  EXPECT_EQ(BuildFullPairs(queries, tokenizer, {0, 1}).size(), 4u) << "0: all";
}

// Returns a query with responses "0" ... "9", each worth its digit.
QueryTrace Digits(const std::string& id) {
  QueryTrace query = Query(id, false);
  for (TokenId digit = '0'; digit <= '9'; ++digit)
    query.rollouts.push_back(Rollout({digit, kEos}, digit >= '5'));
  return query;
}

std::optional<double> Worth(const QueryTrace&, std::span<const TokenId> response) {
  return static_cast<double>(response[0] - '0');
}

TEST(BuildJudgedPairs, SetsTheBestAgainstTheWorst) {
  const std::vector<QueryTrace> queries = {Digits("q0"), Digits("q1")};
  const ByteTokenizer tokenizer;
  const auto pairs = BuildJudgedPairs(queries, tokenizer, Worth, {{100, 1}, 10, 3, 2});
  // 9 and 0, 8 and 1, 7 and 2, 6 and 3 are three apart or more, 5 and 4 are not.
  EXPECT_THAT(Ids(pairs), ElementsAre("q0/judged/0", "q1/judged/0", "q0/judged/1", "q1/judged/1",
                                      "q0/judged/2", "q1/judged/2", "q0/judged/3", "q1/judged/3"));
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    EXPECT_EQ(pairs[i].source, "judged");
    EXPECT_THAT(pairs[i].chosen_ids, ElementsAre(static_cast<TokenId>('9' - i / 2), kEos));
    EXPECT_THAT(pairs[i].rejected_ids, ElementsAre(static_cast<TokenId>('0' + i / 2), kEos));
  }
  EXPECT_EQ(BuildJudgedPairs(queries, tokenizer, Worth, {{3, 1}, 10, 3, 1}).size(), 3u);
}

TEST(BuildJudgedPairs, ScoresAsManyResponsesAsAskedAndTakesNoScoreForNone) {
  const std::vector<QueryTrace> queries = {Digits("q0")};
  const ByteTokenizer tokenizer;
  std::set<TokenId> asked;
  const auto score = [&](const QueryTrace& query,
                         std::span<const TokenId> response) -> std::optional<double> {
    asked.insert(response[0]);
    if (asked.size() == 1) return std::nullopt;
    return Worth(query, response);
  };
  EXPECT_EQ(BuildJudgedPairs(queries, tokenizer, score, {{100, 1}, 3, 0.5, 1}).size(),
            1u);  // from the two that have a score
  EXPECT_EQ(asked.size(), 3u);
  EXPECT_THAT(ErrorText([&] {
                BuildJudgedPairs(queries, tokenizer, score, {{1, 1}, 3, 0, 1});
              }),
              HasSubstr("margin is 0"));
  EXPECT_THROW(BuildJudgedPairs(queries, tokenizer,
                                [](const auto&, auto) -> std::optional<double> {
                                  throw std::runtime_error("judge");
                                },
                                {{1, 1}, 3, 1, 2}),
               std::runtime_error);
}

TEST(BuildRefusalPairs, PreferRefusingWhereNothingWasRight) {
  std::vector<QueryTrace> queries = {Query("q0", true), Query("q1", false), Query("q2", false)};
  queries[0].rollouts = {Rollout({'n', kEos}, false), Rollout({'y', kEos}, true)};
  queries[1].rollouts = {Rollout({'n', 7}, false),
                         Rollout({'m', 7}, false)};  // a token 7 that ends the turn
  const ByteTokenizer tokenizer;
  const auto pairs = BuildRefusalPairs(queries, tokenizer, "No", {10, 1});
  std::map<std::string, PreferencePair> by_id;
  for (const auto& pair : pairs) by_id[pair.id] = pair;
  ASSERT_EQ(by_id.size(), 2u) << "q2 has no rollouts";
  EXPECT_EQ(pairs[0].id, "q1/refusal/0") << "those to refuse come first";
  EXPECT_THAT(by_id["q0/refusal/0"].chosen_ids, ElementsAre('y', kEos));
  EXPECT_THAT(by_id["q0/refusal/0"].rejected_ids, ElementsAre('N', 'o', kEos));
  EXPECT_THAT(by_id["q1/refusal/0"].chosen_ids, ElementsAre('N', 'o', 7));
  EXPECT_EQ(by_id["q1/refusal/0"].rejected_ids[1], 7);
  EXPECT_EQ(BuildRefusalPairs(queries, tokenizer, "No", {1, 1}).size(), 1u);
  EXPECT_EQ(BuildRefusalPairs(queries, tokenizer, "No", {0, 1}).size(), 2u) << "0: all";
  queries[1].rollouts = {Rollout({'N', 'o', 7}, false)};  // the policy refuses by itself
  EXPECT_THAT(Ids(BuildRefusalPairs(queries, tokenizer, "No", {10, 1})),
              ElementsAre("q0/refusal/0"));
  queries[1].rollouts.push_back(Rollout({'n', 7}, false));
  EXPECT_EQ(BuildRefusalPairs(queries, tokenizer, "No", {10, 1})[0].rejected_ids[0], 'n');
  EXPECT_THAT(ErrorText([&] {
                BuildRefusalPairs(queries, tokenizer, "", {1, 1});
              }),
              HasSubstr("no tokens"));
}

}  // namespace
}  // namespace pivotal::pts
