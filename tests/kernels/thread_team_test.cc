// Apache-2.0.
#include "kernels/thread_team.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "tests/support/scarce.h"

namespace pivotal::kernels {
namespace {

TEST(ThreadTeam, EveryRankRunsOnceAndWaitsAtBarriers) {
  for (const int size : {1, 2, 3}) {
    ThreadTeam team(size);
    ASSERT_EQ(team.size(), size);
    for (int round = 0; round < 20; ++round) {
      std::vector<int> before(size, 0), after(size, 0);
      team.Run([&](int rank) {
        before[rank] = rank + 1;
        team.Barrier();
        after[rank] = std::accumulate(before.begin(), before.end(), 0);
        team.Barrier();
        before[rank] = 0;
      });
      for (int sum : after) ASSERT_EQ(sum, size * (size + 1) / 2);
    }
  }
}

TEST(ThreadTeam, OneThatCannotBeStartedIsAnError) {
  const auto error = testing::ErrorWhereScarce(RLIMIT_NPROC, 8, [] { const ThreadTeam team(64); });
  if (!error) GTEST_SKIP() << "this process cannot limit the threads of a child";
  EXPECT_THAT(*error, ::testing::AllOf(::testing::HasSubstr("of the 64 threads that compute"),
                                       ::testing::HasSubstr("OMP_NUM_THREADS"),
                                       ::testing::HasSubstr("ulimit -u")));
}

TEST(ThreadTeam, PartsCoverAllOnce) {
  for (const int64_t count : {0, 1, 15, 16, 17, 100})
    for (const int size : {1, 2, 3, 7})
      for (const int64_t grain : {1, 16}) {
        int64_t next = 0;
        for (int rank = 0; rank < size; ++rank) {
          const Part part = PartOf(count, rank, size, grain);
          ASSERT_EQ(part.first, next);
          ASSERT_TRUE(part.first % grain == 0 || part.first == count);
          next = part.last;
        }
        ASSERT_EQ(next, count);
      }
}

}  // namespace
}  // namespace pivotal::kernels
