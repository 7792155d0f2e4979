// Apache-2.0. Tests the answers of a query, and the distributions of answers against worlds whose
// answers are known exactly.
#include "pts/answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "pts/answer_strata.h"
#include "tests/pts/answer_world.h"

namespace pivotal::pts {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;

// A query whose only response, and whose rollouts of the prompt, are single tokens.
QueryTrace TraceOf(const std::vector<TokenId>& rollouts, TokenId right) {
  QueryTrace trace;
  trace.responses.resize(1);
  trace.responses[0].tokens = {rollouts[0]};
  trace.responses[0].logprobs = {-1.0F};
  trace.responses[0].success = rollouts[0] == right;
  for (const TokenId token : rollouts) {
    RolloutTrace& rollout = trace.rollouts.emplace_back();
    rollout.tokens = {token};
    rollout.logprobs = {-1.0F};
    rollout.success = token == right;
  }
  return trace;
}

// Tokens below 0 state no answer; 10, 110, 210 and their like are the same answer.
const AnswerReader kReader = {[](std::span<const TokenId> response) {
                                return response.back() < 0 ? std::string()
                                                           : std::to_string(response.back());
                              },
                              [](const std::string& a, const std::string& b) {
                                return std::stoi(a) % 100 == std::stoi(b) % 100;
                              }};

std::vector<std::string> Texts(const AnswerTable& table) {
  std::vector<std::string> texts;
  for (const Answer& answer : table.answers)
    texts.push_back(answer.kind == AnswerKind::kStated  ? answer.text
                    : answer.kind == AnswerKind::kOther ? "other"
                                                        : "none");
  return texts;
}

TEST(ReadAnswers, PutsTheRightOneFirstAndTheOthersByFrequency) {
  const auto table = ReadAnswers(TraceOf({1, 2, 3, 3, 2, 3, 7, 7}, 7), kReader);
  EXPECT_THAT(Texts(table), ElementsAre("7", "3", "2", "1"));
  EXPECT_THAT(table.of_rollout, ElementsAre(3, 2, 1, 1, 2, 1, 0, 0));
  EXPECT_THAT(table.of_response, ElementsAre(3));
  EXPECT_EQ(table.answers[1].rollouts, 3);
  EXPECT_TRUE(table.answers[0].right);
}

TEST(ReadAnswers, JoinsWhatIsTheSameUnlessVerdictsDiffer) {
  // 107 is the same as 7 to the reader, but not to the judge.
  const auto table = ReadAnswers(TraceOf({7, 107, 110, 10, 10, 210}, 7), kReader);
  EXPECT_THAT(Texts(table), ElementsAre("7", "10", "107"));
  EXPECT_THAT(table.of_rollout, ElementsAre(0, 2, 1, 1, 1, 1));
}

TEST(ReadAnswers, JoinsRareAnswersAndKeepsNoneApart) {
  const auto table = ReadAnswers(TraceOf({1, 1, 2, 2, 3, 4, -1, -2, -1}, 9), kReader, 2);
  EXPECT_THAT(Texts(table), ElementsAre("", "1", "2", "other", "none"));
  EXPECT_THAT(table.of_rollout, ElementsAre(1, 1, 2, 2, 3, 3, 4, 4, 4));
  EXPECT_EQ(table.answers[0].rollouts, 0);
}

TEST(ReadAnswers, KeepsTheAnswersOfResponses) {
  const auto table = ReadAnswers(TraceOf({5, 1, 1, 2, 2, 2}, 9), kReader, 2);
  EXPECT_THAT(Texts(table), ElementsAre("", "2", "5", "other"));
  EXPECT_THAT(table.of_response, ElementsAre(2));
}

TEST(ReadAnswers, VerdictsStandForAnswersWhereNoneIsRead) {
  EXPECT_THAT(Texts(VerdictsAsAnswers(TraceOf({1, 2, 7}, 7))), ElementsAre("right", "wrong"));
  EXPECT_THAT(Texts(VerdictsAsAnswers(TraceOf({1, 2}, 7))), ElementsAre("right", "wrong"));
}

TEST(AnswerGuess, LeavesHalfToTheRightAnswer) {
  EXPECT_THAT(AnswerGuess(3), ElementsAre(0.5, 0.25, 0.25));
  EXPECT_THAT(AnswerGuess(1), ElementsAre(1));
}

// With two answers the marginal likelihood is that of Laplace: s! f! / (s + f + 1)!.
TEST(LogMarginal, IsThatOfABetaBinomial) {
  const std::vector<double> uniform = {1, 1}, counts = {3, 2};
  EXPECT_NEAR(std::exp(LogMarginal(uniform, counts)), 6.0 * 2 / 720, 1e-12);
  // The answers of one rollout have the prior's mean.
  const std::vector<double> parameters = {1, 0.5, 0.5}, one = {0, 1, 0};
  EXPECT_NEAR(std::exp(LogMarginal(parameters, one)), 0.25, 1e-12);
}

TEST(AnswerEstimate, GivesTheCountsOfATermBack) {
  const AnswerEstimate estimate = {{0, 0, 0}, {{1, {7, 0, 2}, {}}}};
  EXPECT_THAT(estimate.AsCounts(), Pointwise(DoubleNear(1e-9), {7.0, 0.0, 2.0}));
  EXPECT_THAT(estimate.Mean(), Pointwise(DoubleNear(1e-9), {7.0 / 9, 0.0, 2.0 / 9}));
}

// The Dirichlet distribution that the counts of a sum give has the sum's mean and total variance.
TEST(AnswerEstimate, CountsKeepMeanAndVariance) {
  const AnswerEstimate estimate = {{0, 0.2, 0}, {{0.5, {7, 1, 2}, {}}, {0.3, {0, 3, 20}, {}}}};
  const AnswerCounts counts = estimate.AsCounts();
  std::vector<double> mean = estimate.constant, posterior = counts;
  double variance = 0, spread = 0;
  for (const auto& term : estimate.terms) {
    const double total = std::accumulate(term.counts.begin(), term.counts.end(), 2.0);
    for (int a = 0; a < 3; ++a) {
      const double m = (term.counts[a] + (a == 0 ? 1 : 0.5)) / total;
      mean[a] += term.weight * m;
      variance += term.weight * term.weight * m * (1 - m) / (total + 1);
    }
  }
  posterior[0] += 1, posterior[1] += 0.5, posterior[2] += 0.5;
  const double total = std::accumulate(posterior.begin(), posterior.end(), 0.0);
  for (int a = 0; a < 3; ++a) {
    EXPECT_NEAR(posterior[a] / total, mean[a], 1e-9);
    spread += mean[a] * (1 - mean[a]);
  }
  EXPECT_NEAR(spread / (total + 1), variance, 1e-9);
}

// The distributions after every prefix are unbiased, sum to 1, and their right answer is p(success)
// as the search stores it.
TEST(AnswerStrata, DistributionsAreThoseOfTheWorld) {
  double error = 0, squares = 0;  // of the right answer; of all
  int32_t nodes = 0, count = 0;
  for (const AnswerSearch& search : SearchAnswerWorlds(20)) {
    for (const QueryTrace& trace : search.traces) {
      const auto table = ReadAnswers(trace, kAnswerIsLastToken);
      const AnswerStrata strata(trace, table, 0.2);
      for (int32_t r = 0; r < strata.trie().responses(); ++r) {
        for (const int32_t node : strata.trie().Path(r)) {
          const auto mean = strata.Value(node).Mean();
          EXPECT_NEAR(std::accumulate(mean.begin(), mean.end(), 0.0), 1, 1e-9);
          const auto k = static_cast<std::size_t>(strata.trie()[node].depth);
          EXPECT_NEAR(mean[0], trace.responses[r].estimates[k].mean, 1e-9);
          const auto truth = search.world.Truth(table, trace, r, strata.trie()[node].depth);
          error += mean[0] - truth[0];
          ++nodes;
          for (std::size_t a = 0; a < mean.size(); ++a) {
            squares += (mean[a] - truth[a]) * (mean[a] - truth[a]);
            ++count;
          }
        }
      }
    }
  }
  ASSERT_GT(count, 5000);
  EXPECT_NEAR(error / nodes, 0, 0.03);
  EXPECT_LT(std::sqrt(squares / count), 0.12);
}

}  // namespace
}  // namespace pivotal::pts
