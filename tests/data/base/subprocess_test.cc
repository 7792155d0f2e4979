// Apache-2.0.
#include "data/base/subprocess.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdint>
#include <fstream>
#include <string>

#include "tests/support/error_text.h"
#include "tests/support/scarce.h"

namespace pivotal::data {
namespace {

using ::testing::HasSubstr;
using Clock = Subprocess::Clock;

Clock::time_point In(double seconds) {
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// Returns the pages that a process has mapped: 0 once it is gone, or dead and not waited for.
int64_t PagesOf(pid_t id) {
  int64_t pages = 0;
  std::ifstream("/proc/" + std::to_string(id) + "/statm") >> pages;
  return pages;
}

SubprocessSpec Shell(const std::string& script) { return {.argv = {"/bin/sh", "-c", script}}; }

void PumpToTheEnd(Subprocess& child) {
  const auto deadline = In(10);
  while (child.Pump(deadline) == Subprocess::Step::kMoved) {
  }
}

TEST(Subprocess, KeepsItsStreamsApart) {
  SubprocessSpec spec = Shell("cat; echo oops >&2; echo report >&3; cat <&4; exit 7");
  spec.reports = true;
  spec.preloaded = "loaded";
  Subprocess child(spec);
  child.Send("in ");
  child.Send("put");
  child.CloseInput();
  PumpToTheEnd(child);
  EXPECT_EQ(child.text(Subprocess::kOutput), "in putloaded");
  EXPECT_EQ(child.text(Subprocess::kErrors), "oops\n");
  EXPECT_EQ(child.text(Subprocess::kReport), "report\n");
  EXPECT_EQ(child.WaitOrKill(In(5)), "ended with code 7");
}

TEST(Subprocess, MovesMoreThanPipesHoldInBothDirections) {
  Subprocess child(Shell("cat"));
  const std::string text(5'000'000, 'x');
  child.Send(text);
  child.CloseInput();
  PumpToTheEnd(child);
  EXPECT_EQ(child.text(Subprocess::kOutput), text);
}

TEST(Subprocess, StartsWithNothingOfOurs) {
  const int open = ::open("/dev/null", O_RDONLY);  // without O_CLOEXEC, as libraries open files
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  SubprocessSpec spec = Shell("echo \"$ONLY:$HOME\"; pwd; ls /proc/self/fd | wc -l; kill $$");
  spec.environment = {"ONLY=this", "PATH=/usr/bin:/bin"};
  spec.folder = "/usr";
  Subprocess child(spec);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::close(open);
  PumpToTheEnd(child);
  EXPECT_EQ(child.text(Subprocess::kOutput), "this:\n/usr\n4\n") << "0, 1, 2 and that of ls";
  EXPECT_EQ(child.WaitOrKill(In(5)), "was killed by signal 15");
}

TEST(Subprocess, ItsGroupDiesWithIt) {
  pid_t grandchild = 0;
  {
    Subprocess child(Shell("sleep 60 & echo $!; wait"));
    while (child.text(Subprocess::kOutput).find('\n') == std::string::npos) child.Pump(In(5));
    grandchild = std::stoi(child.text(Subprocess::kOutput));
    EXPECT_GT(PagesOf(grandchild), 0);
  }
  for (int i = 0; i < 100 && PagesOf(grandchild) > 0; ++i) ::usleep(10'000);
  EXPECT_EQ(PagesOf(grandchild), 0);
}

TEST(Subprocess, WaitsUntilTheDeadline) {
  Subprocess child(Shell("sleep 60"));
  EXPECT_EQ(child.Pump(In(0.05)), Subprocess::Step::kWaited);
  const auto start = Clock::now();
  EXPECT_EQ(child.WaitOrKill(In(0.1)), "was stopped");
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(5));
  child.Kill();
}

TEST(Subprocess, SaysWhatCannotBeStarted) {
  EXPECT_THAT(testing::ErrorText([] { Subprocess child({.argv = {"/nonexistent/program"}}); }),
              HasSubstr("/nonexistent/program cannot be started: no such file or directory"));
}

TEST(Subprocess, SaysWhatTheSystemHasRunOutOf) {
  const auto start = [] { Subprocess child({.argv = {"/bin/true"}}); };
  const auto files = testing::ErrorWhereScarce(RLIMIT_NOFILE, 9, start);
  const auto processes = testing::ErrorWhereScarce(RLIMIT_NPROC, 0, start);
  if (!files || !processes) GTEST_SKIP() << "this process cannot limit a child";
  EXPECT_THAT(*files, HasSubstr("a program cannot be started: too many open files"));
  EXPECT_THAT(*files, HasSubstr("ulimit -n"));
  EXPECT_THAT(*processes, HasSubstr("/bin/true cannot be started: resource temporarily unavail"));
  EXPECT_THAT(*processes, HasSubstr("ulimit -u"));
}

}  // namespace
}  // namespace pivotal::data
