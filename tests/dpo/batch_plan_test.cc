// Apache-2.0.
#include "dpo/batch_plan.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace pivotal::dpo {
namespace {

using Groups = std::vector<std::vector<int64_t>>;

// Groups of 1, 2, ..., 8, 1, ... examples.
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

}  // namespace
}  // namespace pivotal::dpo
