// Apache-2.0. Workers that join, leave and die share the items of a job.
#include "data/traces/work_queue.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::ErrorText;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class WorkQueueTest : public ::testing::Test {
 protected:
  std::unique_ptr<WorkQueue> Join(int64_t items, std::set<int64_t> finished = {}) const {
    return std::make_unique<WorkQueue>(folder_, items,
                                       [=](int64_t i) { return finished.contains(i); });
  }
  testing::TempDir temp_;
  fs::path folder_ = temp_.path() / "work";
};

TEST_F(WorkQueueTest, OneWorkerDoesAllAndIsTheLast) {
  const auto queue = Join(5, {1});
  EXPECT_EQ(queue->finished(), 1);
  EXPECT_THAT(queue->Take(2), ElementsAre(0, 2));
  queue->Finish({0, 2}, [] {});
  EXPECT_THAT(queue->Take(9), ElementsAre(3, 4));
  EXPECT_THAT(queue->Take(9), IsEmpty()) << "it holds both itself";
  bool stored = false;
  queue->Finish({3, 4}, [&] { stored = true; });
  EXPECT_TRUE(stored);
  EXPECT_EQ(queue->finished(), 5);
  bool joined = false;
  EXPECT_TRUE(queue->Leave([&] { joined = true; }));
  EXPECT_TRUE(joined);
  EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(WorkQueueTest, NoItemIsTakenTwiceAndTheEndIsShared) {
  const auto a = Join(16), b = Join(16);
  EXPECT_THAT(a->Take(9), ElementsAre(0, 1, 2, 3)) << "half of an even division";
  EXPECT_THAT(b->Take(2), ElementsAre(4, 5));
  EXPECT_THAT(b->Take(9), ElementsAre(6, 7));
  b->Finish({4, 5, 6, 7}, [] {});
  EXPECT_FALSE(b->Leave([] { ADD_FAILURE() << "a still lives"; }));
  EXPECT_EQ(a->Take(16).size(), 8u) << "alone, it need not share";
  EXPECT_EQ(a->finished(), 4);
}

TEST_F(WorkQueueTest, WhatALeavingWorkerHeldIsFree) {
  const auto a = Join(4);
  {
    const auto b = Join(4);
    EXPECT_THAT(b->Take(1), ElementsAre(0));
  }
  EXPECT_THAT(a->Take(1), ElementsAre(0));
  EXPECT_EQ(a->lost_workers(), 0);
  // The items of a worker that stops with an error are free, too; the folder stays for others.
  EXPECT_THAT(ErrorText([&] { a->Finish({0}, [] { Fail("full disk"); }); }),
              HasSubstr("full disk"));
  EXPECT_EQ(a->finished(), 0);
}

TEST_F(WorkQueueTest, WhatAWorkerThatHangsHasCanBeTakenOver) {
  const auto a = Join(3), b = Join(3);
  EXPECT_EQ(a->Take(9).size(), 1u);
  EXPECT_THAT(b->Take(1), ElementsAre(1));
  EXPECT_THAT(b->Take(1), ElementsAre(2));
  b->Finish({1, 2}, [] {});
  EXPECT_THAT(b->Take(9), IsEmpty());
  EXPECT_THAT(b->Take(9, true), ElementsAre(0));
  b->Finish({0}, [] {});
  a->Finish({0}, [] {});  // it wakes up: nothing is counted twice
  EXPECT_EQ(a->finished(), 3);
  EXPECT_FALSE(b->Leave([] { ADD_FAILURE() << "a lives"; }));
  EXPECT_TRUE(a->Leave([] {}));
}

// A worker whose folder was removed or replaced while it hung writes nothing into it.
TEST_F(WorkQueueTest, AFolderThatWasRemovedStaysAway) {
  auto queue = Join(3);
  EXPECT_THAT(queue->Take(2), ElementsAre(0, 1));
  fs::remove_all(folder_);
  queue.reset();
  EXPECT_FALSE(fs::exists(folder_));

  auto old = Join(3);
  EXPECT_THAT(old->Take(2), ElementsAre(0, 1));
  fs::remove_all(folder_);
  auto other = Join(3);
  EXPECT_THAT(other->Take(1), ElementsAre(0));
  old.reset();  // frees nothing that the other worker holds
  EXPECT_THAT(Join(3)->Take(3), ElementsAre(1));
}

// Other workers took this one for dead, finished all and removed the folder while it hung.
TEST_F(WorkQueueTest, AWorkerThatComesBackToAnEndedJobDoesNothing) {
  auto queue = Join(3);
  EXPECT_THAT(queue->Take(1), ElementsAre(0));
  fs::remove_all(folder_);
  queue->Finish({0}, [] { ADD_FAILURE() << "the job has ended"; });
  EXPECT_THAT(queue->Take(3), IsEmpty());
  EXPECT_EQ(queue->finished(), 3);
  EXPECT_FALSE(queue->Leave([] { ADD_FAILURE() << "it is not the last"; }));
  EXPECT_FALSE(fs::exists(folder_));
}

// Only a lock that can be taken shows that a worker is dead: a file that cannot be opened does not.
TEST_F(WorkQueueTest, AWorkerWhoseFileCannotBeOpenedIsNotTakenForDead) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "UndefinedBehaviorSanitizer needs descriptors to look at objects";
#endif
  const auto a = Join(4), b = Join(4);
  EXPECT_THAT(a->Take(1), ElementsAre(0));
  rlimit old{};
  getrlimit(RLIMIT_NOFILE, &old);
  std::vector<Descriptor> open;
  // The process has one descriptor left, which the lock of the queue takes.
  const rlimit few = {64, old.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  while (true) {
    Descriptor next(::open("/dev/null", O_RDONLY));
    if (!next) break;
    open.push_back(std::move(next));
  }
  open.pop_back();
  const std::string text = ErrorText([&] { b->Take(4); });
  open.clear();
  setrlimit(RLIMIT_NOFILE, &old);
  EXPECT_THAT(text, HasSubstr("too many open files"));
  EXPECT_THAT(b->Take(4), ElementsAre(1)) << "a still holds item 0";
  EXPECT_EQ(b->lost_workers(), 0);
}

// A destructor that lets an exception out ends the process.
TEST_F(WorkQueueTest, ADestructorThatCannotRemoveTheFolderIsQuiet) {
  auto queue = Join(1);
  EXPECT_THAT(queue->Take(1), ElementsAre(0));
  queue->Finish({0}, [] {});
  const std::string file = (folder_ / "items").string();
  if (std::system(("chattr +i " + file + " 2>/dev/null").c_str()) != 0)
    GTEST_SKIP() << "no file can be made immutable here";
  queue.reset();
  EXPECT_EQ(std::system(("chattr -i " + file).c_str()), 0);
  EXPECT_TRUE(fs::exists(file));
}

// Which workers there are stands in `claims`: an NFS client may not see a file that is new.
TEST_F(WorkQueueTest, NumbersOfWorkersAreReadFromTheClaims) {
  const auto a = Join(4);
  std::ofstream(folder_ / "claims", std::ios::app) << "joined 5 .\n";
  const auto b = Join(4);
  EXPECT_EQ(a->worker(), 1);
  EXPECT_EQ(b->worker(), 6);
  EXPECT_THAT(a->Take(4), ElementsAre(0)) << "b lives, 5 is dead";
  EXPECT_FALSE(fs::exists(folder_ / "lock")) << "nothing in the folder is open when it is removed";
}

TEST_F(WorkQueueTest, OtherWorkIsRefused) {
  const auto a = Join(4);
  EXPECT_THAT(ErrorText([&] { Join(5); }),
              HasSubstr("it belongs to a search of 4 problems, not 5"));
}

TEST_F(WorkQueueTest, ALineThatWasCutShortCountsForNothing) {
  const auto a = Join(3);
  std::ofstream(folder_ / "claims", std::ios::app)
      << "finished 9 1";  // a worker that died in the middle
  EXPECT_THAT(a->Take(9), ElementsAre(0, 1, 2));
  const auto b = Join(3);
  EXPECT_THAT(b->Take(9), IsEmpty());
  EXPECT_EQ(b->finished(), 0);
}

// Six processes take and finish items; four of them are killed at some moment.
TEST_F(WorkQueueTest, ItemsOfTheDeadAreDoneByOthers) {
  constexpr int64_t kItems = 60;
  const fs::path log = temp_.path() / "log";
  std::vector<pid_t> workers;
  for (int w = 0; w < 6; ++w) {
    const pid_t pid = fork();
    if (pid == 0) {
      try {
        WorkQueue queue(folder_, kItems, [](int64_t) { return false; });
        for (int round = 0; queue.finished() < kItems; ++round) {
          const auto items = queue.Take(3);
          // Those who die hold items. (If others have left before it dies, nobody is the last.)
          if (w % 3 != 0 && round >= w && !items.empty()) raise(SIGKILL);
          usleep(2000);
          if (!items.empty())
            queue.Finish(items, [&] {
              std::ofstream out(log, std::ios::app);
              for (const int64_t i : items) out << i << "\n";
            });
        }
        queue.Leave([&] { std::ofstream(temp_.path() / "last", std::ios::app) << w << "\n"; });
      } catch (...) {
        _exit(1);
      }
      _exit(0);
    }
    workers.push_back(pid);
  }
  for (int w = 0; w < 6; ++w) {
    int status = 0;
    waitpid(workers[static_cast<std::size_t>(w)], &status, 0);
    if (w % 3 == 0) {
      EXPECT_EQ(status, 0) << w;
    }
  }
  std::ifstream in(log);
  std::multiset<int64_t> done;
  for (int64_t i; in >> i;) done.insert(i);
  EXPECT_EQ(done.size(), static_cast<std::size_t>(kItems)) << "each once";
  EXPECT_EQ(std::set<int64_t>(done.begin(), done.end()).size(), static_cast<std::size_t>(kItems));
  std::ifstream last(temp_.path() / "last");
  EXPECT_EQ(std::distance(std::istream_iterator<int>(last), {}), 1);
  EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(WorkQueueTest, FinishedItemsCanBeDoneAgain) {
  const auto first = Join(4);
  EXPECT_THAT(first->Take(4), ElementsAre(0, 1, 2, 3));
  first->Finish({0, 1, 2}, [] {});
  const auto nothing = [](int64_t) { return false; };
  const auto second =
      std::make_unique<WorkQueue>(folder_, 4, nothing, [](int64_t i) { return i >= 1; });
  EXPECT_EQ(second->finished(), 1) << "item 3 is not finished";
  EXPECT_THAT(second->Take(1), ElementsAre(1));
  second->Finish({1}, [] {});
  EXPECT_EQ(second->finished(), 2);
  EXPECT_THAT(first->Take(4), ElementsAre(2));
  first->Finish({2, 3}, [] {});
  EXPECT_EQ(first->finished(), 4) << "both see the same";
}

}  // namespace
}  // namespace pivotal::data
