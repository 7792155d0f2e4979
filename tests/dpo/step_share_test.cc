// Apache-2.0.
#include "dpo/step_share.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace pivotal::dpo {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int64_t> Share(const std::vector<int64_t>& step, const std::vector<int64_t>& group_of, int rank,
                           int ranks) {
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
  const std::vector<int64_t> group_of = GroupOf(std::vector<std::vector<int64_t>>{{0, 1, 2}, {5, 4, 3, 6, 7}});
  EXPECT_THAT(group_of, ElementsAre(0, 0, 0, 1, 1, 1, 1, 1));
  const std::vector<int64_t> step = {0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_THAT(Share(step, group_of, 0, 2), ElementsAre(0, 1, 2));
  EXPECT_THAT(Share(step, group_of, 1, 2), ElementsAre(3, 4, 5, 6, 7));
  EXPECT_THAT(Share({3, 4, 5, 6}, group_of, 0, 2), ElementsAre(3, 4)) << "one group only: cut evenly";
  EXPECT_THAT(Share({3}, group_of, 0, 2), ElementsAre(3));
  EXPECT_THAT(Share({3}, group_of, 1, 2), IsEmpty());
}

}  // namespace
}  // namespace pivotal::dpo
