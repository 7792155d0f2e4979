// Apache-2.0. The system has too few processes, threads or open files for a search: one clear line,
// at once. The kernel does not limit root's processes, so root's search runs as the user 65534.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Scarce : public testing::CliTest {
 protected:
  void SetUp() override {
    fs::permissions(temp_.path(), fs::perms::all);
    const auto works =
        testing::RunCommand(kAsUser + PIVOTAL_BINARY + " info --model " + testing::kTinyModel);
    if (works.code != 0)
      GTEST_SKIP() << "the user 65534 cannot run the program here: " << works.output;
  }
  // Runs a search under a limit of prlimit ("--nproc=8"). Files that the test's own parent has left
  // open are closed first, since they count.
  testing::CommandResult Search(const std::string& limit, const std::string& more) const {
    return testing::RunCommand(fmt::format(
        "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; "
        "OMP_NUM_THREADS=4 timeout 60 {}prlimit {} {} {} {}",
        kAsUser, limit, PIVOTAL_BINARY, testing::SearchArguments(2, 4, 1) + Path("run"), more));
  }
  // No run folder is left in the way of a second try.
  void ExpectOneLine(const testing::CommandResult& result) const {
    EXPECT_EQ(result.code, 1) << result.output;
    EXPECT_THAT(result.output, StartsWith("pivotal: "));
    EXPECT_EQ(std::ranges::count(result.output, '\n'), 1) << result.output;
    EXPECT_FALSE(fs::exists(Path("run")));
  }

  static inline const std::string kAsUser =
      ::geteuid() == 0 ? "setpriv --reuid=65534 --regid=65534 --clear-groups -- " : "";
};

TEST_F(Scarce, Threads) {
  for (const char* limit : {"--nproc=1", "--nproc=2"}) {
    const auto result = Search(limit, "");
    ExpectOneLine(result);
    EXPECT_THAT(result.output, AllOf(HasSubstr("threads that compute"),
                                     HasSubstr("OMP_NUM_THREADS"), HasSubstr("ulimit -u")));
  }
}

TEST_F(Scarce, ThreadsOfTheJudge) {
  const auto result = Search("--nproc=100", "--judge-threads 1024");
  ExpectOneLine(result);
  EXPECT_THAT(result.output, AllOf(HasSubstr("of the 1024 threads that ask the oracle"),
                                   HasSubstr("--judge-threads")));
}

TEST_F(Scarce, Files) {
  for (const char* limit : {"--nofile=4", "--nofile=6", "--nofile=12"}) {
    const auto result = Search(limit, "--oracle 'command:cat'");
    ExpectOneLine(result);
    EXPECT_THAT(result.output, AllOf(HasSubstr("too many open files"), HasSubstr("ulimit -n")));
  }
}

}  // namespace
}  // namespace pivotal
