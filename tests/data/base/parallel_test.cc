// Apache-2.0.
#include "data/base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "data/base/error.h"
#include "tests/support/scarce.h"

namespace pivotal::data {
namespace {

TEST(ParallelFor, CallsTheBodyOnceForEachIndex) {
  for (const int threads : {1, 2, 7, 100}) {
    std::vector<std::atomic<int>> calls(50);
    ParallelFor(calls.size(), threads, [&](std::size_t i) { ++calls[i]; });
    for (const auto& count : calls) EXPECT_EQ(count, 1) << threads << " threads";
  }
  ParallelFor(0, 4, [](std::size_t) { FAIL(); });
}

TEST(ParallelFor, OneThreadIsTheCallers) {
  std::set<std::thread::id> threads;
  ParallelFor(5, 1, [&](std::size_t) { threads.insert(std::this_thread::get_id()); });
  EXPECT_EQ(threads, std::set{std::this_thread::get_id()});
}

// Four iterations wait for each other, so that all of them have begun when the first one throws.
TEST(ParallelFor, RethrowsTheErrorOfTheLeastIndexAndStops) {
  std::atomic<int> begun = 0;
  try {
    ParallelFor(1000, 4, [&](std::size_t i) {
      for (++begun; begun < 4;) std::this_thread::yield();
      throw std::runtime_error(std::to_string(i));
    });
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "0");
  }
  EXPECT_EQ(begun, 4);
}

TEST(ParallelFor, TakesTheThreadsThatTheSystemStarts) {
  const auto error = testing::ErrorWhereScarce(RLIMIT_NPROC, 8, [] {
    std::vector<std::atomic<int>> calls(500);
    ParallelFor(calls.size(), 100, [&](std::size_t i) { ++calls[i]; });
    for (const auto& count : calls)
      if (count != 1) Fail("an iteration ran {} times", count.load());
  });
  if (!error) GTEST_SKIP() << "this process cannot limit the threads of a child";
  EXPECT_EQ(*error, "(no Error)");
}

}  // namespace
}  // namespace pivotal::data
