// Apache-2.0.
#include "pts/oracles/code/process_tree.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

#include "data/base/subprocess.h"

namespace pivotal::pts {
namespace {

using data::Subprocess;

class ProcessTree : public ::testing::TestWithParam<Kinship> {
 protected:
  void SetUp() override {
    if (GetParam() != BestKinship() && GetParam() == Kinship::kChildrenFiles)
      GTEST_SKIP() << "this kernel has no /proc/*/task/*/children";
  }
};

TEST_P(ProcessTree, CountsAllDescendants) {
  Subprocess child({.argv = {"/bin/sh", "-c", "(sleep 60 & echo $!; wait) & wait"}});
  const auto deadline = Subprocess::Clock::now() + std::chrono::seconds(5);
  std::string& out = child.text(Subprocess::kOutput);
  while (out.find('\n') == std::string::npos) child.Pump(deadline);
  const pid_t sleep = std::stoi(out);
  const auto children = ChildrenOf(child.id(), GetParam());
  ASSERT_EQ(children.size(), 1u);
  EXPECT_EQ(ChildrenOf(children[0], GetParam()), std::vector<pid_t>{sleep});
  const auto use = [](pid_t process) { return UseOfTree(process, GetParam()); };
  // The shell prints the number before `sleep` is loaded. The process has the shell's name and
  // memory first, and no memory for a moment.
  const auto is_loaded = [&] {
    std::string name;
    std::ifstream("/proc/" + std::to_string(sleep) + "/comm") >> name;
    return name == "sleep" && use(sleep).bytes > 100'000;
  };
  for (int i = 0; i < 500 && !is_loaded(); ++i) ::usleep(10'000);
  EXPECT_GT(use(sleep).bytes, 100'000);
  EXPECT_EQ(use(sleep).tasks, 1);
  EXPECT_GT(use(child.id()).bytes, use(sleep).bytes) << "the whole tree counts";
  EXPECT_EQ(use(child.id()).tasks, 3);
  child.Kill();
  for (int i = 0; i < 500 && use(sleep).bytes > 0; ++i) ::usleep(10'000);
  EXPECT_EQ(use(sleep).bytes, 0) << "a process that is gone takes nothing";
}

INSTANTIATE_TEST_SUITE_P(Kinships, ProcessTree,
                         ::testing::Values(Kinship::kChildrenFiles, Kinship::kParents));

TEST(TasksOfUser, CountsProcessesAndThreads) {
  EXPECT_GE(TasksOfUser(::getuid()), 1);
  EXPECT_EQ(TasksOfUser(4'000'000'000), 0);
}

}  // namespace
}  // namespace pivotal::pts
