// Apache-2.0.
#include "dpo/batch_plan.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace pivotal::dpo {
namespace {

std::vector<int64_t> Lengths(int64_t count) {
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < count; ++i) lengths.push_back(10 + (i * 37) % 50);
  return lengths;
}

TEST(PlanEpoch, HoldsEveryExampleOnce) {
  const auto lengths = Lengths(1003);
  std::vector<int64_t> seen;
  for (const auto& batch : PlanEpoch(lengths, 8, 1, 0)) {
    EXPECT_LE(batch.size(), 8u);
    seen.insert(seen.end(), batch.begin(), batch.end());
  }
  std::sort(seen.begin(), seen.end());
  ASSERT_EQ(seen.size(), 1003u);
  for (int64_t i = 0; i < 1003; ++i) ASSERT_EQ(seen[i], i);
}

TEST(PlanEpoch, DependsOnSeedAndEpochOnly) {
  const auto lengths = Lengths(100);
  EXPECT_EQ(PlanEpoch(lengths, 8, 1, 3), PlanEpoch(lengths, 8, 1, 3));
  EXPECT_NE(PlanEpoch(lengths, 8, 1, 3), PlanEpoch(lengths, 8, 2, 3));
  EXPECT_NE(PlanEpoch(lengths, 8, 1, 3), PlanEpoch(lengths, 8, 1, 4));
}

// Padding is what sorting saves: in a window of 32 batches, batches are nearly uniform in length.
TEST(PlanEpoch, BatchesHaveSimilarLengths) {
  const auto lengths = Lengths(32 * 8);
  for (const auto& batch : PlanEpoch(lengths, 8, 1, 0)) {
    const auto [low, high] = std::minmax_element(
        batch.begin(), batch.end(), [&](int64_t a, int64_t b) { return lengths[a] < lengths[b]; });
    EXPECT_LE(lengths[*high] - lengths[*low], 4);
  }
}

TEST(PlanEpoch, EmptyIsEmpty) { EXPECT_TRUE(PlanEpoch({}, 8, 1, 0).empty()); }

}  // namespace
}  // namespace pivotal::dpo
