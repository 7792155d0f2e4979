// Apache-2.0. Tests other people's methods on worlds in which their answer is known.
#include "bench/baselines.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pts/pair_builder.h"
#include "tests/support/step_world.h"
#include "tests/support/table_world.h"

namespace pivotal::bench {
namespace {

using testing::Jump;
using testing::StateStep;
using testing::TableWorld;

constexpr int32_t kFork = 37;  // the position of the token that decides

// A world of 60 tokens in which the token at kFork alone decides; words elsewhere mean nothing.
TableWorld OneFork() {
  kernels::RandomStream random(1, 1);
  std::vector<StateStep> steps;
  for (int32_t k = 1; k < 60; ++k) steps.push_back(testing::WordStep(random, 2, 3));
  steps[kFork - 1] = {{{{0, 0, 0.6}, {1, 0, 0.4}}, {{1, 0, 1.0}}}};
  return testing::WorldOfSteps(steps, 0, std::vector<double>{1, 0});
}

class Baselines : public ::testing::Test {
 protected:
  Baselines() {
    SearchOptions options;
    options.kind = StrategyKind::kNone;
    options.samples = 512;
    options.max_new_tokens = 100;
    Progress progress;
    const Query query{"q", "", "", {world_.start()}};
    Search(
        {&query, 1}, policy_, judge_, options,
        [&](std::vector<QueryTrace> group) { trace_ = group[0]; }, progress);
    right_ = trace_.responses[0].success ? 0 : 1;
  }

  TableWorld world_ = OneFork();
  testing::WorldPolicy policy_{world_, 3};
  Judge judge_ = [this](const Query&, std::span<const TokenId> response) {
    return world_.Success(response.back()) == 1;
  };
  QueryTrace trace_;  // with a right and a wrong response
  int32_t right_ = 0;
};

TEST_F(Baselines, FirstErrorIsTheTokenThatDecides) {
  RolloutSource source(trace_, policy_, judge_, 100);
  EXPECT_TRUE(FirstError(trace_, right_, source, 16).empty());
  const auto reports = FirstError(trace_, 1 - right_, source, 16);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].position, kFork);
  EXPECT_FALSE(reports[0].raised);
}

TEST_F(Baselines, AdaptiveAnchorsFindTheSentence) {
  for (const int32_t stride : {1, 3}) {
    RolloutSource source(trace_, policy_, judge_, 100);
    for (const int32_t response : {0, 1}) {
      const auto reports = AdaptiveAnchors(trace_, response, source, 100, stride);
      ASSERT_EQ(reports.size(), 1u);
      EXPECT_EQ(reports[0].sentence.first, 31);
      EXPECT_EQ(reports[0].sentence.last, 45);
      EXPECT_EQ(reports[0].raised, response == right_);
    }
  }
}

TEST_F(Baselines, ContrastiveScoresPointAtTheTokenThatDecides) {
  for (const int32_t response : {0, 1}) {
    const auto reports = ContrastiveScores(trace_, response, 0.85);
    const auto found = std::ranges::find(reports, kFork, &Report::position);
    ASSERT_NE(found, reports.end());
    EXPECT_EQ(found->raised, response == right_);
  }
}

TEST_F(Baselines, TheSidesOfTheirPairsAreMeasuredAfresh) {
  RolloutSource source(trace_, policy_, judge_, 100);
  AddSides(FirstError(trace_, 1 - right_, source, 16), 1 - right_, 32, 32, source, trace_);
  const auto& pivotal = trace_.responses[1 - right_].pivotal;
  ASSERT_EQ(pivotal.size(), 1u);
  EXPECT_NEAR(world_.Success(pivotal[0].chosen), 1, 1e-9);
  EXPECT_NEAR(world_.Success(pivotal[0].rejected), 0, 1e-9);
  EXPECT_EQ(pivotal[0].chosen_successes, 32);
  EXPECT_EQ(pivotal[0].rejected_successes, 0);
  EXPECT_EQ(pts::WhyNoPair(pivotal[0], {}), pts::NoPair::kNone);
}

}  // namespace
}  // namespace pivotal::bench
