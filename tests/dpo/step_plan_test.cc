// Apache-2.0.
#include "dpo/step_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace pivotal::dpo {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Groups = std::vector<std::vector<int64_t>>;

// Returns groups of 1, 2, ..., 8, 1, 2, ... consecutive examples.
Groups SomeGroups(int64_t examples) {
  Groups groups;
  for (int64_t i = 0; i < examples;) {
    auto& group = groups.emplace_back();
    while (i < examples && group.size() < 1 + (groups.size() - 1) % 8) group.push_back(i++);
  }
  return groups;
}

std::vector<int64_t> Flat(const Groups& steps) {
  std::vector<int64_t> all;
  for (const auto& step : steps) all.insert(all.end(), step.begin(), step.end());
  return all;
}

TEST(PlanEpoch, HoldsEveryExampleOnceInStepsOfOneSize) {
  const auto steps = PlanEpoch(SomeGroups(1003), 8, 1, 0);
  ASSERT_EQ(steps.size(), 126u);
  for (std::size_t i = 0; i < 125; ++i) EXPECT_EQ(steps[i].size(), 8u);
  EXPECT_EQ(steps.back().size(), 3u);
  auto seen = Flat(steps);
  std::sort(seen.begin(), seen.end());
  for (int64_t i = 0; i < 1003; ++i) ASSERT_EQ(seen[i], i);
}

TEST(PlanEpoch, KeepsGroupsTogether) {
  const auto groups = SomeGroups(200);
  const auto order = Flat(PlanEpoch(groups, 8, 1, 0));
  for (const auto& group : groups) {
    const auto first = std::find(order.begin(), order.end(), group.front());
    EXPECT_TRUE(std::equal(group.begin(), group.end(), first));
  }
}

TEST(PlanEpoch, DependsOnSeedAndEpochOnly) {
  const auto groups = SomeGroups(100);
  EXPECT_EQ(PlanEpoch(groups, 8, 1, 3), PlanEpoch(groups, 8, 1, 3));
  EXPECT_NE(PlanEpoch(groups, 8, 1, 3), PlanEpoch(groups, 8, 2, 3));
  EXPECT_NE(PlanEpoch(groups, 8, 1, 3), PlanEpoch(groups, 8, 1, 4));
}

TEST(PlanInOrder, CutsTheFileAsItIs) {
  EXPECT_EQ(PlanInOrder(5, 2), (Groups{{0, 1}, {2, 3}, {4}}));
  EXPECT_TRUE(PlanInOrder(0, 2).empty());
}

TEST(PlanEpoch, EmptyIsEmpty) { EXPECT_TRUE(PlanEpoch({}, 8, 1, 0).empty()); }

std::vector<int64_t> Share(const std::vector<int64_t>& step, const std::vector<int64_t>& group_of,
                           int rank, int ranks) {
  const auto share = ShareOf(step, group_of, rank, ranks);
  return {share.begin(), share.end()};
}

TEST(ShareOf, SharesMakeUpTheStepWhateverItsSize) {
  std::vector<int64_t> group_of(40);
  std::iota(group_of.begin(), group_of.end(), 0);
  for (int64_t& group : group_of) group /= 3;
  for (int ranks = 1; ranks <= 9; ++ranks) {
    for (std::size_t size = 1; size <= group_of.size(); ++size) {
      std::vector<int64_t> step(size), all;
      std::iota(step.begin(), step.end(), 0);
      const std::size_t even = size / ranks;
      for (int rank = 0; rank < ranks; ++rank) {
        const auto share = Share(step, group_of, rank, ranks);
        EXPECT_GE(share.size(), even - even / 2);
        EXPECT_LE(share.size(), even + even / 2 + 1);
        EXPECT_TRUE(rank > 0 || !share.empty());
        all.insert(all.end(), share.begin(), share.end());
      }
      EXPECT_EQ(all, step);
    }
  }
}

TEST(ShareOf, KeepsGroupsTogetherWhereThatCostsLittle) {
  const std::vector<int64_t> group_of =
      GroupOf(std::vector<std::vector<int64_t>>{{0, 1, 2}, {5, 4, 3, 6, 7}});
  EXPECT_THAT(group_of, ElementsAre(0, 0, 0, 1, 1, 1, 1, 1));
  const std::vector<int64_t> step = {0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_THAT(Share(step, group_of, 0, 2), ElementsAre(0, 1, 2));
  EXPECT_THAT(Share(step, group_of, 1, 2), ElementsAre(3, 4, 5, 6, 7));
  EXPECT_THAT(Share({3, 4, 5, 6}, group_of, 0, 2), ElementsAre(3, 4))
      << "one group only: cut evenly";
  EXPECT_THAT(Share({3}, group_of, 0, 2), ElementsAre(3));
  EXPECT_THAT(Share({3}, group_of, 1, 2), IsEmpty());
}

}  // namespace
}  // namespace pivotal::dpo
