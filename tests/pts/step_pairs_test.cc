// Apache-2.0. Tests pairs of steps: by hand, and against worlds whose p(success) is known exactly.
#include "pts/step_pairs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "pivotal/pairs.h"
#include "pts/response_trace.h"
#include "pts/strata.h"
#include "pts/success_trie.h"
#include "tests/pts/answer_world.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/error_text.h"

namespace pivotal::pts {
namespace {

using testing::ByteTokenizer;
using ::testing::ElementsAre;
using testing::ErrorText;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Tokens = std::vector<TokenId>;

Tokens Ids(const std::string& text) { return ByteTokenizer().Encode(text); }

// Returns a rollout from t_1..t_k of a response.
RolloutTrace From(int32_t response, int32_t k, const std::string& text, bool success) {
  RolloutTrace rollout;
  rollout.kind = RolloutKind::kPrefix;
  rollout.response = response;
  rollout.position = k;
  rollout.tokens = Ids(text);
  rollout.logprobs.assign(rollout.tokens.size(), -1.0f);
  rollout.success = success;
  return rollout;
}

constexpr double kLeastGap = 0.2;

// Sets p_0..p_n of all responses to what the rollouts say.
void Estimate(QueryTrace& query) {
  const SuccessTrie trie = TrieOf(query);
  const Strata strata(trie, kLeastGap);
  for (int32_t r = 0; r < std::ssize(query.responses); ++r)
    FillCurve(trie, strata, 0.95, r, query.responses[static_cast<std::size_t>(r)]);
}

// Adds a wrong response of three steps, "X b. c d. e f.". The policy takes X with `probability`,
// the first token of the other steps with probability 1/2, and all others for certain. Of 40
// rollouts that leave before the second step 36 are right, and of 40 before the third none.
void AddWrong(QueryTrace& query, const std::string& x, double probability) {
  const auto r = static_cast<int32_t>(query.responses.size());
  ResponseTrace response;
  response.tokens = Ids(x + " b. c d. e f.");
  response.logprobs.assign(response.tokens.size(), 0.0f);
  response.logprobs[0] = static_cast<float>(std::log(probability));
  response.logprobs[4] = response.logprobs[9] = std::log(0.5f);
  query.responses.push_back(response);
  for (int i = 0; i < 40; ++i) {
    const bool right = i < 36;
    query.rollouts.push_back(From(r, 4,
                                  i < 34   ? "\ty. w."
                                  : i < 36 ? "\tn. w."
                                  : i < 38 ? "\tn. v."
                                           : "\ty. v.",
                                  right));
    query.rollouts.push_back(From(r, 9, "\tg.", false));
  }
}

// Returns a query with such a response, whose X is "a", with probability 1/2. Of 40 rollouts that
// leave at once 20 are right: p is 0.475 at first, 0.45 after the first step, and then 0.
QueryTrace WrongQuery(const std::string& id) {
  QueryTrace query;
  query.id = id;
  query.prompt = Ids("Q");
  query.searched = true;
  AddWrong(query, "a", 0.5);
  for (int i = 0; i < 40; ++i) query.rollouts.push_back(From(0, 0, "z. w.", i % 2 == 0));
  Estimate(query);
  return query;
}

StepPairOptions Most(int32_t count = 0, double threshold = 0.125) {
  StepPairOptions options;
  options.count = count;
  options.threshold = threshold;
  return options;
}

TEST(FirstWrongStep, CrossesTheThreshold) {
  const double p[] = {0.5, 0.45, 0.3, 0.1, 0.3, 0.05, 0};
  const double changes[] = {-0.05, -0.15, -0.05, 0.15, -0.2, -0.05};
  const auto step = [&](std::vector<int32_t> ends, double threshold) {
    const auto found = FirstWrongStep(p, changes, ends, threshold);
    return found ? std::vector<double>{double(found->begin), double(found->end), found->change}
                 : std::vector<double>{};
  };
  using ::testing::DoubleNear;
  const auto is = [](double begin, double end, double change) {
    return ElementsAre(begin, end, DoubleNear(change, 1e-12));
  };
  EXPECT_THAT(step({1, 2, 3, 4, 5, 6}, 0.125), is(4, 5, -0.2))
      << "0.1 is measured after t_3, and its change does not bear it out";
  EXPECT_THAT(step({1, 2, 3, 4, 5, 6}, 0.4), is(1, 2, -0.15));
  EXPECT_THAT(step({2, 6}, 0.2), is(2, 6, -0.15)) << "a step of several tokens";
  EXPECT_THAT(step({6}, 0.5), is(0, 6, -0.35));
  EXPECT_THAT(step({2, 6}, 0.51), IsEmpty()) << "the problem itself is below";
  EXPECT_THAT(step({2, 6}, 0.01), IsEmpty());
}

TEST(BuildStepPairs, SetTheFirstWrongStepAgainstTheBestOne) {
  QueryTrace query = WrongQuery("q");
  ASSERT_NEAR(query.responses[0].estimates[0].mean, 0.475, 1e-6);
  ASSERT_NEAR(query.responses[0].estimates[4].mean, 0.45, 1e-6);
  ASSERT_NEAR(query.responses[0].estimates[9].mean, 0, 1e-6);
  const ByteTokenizer tokenizer;
  const auto pairs = BuildStepPairs({&query, 1}, tokenizer, kLeastGap, Most());
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_EQ(pairs[0].id, "q/step/0");
  EXPECT_EQ(pairs[0].source, "step");
  EXPECT_EQ(pairs[0].prompt_ids, Ids("Qa b."));
  EXPECT_EQ(pairs[0].rejected_ids, Ids(" c d."));
  EXPECT_EQ(pairs[0].chosen_ids, Ids("\ty.")) << "34 of 36 are right; 2 of 4 after \"\tn.\"";
  EXPECT_EQ(pairs[0].chosen, "\ty.");
  EXPECT_NEAR(pairs[0].delta, -0.45, 0.1);
  EXPECT_THAT(BuildStepPairs({&query, 1}, tokenizer, kLeastGap, Most(0, 0.5)), IsEmpty())
      << "the problem itself is below";
  query.responses[0].success = true;
  EXPECT_THAT(BuildStepPairs({&query, 1}, tokenizer, kLeastGap, Most()), IsEmpty());
}

TEST(BuildStepPairs, NeedARightRolloutThatHasThePrefix) {
  QueryTrace query = WrongQuery("q");
  std::erase_if(query.rollouts, [](const RolloutTrace& rollout) {
    return rollout.position == 4 && rollout.success;
  });
  const ByteTokenizer tokenizer;
  EXPECT_THAT(BuildStepPairs({&query, 1}, tokenizer, kLeastGap, Most()), IsEmpty())
      << "no right rollout is left after the first step";
}

TEST(BuildStepPairs, QueriesGiveTheirPairsInTurns) {
  std::vector<QueryTrace> queries = {WrongQuery("q0"), WrongQuery("q1")};
  for (QueryTrace& query : queries) {
    AddWrong(query, "B", 0.25);
    ResponseTrace other = query.responses[0];  // has the wrong step of response 0
    other.tokens.back() = '!';
    query.responses[0].logprobs.back() = other.logprobs.back() = std::log(0.5f);
    query.responses.push_back(other);
    Estimate(query);
  }
  const ByteTokenizer tokenizer;
  const auto ids = [&](int32_t count) {
    std::vector<std::string> all;
    for (const auto& pair : BuildStepPairs(queries, tokenizer, kLeastGap, Most(count)))
      all.push_back(pair.id);
    return all;
  };
  EXPECT_THAT(ids(0), ElementsAre("q0/step/0", "q1/step/0", "q0/step/1", "q1/step/1"));
  EXPECT_THAT(ids(3), ElementsAre("q0/step/0", "q1/step/0", "q0/step/1"));
  EXPECT_THAT(ErrorText([&] { BuildStepPairs(queries, tokenizer, kLeastGap, Most(0, 0)); }),
              HasSubstr("threshold is 0"));
  queries[0].responses[0].estimates.pop_back();
  EXPECT_THAT(ErrorText([&] { BuildStepPairs(queries, tokenizer, kLeastGap, Most()); }),
              HasSubstr("not known at every token of response 0 of problem q0"));
}

// Every token is a line, and so a step.
class LineTokenizer : public ByteTokenizer {
 public:
  std::string Decode(std::span<const TokenId> ids, bool) const override {
    std::string text;
    for (const TokenId id : ids) text += Piece(id);
    return text;
  }
  std::string Piece(TokenId id) const override { return std::to_string(id) + "\n"; }
};

TEST(BuildStepPairs, OfASearchRejectStepsThatAreWrong) {
  int count = 0, better = 0, first = 0, right = 0;
  const LineTokenizer tokenizer;
  for (const AnswerSearch& search : SearchAnswerWorlds(60)) {
    const auto& world = search.world.world();
    for (const PreferencePair& pair : BuildStepPairs(search.traces, tokenizer, kLeastGap, Most())) {
      ASSERT_EQ(pair.rejected_ids.size(), 1u);
      ASSERT_EQ(pair.chosen_ids.size(), 1u);
      const double after = world.Success(pair.rejected_ids[0]);
      ++count;
      first += world.Success(pair.prompt_ids.back()) > 0.1;
      right += after < 0.15;
      better += world.Success(pair.chosen_ids[0]) > after;
    }
  }
  ASSERT_GT(count, 20);
  EXPECT_GE(first, count * 9 / 10) << "p(success) before the wrong step";
  EXPECT_GE(right, count * 9 / 10) << "p(success) after the wrong step";
  EXPECT_GE(better, count * 9 / 10);
}

}  // namespace
}  // namespace pivotal::pts
