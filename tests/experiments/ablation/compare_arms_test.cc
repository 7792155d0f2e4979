// Apache-2.0.
#include "experiments/ablation/compare_arms.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pivotal::experiments {
namespace {

constexpr int kSamples = 4;
const ArmCost kTraining = {.pairs = 1};

// Scores of one problem after another: right responses, and those that are no refusals.
Accuracy Scores(const std::vector<int>& right, const std::vector<int>& answered) {
  Accuracy accuracy;
  for (std::size_t i = 0; i < right.size(); ++i)
    accuracy.problems.push_back(
        {std::to_string(i), kSamples, right[i], right[i] > 1, kSamples - answered[i], false});
  return accuracy;
}

Recipe RecipeOf(const std::vector<std::string>& arms, const std::vector<std::string>& sets) {
  Recipe recipe;
  recipe.baseline = arms.front();
  for (const std::string& arm : arms) recipe.arms.push_back({arm, {Stage()}});
  for (const std::string& set : sets) recipe.sets.push_back({set, {}});
  return recipe;
}

// scipy 1.17.1 and numpy 2.4.6: of right responses n among answered ones d of each problem, the
// deviations of a ratio are u = (n - sum(n) / sum(d) * d) / mean(d), the error of the change is
// (u_arm - u_base).std(ddof=1) / sqrt(6), and stats.t with 5 degrees of freedom does the rest.
TEST(CompareArms, TestsChangesOfMeansAndOfRatios) {
  Recipe recipe = RecipeOf({"base", "arm"}, {"set"});
  recipe.eval.refusal = "no";
  const std::vector<ArmRun> runs = {
      {"base", "set", 1, Scores({2, 1, 3, 0, 2, 1}, {4, 3, 4, 2, 4, 4}), {}},
      {"arm", "set", 1, Scores({3, 3, 4, 1, 3, 2}, {4, 4, 4, 2, 3, 4}), {10, 2000, 500, 7}}};
  const AblationResult result = CompareArms(recipe, runs);
  ASSERT_EQ(result.scores.size(), 2u);
  const ArmScore &base = result.scores[0], &arm = result.scores[1];
  EXPECT_NEAR(base.sampled.mean, 9.0 / 24, 1e-12);
  EXPECT_NEAR(arm.sampled.mean, 16.0 / 24, 1e-12);
  EXPECT_NEAR(arm.sampled_change.mean, 7.0 / 24, 1e-12);
  EXPECT_NEAR(arm.sampled_change.p, 0.0009167475, 1e-5);
  EXPECT_EQ(arm.holm_p, arm.sampled_change.p);  // one comparison
  EXPECT_TRUE(arm.Stands());
  EXPECT_NEAR(arm.answered.mean, 21.0 / 24, 1e-12);
  EXPECT_NEAR(arm.right_of_answered.mean, 16.0 / 21, 1e-12);
  EXPECT_NEAR(arm.right_change.mean, 0.3333333333, 1e-9);
  EXPECT_NEAR(arm.right_change.low, 0.2223680978, 1e-5);
  EXPECT_NEAR(arm.right_change.high, 0.4442985689, 1e-5);
  EXPECT_NEAR(arm.right_change.p, 0.0005816397, 1e-5);
  EXPECT_NEAR(arm.greedy_change.mean, 2.0 / 6, 1e-12);
  EXPECT_EQ(arm.cost.generated_tokens, 2000);
  EXPECT_EQ(base.sampled_change.mean, 0);
  EXPECT_FALSE(base.Stands());
}

// Four changes are one family: each p-value is multiplied by the number of those that are not
// smaller. Changes at temperature 0 are left as they are.
TEST(CompareArms, AdjustsTheSampledChangesOfAllSets) {
  const Recipe recipe = RecipeOf({"base", "one", "two"}, {"a", "b"});
  std::vector<ArmRun> runs;
  for (const uint64_t seed : {1u, 2u, 3u}) {
    const int more = seed == 2 ? 1 : 0;
    const std::vector<int> all(6, kSamples), base = {1, 2, 1, 2, 1, 2 - more};
    for (const char* set : {"a", "b"}) {
      runs.push_back({"base", set, seed, Scores(base, all), kTraining});
      runs.push_back({"two", set, seed, Scores({1, 2, 1, 2, 2, 2 - more}, all), kTraining});
    }
    const double seconds = 2.0 * static_cast<double>(seed);
    runs.push_back({"one", "a", seed, Scores({3, 4, 3, 4, 3, 4}, all), {1, 10, 100, seconds}});
    runs.push_back({"one", "b", seed, Scores({2, 3, 2, 2 + more, 1, 2}, all), kTraining});
  }
  const AblationResult result = CompareArms(recipe, runs);
  EXPECT_EQ(result.comparisons, 4);
  ASSERT_EQ(result.scores.size(), 6u);
  const ArmScore &one_a = result.scores[1], &two_a = result.scores[2], &one_b = result.scores[4],
                 &two_b = result.scores[5];
  EXPECT_EQ(one_a.cost.seconds, 4);
  EXPECT_EQ(one_a.by_seed.size(), 3u);
  ASSERT_LT(one_a.sampled_change.p, one_b.sampled_change.p);
  ASSERT_LT(one_b.sampled_change.p, two_a.sampled_change.p);
  EXPECT_DOUBLE_EQ(one_a.holm_p, 4 * one_a.sampled_change.p);
  EXPECT_DOUBLE_EQ(one_b.holm_p, 3 * one_b.sampled_change.p);
  EXPECT_DOUBLE_EQ(two_a.holm_p, std::min(1.0, 2 * two_a.sampled_change.p));
  EXPECT_DOUBLE_EQ(two_b.holm_p, two_a.holm_p);
  EXPECT_TRUE(one_a.Stands());
  EXPECT_FALSE(two_a.Stands());
}

// The seeds of a model that is not trained are more samples of its responses, also where a search
// found nothing to train on. The interval is that of
// scipy.stats.ttest_1samp([0.375, 0.375, 0.625], 0): the means of the problems over the seeds.
TEST(CompareArms, SeedsCountWhereSomethingIsTrained) {
  Recipe recipe = RecipeOf({"untrained", "same", "trained"}, {"set"});
  recipe.arms[0].stages.clear();
  const std::vector<int> all(3, kSamples), first = {1, 1, 2}, second = {2, 2, 3};
  std::vector<ArmRun> runs;
  for (const char* arm : {"untrained", "same", "trained"}) {
    const ArmCost cost = std::string(arm) == "trained" ? kTraining : ArmCost();
    runs.push_back({arm, "set", 1, Scores(first, all), cost});
    runs.push_back({arm, "set", 2, Scores(second, all), cost});
  }
  const AblationResult result = CompareArms(recipe, runs);
  for (const int untrained : {0, 1}) {
    EXPECT_NEAR(result.scores[untrained].sampled.low, 0.0997789392, 1e-5);
    EXPECT_NEAR(result.scores[untrained].sampled.high, 0.8168877275, 1e-5);
  }
  EXPECT_EQ(result.scores[2].sampled.low, 0);  // two seeds tell little
}

}  // namespace
}  // namespace pivotal::experiments
