// Apache-2.0. Tests advantages of tokens against worlds whose p(success) is known exactly.
#include "pts/advantages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "pivotal/pairs.h"
#include "tests/pts/answer_world.h"
#include "tests/support/error_text.h"

namespace pivotal::pts {
namespace {

using ::testing::ElementsAre;
using testing::ErrorText;
using ::testing::HasSubstr;

TEST(BuildCurveAdvantages, OfASearchAreNearTheTruth) {
  int tokens = 0, pivotal = 0;
  double error = 0, pivotal_error = 0;
  for (const AnswerSearch& search : SearchAnswerWorlds(30)) {
    const auto examples = BuildCurveAdvantages(search.traces);
    auto example = examples.begin();
    for (const QueryTrace& query : search.traces) {
      for (std::size_t r = 0; r < query.responses.size(); ++r, ++example) {
        const auto& response = query.responses[r];
        EXPECT_EQ(example->id, query.id + "/" + std::to_string(r));
        EXPECT_EQ(example->prompt_ids, query.prompt);
        ASSERT_EQ(example->completion_ids, response.tokens);
        ASSERT_EQ(example->advantages.size(), response.tokens.size());
        double sum = 0, before = search.world.world().Success(0);
        for (std::size_t k = 0; k < response.tokens.size(); ++k) {
          const double after = search.world.world().Success(response.tokens[k]);
          const double off = std::abs(example->advantages[k] - (after - before));
          sum += example->advantages[k];
          ++tokens;
          error += off;
          if (std::abs(after - before) >= 0.3) {
            ++pivotal;
            pivotal_error += off;
          }
          before = after;
        }
        EXPECT_NEAR(sum, response.success - response.estimates[0].mean, 1e-5);
      }
    }
    EXPECT_TRUE(example == examples.end());
  }
  ASSERT_GT(tokens, 1000);
  ASSERT_GT(pivotal, 20);
  EXPECT_LT(error / tokens, 0.02);
  EXPECT_LT(pivotal_error / pivotal, 0.12);
}

// With the weights, the searched responses have the verdicts of the policy.
TEST(BuildCurveAdvantages, WeightsMakeResponsesASampleOfThePolicy) {
  int both = 0;
  for (const AnswerSearch& search : SearchAnswerWorlds(10)) {
    for (const QueryTrace& query : search.traces) {
      double samples = 0, right = 0;
      for (const RolloutTrace& rollout : query.rollouts) {
        samples += rollout.kind == RolloutKind::kQuery;
        right += rollout.kind == RolloutKind::kQuery && rollout.success;
      }
      const auto n = static_cast<double>(query.responses.size());
      const auto found =
          static_cast<double>(std::ranges::count(query.responses, true, &ResponseTrace::success));
      double all = 0, weight_of_right = 0;
      for (const ResponseTrace& response : query.responses) {
        const double weight = WeightOfVerdict(query, response.success);
        all += weight;
        weight_of_right += response.success ? weight : 0;
      }
      EXPECT_NEAR(all, n, 1e-9);
      if (found == 0 || found == n) continue;
      ++both;
      EXPECT_NEAR(weight_of_right / all, right / samples, 1e-9);
    }
  }
  EXPECT_GT(both, 3);
}

RolloutTrace FromThePrompt(std::vector<TokenId> tokens, bool success) {
  RolloutTrace rollout;
  rollout.logprobs.assign(tokens.size(), -1.0f);
  rollout.tokens = std::move(tokens);
  rollout.success = success;
  return rollout;
}

TEST(BuildOutcomeAdvantages, AreVerdictsLessTheirMean) {
  QueryTrace query;
  query.id = "q";
  query.prompt = {1, 2};
  query.rollouts = {FromThePrompt({3, 4}, true), FromThePrompt({5}, false),
                    FromThePrompt({6}, false), FromThePrompt({7, 8, 9}, false),
                    FromThePrompt({10}, true)};
  query.rollouts[4].kind = RolloutKind::kPrefix;  // is none from the prompt
  QueryTrace all_right = query;
  for (RolloutTrace& rollout : all_right.rollouts) rollout.success = true;
  const QueryTrace queries[] = {all_right, query};
  const auto examples = BuildOutcomeAdvantages(queries);
  ASSERT_EQ(examples.size(), 4u) << "rollouts of one verdict tell nothing";
  EXPECT_EQ(examples[3].id, "q/outcome/3");
  EXPECT_EQ(examples[0].prompt_ids, query.prompt);
  EXPECT_THAT(examples[0].completion_ids, ElementsAre(3, 4));
  EXPECT_THAT(examples[0].advantages, ElementsAre(0.75f, 0.75f));
  EXPECT_THAT(examples[3].advantages, ElementsAre(-0.25f, -0.25f, -0.25f));
  EXPECT_EQ(examples[3].weight, 1);
  EXPECT_TRUE(examples[3].old_logprobs.empty());
}

TEST(BuildCurveAdvantages, NeedACurve) {
  QueryTrace query;
  query.id = "q";
  ResponseTrace response;
  response.tokens = {3, 4};
  query.responses = {response};
  query.rollouts = {FromThePrompt({3}, true)};
  EXPECT_THAT(ErrorText([&] {
                BuildCurveAdvantages({&query, 1});
              }),
              HasSubstr("not known at every token of response 0 of problem q"));
}

}  // namespace
}  // namespace pivotal::pts
