// Apache-2.0.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "pivotal/error.h"
#include "pivotal/policy.h"
#include "pivotal/progress.h"
#include "tests/support/error_text.h"

namespace pivotal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Choices = std::vector<std::pair<TokenId, double>>;

// After token 1: 1, 2 or 3. After 2 or 3: the end, token 0.
Choices Walk(std::span<const TokenId> prefix) {
  if (prefix.back() == 1) return {{3, 0.5}, {1, 0.2}, {2, 0.3}};
  return {{0, 1}};
}

std::vector<Rollout> SampleOne(Policy& policy, RolloutRequest request) {
  return policy.Sample({&request, 1}, Progress())[0];
}

TEST(PolicyOf, DrawsByTheDistribution) {
  const auto policy = PolicyOf(Walk);
  const int n = 20000;
  std::map<TokenId, int> first;
  for (const Rollout& rollout : SampleOne(*policy, {.prefix = {1}, .count = n})) {
    ++first[rollout.tokens[0]];
    EXPECT_EQ(rollout.finish, FinishReason::kEos);
    EXPECT_EQ(rollout.tokens.back(), 0);
    const std::map<TokenId, double> p = {{1, 0.2}, {2, 0.3}, {3, 0.5}};
    EXPECT_NEAR(rollout.logprobs[0], std::log(p.at(rollout.tokens[0])), 1e-6);
    EXPECT_NEAR(rollout.logprobs.back(), 0, 1e-6);
  }
  // Five standard deviations of a binomial share.
  const double bound = 5 * std::sqrt(0.25 / n);
  EXPECT_NEAR(first[1] / double{n}, 0.2, bound);
  EXPECT_NEAR(first[2] / double{n}, 0.3, bound);
  EXPECT_NEAR(first[3] / double{n}, 0.5, bound);
}

TEST(PolicyOf, ExcludesTokensFromTheFirstDrawAlone) {
  const auto policy = PolicyOf(Walk);
  const int n = 20000;
  int twos = 0;
  for (const Rollout& rollout :
       SampleOne(*policy, {.prefix = {1}, .count = n, .excluded = {1, 7}})) {
    ASSERT_THAT(rollout.tokens, ElementsAre(::testing::AnyOf(2, 3), 0));
    twos += rollout.tokens[0] == 2;
    EXPECT_NEAR(rollout.logprobs[0], std::log(rollout.tokens[0] == 2 ? 0.3 : 0.5), 1e-6);
  }
  EXPECT_NEAR(twos / double{n}, 0.3 / 0.8, 5 * std::sqrt(0.25 / n));
}

TEST(PolicyOf, GivesEqualRolloutsInAnyBatch) {
  const auto policy = PolicyOf(Walk, {.seed = 7});
  const auto all = SampleOne(*policy, {.prefix = {1}, .count = 50, .stream = 3});
  const std::vector<RolloutRequest> parts = {
      {.prefix = {1}, .count = 20, .stream = 3, .first_rollout = 30},
      {.prefix = {1}, .count = 30, .stream = 3}};
  const auto again = policy->Sample(parts, Progress());
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(all[i].tokens, i < 30 ? again[1][i].tokens : again[0][i - 30].tokens) << i;
  const auto other =
      SampleOne(*PolicyOf(Walk, {.seed = 8}), {.prefix = {1}, .count = 50, .stream = 3});
  EXPECT_FALSE(std::equal(all.begin(), all.end(), other.begin(),
                          [](const Rollout& a, const Rollout& b) { return a.tokens == b.tokens; }));
}

TEST(PolicyOf, EndsByLengthAndByStopRules) {
  const auto policy = PolicyOf([](std::span<const TokenId>) { return Choices{{5, 1}}; });
  const auto cut = SampleOne(*policy, {.prefix = {1, 5}, .max_new_tokens = 3})[0];
  EXPECT_THAT(cut.tokens, ElementsAre(5, 5, 5));
  EXPECT_EQ(cut.finish, FinishReason::kLength);
  // The rule sees one token of the prefix and the rollout.
  const auto stopped =
      SampleOne(*policy, {.prefix = {1, 5},
                          .max_new_tokens = 3,
                          .stop = [](auto response) { return response.size() == 3; },
                          .response_tokens = 1})[0];
  EXPECT_THAT(stopped.tokens, ElementsAre(5, 5));
  EXPECT_EQ(stopped.finish, FinishReason::kStop);
}

TEST(PolicyOf, ReportsRolloutsAndCountsThem) {
  const auto policy = PolicyOf(Walk);
  const RolloutRequest request = {.prefix = {1}, .count = 10};
  int64_t tokens = 0, rollouts = 0;
  policy->Sample({&request, 1}, Progress(), [&](std::size_t r, int32_t i, const Rollout& rollout) {
    EXPECT_EQ(r, 0u);
    EXPECT_EQ(i, rollouts++);
    tokens += std::ssize(rollout.tokens);
  });
  EXPECT_EQ(policy->counters().rollouts, 10);
  EXPECT_EQ(policy->counters().decoded_tokens, tokens);
  EXPECT_EQ(policy->counters().prefilled_tokens, 1);
}

TEST(PolicyOf, AppliesSamplingParametersOfThePolicyAndOfRequests) {
  const auto greedy = PolicyOf(Walk, {.sampling = {.temperature = 0}});
  for (const Rollout& rollout : SampleOne(*greedy, {.prefix = {1}, .count = 20})) {
    EXPECT_THAT(rollout.tokens, ElementsAre(3, 0));
    EXPECT_EQ(rollout.logprobs[0], 0);
  }
  const auto policy = PolicyOf(Walk);
  for (const Rollout& rollout :
       SampleOne(*policy, {.prefix = {1}, .count = 100, .sampling = SamplingParams{.top_k = 2}})) {
    EXPECT_THAT(rollout.tokens[0], ::testing::AnyOf(2, 3));
    EXPECT_NEAR(rollout.logprobs[0], std::log(rollout.tokens[0] == 2 ? 0.375 : 0.625), 1e-6);
  }
}

TEST(PolicyOf, ScoresTokensAndTheirRivals) {
  const auto policy = PolicyOf(Walk);
  const TokenId prefix[] = {1}, continuation[] = {2, 9};
  const auto scores = policy->Score(prefix, continuation);
  ASSERT_EQ(scores.size(), 2u);
  EXPECT_NEAR(scores[0].logprob, std::log(0.3), 1e-6);
  EXPECT_EQ(scores[0].runner_up, 3);
  EXPECT_NEAR(scores[0].runner_up_logprob, std::log(0.5), 1e-6);
  EXPECT_NEAR(scores[0].entropy, -(0.2 * std::log(0.2) + 0.3 * std::log(0.3) + 0.5 * std::log(0.5)),
              1e-6);
  EXPECT_EQ(scores[1].logprob, -std::numeric_limits<float>::infinity());
  EXPECT_EQ(scores[1].runner_up, 0);
  EXPECT_NEAR(scores[1].entropy, 0, 1e-6);
}

TEST(PolicyOf, RefusesWhatIsNoDistribution) {
  const auto fails = [](Choices choices, RolloutRequest request = {.prefix = {1}}) {
    const auto policy = PolicyOf([&](std::span<const TokenId>) { return choices; });
    return testing::ErrorText([&] { SampleOne(*policy, request); });
  };
  EXPECT_THAT(fails({}), HasSubstr("no token may follow"));
  EXPECT_THAT(fails({{1, 0.0}}), HasSubstr("no token may follow"));
  EXPECT_THAT(fails({{1, -0.5}, {2, 1.5}}), HasSubstr("token 1 has probability -0.5"));
  EXPECT_THAT(fails({{1, std::nan("")}}), HasSubstr("token 1 has probability nan"));
  EXPECT_THAT(fails({{4, 0.5}, {4, 0.5}}), HasSubstr("token 4 is listed twice"));
  EXPECT_THAT(fails({{-1, 0.5}, {4, 0.5}}), HasSubstr("token -1 is negative"));
  EXPECT_THAT(fails({{4, 1.0}}, {.prefix = {1}, .count = -1}), HasSubstr("count -1"));
  EXPECT_THAT(testing::ErrorText([] { PolicyOf(Walk)->Score({}, std::vector<TokenId>{1}); }),
              HasSubstr("prefix of a score is empty"));
  EXPECT_THAT(fails({{4, 1.0}}, {.prefix = {1}, .excluded = {4}}), HasSubstr("after 1 tokens"));
  EXPECT_THAT(fails({{4, 1.0}}, {.prefix = {}}), HasSubstr("prefix is empty"));
  EXPECT_THAT(fails({{4, 1.0}}, {.prefix = {1}, .max_new_tokens = 0}),
              HasSubstr("max_new_tokens 0"));
  EXPECT_THAT(testing::ErrorText([] { PolicyOf({}); }), HasSubstr("empty function"));
  EXPECT_THAT(testing::ErrorText([] { PolicyOf(Walk, {.sampling = {.top_p = 2}}); }),
              HasSubstr("top_p"));
}

TEST(PolicyOf, StopsWhenAsked) {
  class Stop : public Progress {
    bool StopRequested() const override { return true; }
  };
  const auto policy = PolicyOf(Walk);
  const RolloutRequest request = {.prefix = {1}};
  EXPECT_THROW(policy->Sample({&request, 1}, Stop()), Interrupted);
}

}  // namespace
}  // namespace pivotal
