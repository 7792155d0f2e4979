// Apache-2.0.
#include "pts/judge_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "data/base/error.h"
#include "tests/support/scarce.h"

namespace pivotal::pts {
namespace {

TEST(JudgePool, JudgesAllOnItsOwnThreads) {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  const Judge judge = [&](const Query& query, std::span<const TokenId> response) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    const std::scoped_lock lock(mutex);
    threads.insert(std::this_thread::get_id());
    return response[0] % 2 == 0 && query.id == "q";
  };
  const Query query{"q", "", "", {1}};
  CountingJudge counting(judge, 0.02);
  JudgePool pool(counting, 3);
  std::vector<Verdict> verdicts(200, Verdict::kFailed);
  for (int32_t i = 0; i < 200; ++i) pool.Submit(query, {i}, verdicts[i]);
  pool.Wait();
  for (int32_t i = 0; i < 200; ++i)
    EXPECT_EQ(verdicts[i], i % 2 == 0 ? Verdict::kRight : Verdict::kWrong) << i;
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
  EXPECT_GT(threads.size(), 1u);
}

TEST(JudgePool, AnErrorReachesTheCallerAndThePoolGoesOn) {
  const Judge judge = [](const Query&, std::span<const TokenId> response) -> bool {
    if (response[0] == 5) Fail("no verdict");
    return true;
  };
  const Query query;
  CountingJudge counting(judge, 0.02);
  JudgePool pool(counting, 2);
  std::vector<Verdict> verdicts(20, Verdict::kWrong);
  for (int32_t i = 0; i < 20; ++i) pool.Submit(query, {i}, verdicts[i]);
  EXPECT_THROW(pool.Wait(), Error);
  pool.Submit(query, {1}, verdicts[0]);
  EXPECT_NO_THROW(pool.Wait());
  EXPECT_EQ(verdicts[0], Verdict::kRight);
}

TEST(JudgePool, AResponseWithoutVerdictHasFailedAndThePoolGoesOn) {
  const Judge judge = [](const Query&, std::span<const TokenId> response) -> bool {
    if (response[0] == 5) throw NoVerdict(NoVerdictCause::kTimeout, "too slow");
    return true;
  };
  const Query query;
  CountingJudge counting(judge, 0.02);
  JudgePool pool(counting, 2);
  std::vector<Verdict> verdicts(20, Verdict::kWrong);
  for (int32_t i = 0; i < 20; ++i) pool.Submit(query, {i}, verdicts[i]);
  EXPECT_NO_THROW(pool.Wait());
  for (int32_t i = 0; i < 20; ++i)
    EXPECT_EQ(verdicts[i], i == 5 ? Verdict::kFailed : Verdict::kRight) << i;
  EXPECT_EQ(counting.counts().Text(), "1 of 20 verdicts failed: 1 time-out");
}

TEST(JudgePool, AbandonedWorkIsForgotten) {
  std::atomic<int32_t> judged = 0;
  const Judge judge = [&](const Query&, std::span<const TokenId>) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ++judged;
    return true;
  };
  const Query query;
  std::vector<Verdict> verdicts(1000, Verdict::kWrong);
  {
    CountingJudge counting(judge, 0.02);
    JudgePool pool(counting, 1);
    for (auto& verdict : verdicts) pool.Submit(query, {1}, verdict);
  }
  EXPECT_LT(judged, 1000);
}

TEST(JudgePool, AStopRequestEndsTheWaiting) {
  class Stop : public Progress {
    bool StopRequested() const override { return true; }
  };
  const Judge judge = [&](const Query&, std::span<const TokenId>) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return true;
  };
  const Query query;
  std::vector<Verdict> verdicts(1000, Verdict::kWrong);
  CountingJudge counting(judge, 0.02);
  JudgePool pool(counting, 1);
  for (auto& verdict : verdicts) pool.Submit(query, {1}, verdict);
  EXPECT_THROW(pool.Wait(Stop()), Interrupted);
}

// The threads that were started before must be told to stop, else their owner waits for ever.
TEST(JudgePool, AThreadThatCannotBeStartedIsAnError) {
  const auto error = testing::ErrorWhereScarce(RLIMIT_NPROC, 8, [] {
    const Judge judge = [](const Query&, std::span<const TokenId>) { return true; };
    CountingJudge counting(judge, 0.02);
    const JudgePool pool(counting, 1024);
  });
  if (!error) GTEST_SKIP() << "this process cannot limit the threads of a child";
  EXPECT_THAT(*error, ::testing::AllOf(::testing::HasSubstr("of the 1024 threads that ask"),
                                       ::testing::HasSubstr("--judge-threads"),
                                       ::testing::HasSubstr("ulimit -u")));
}

}  // namespace
}  // namespace pivotal::pts
