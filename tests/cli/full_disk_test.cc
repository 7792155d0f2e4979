// Apache-2.0. The disk becomes full during a search.
#include <gtest/gtest.h>

#include <filesystem>
#include <stdexcept>
#include <string>

#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using testing::kTinySearch;
using testing::Pivotal;
using testing::RunCommand;

class FullDisk : public testing::CliTest {
 protected:
  FullDisk() {
    const auto done = Pivotal(kTinySearch + (temp_.path() / "whole").string());
    if (done.code != 0) throw std::runtime_error(done.output);
    want_ = testing::PairsOf(temp_.path() / "whole");
  }
  uintmax_t TracesSize() const { return fs::file_size(temp_.path() / "whole" / "traces.h5"); }

  std::string want_;
};

TEST_F(FullDisk, AFileSizeLimitIsOne) {
  // The first limit is too small for a shard, the second for all shards joined in one file.
  for (const uintmax_t bytes : {uintmax_t{4096}, TracesSize() - 1}) {
    const fs::path run = temp_.path() / ("run" + std::to_string(bytes));
    const auto result = RunCommand("prlimit --fsize=" + std::to_string(bytes) +
                                   " " PIVOTAL_BINARY " " + kTinySearch + run.string());
    testing::ExpectExplained(result, run, "can't write: file too large");
    testing::StoredQueries known;
    testing::CheckStored(run, known);
    EXPECT_EQ(known.size(), bytes == 4096 ? 0u : 6u);
    const auto resumed = Pivotal("search --resume " + run.string());
    EXPECT_EQ(resumed.code, 0) << resumed.output;
    testing::CheckStored(run, known);
    EXPECT_EQ(testing::PairsOf(run), want_);
  }
}

// The run folder is on a small file system. It is mounted in a namespace, so one script does
// everything.
TEST_F(FullDisk, ASmallFileSystemFillsUp) {
  const fs::path disk = temp_.path() / "disk", run = disk / "run";
  fs::create_directory(disk);
  const std::string enter = "unshare --map-root-user --mount sh -c 'mount -t tmpfs -o size=";
  if (RunCommand(enter + "64k none " + disk.string() + "'").code != 0)
    GTEST_SKIP() << "no tmpfs can be mounted in a user namespace here";
  std::size_t in_the_middle = 0;
  // The sizes range from less than the first shard to all shards without room to join them.
  for (const double part : {0.5, 1.2, 1.8, 2.4, 3.0}) {
    SCOPED_TRACE(part);
    const fs::path kept = temp_.path() / ("kept" + std::to_string(part));
    fs::create_directory(kept);
    const auto bytes = static_cast<uintmax_t>(part * static_cast<double>(TracesSize()));
    const std::string script = std::to_string(bytes) + " none " + disk.string() + " && cd " +
                               kept.string() + " || exit 1; " + PIVOTAL_BINARY + " " + kTinySearch +
                               run.string() + " >search.txt 2>&1; echo $? >code.txt; " + "cp -r " +
                               run.string() + " cut; mount -o remount,size=64m " + disk.string() +
                               "; " + PIVOTAL_BINARY + " search --resume " + run.string() +
                               " && cp -r " + run.string() + " resumed'";
    const auto resumed = RunCommand(enter + script);
    ASSERT_EQ(resumed.code, 0) << resumed.output;
    const auto text = RunCommand("cat " + (kept / "search.txt").string()).output;
    const auto code = RunCommand("cat " + (kept / "code.txt").string()).output;
    testing::ExpectExplained({std::stoi(code), text}, run, "no space left on device");
    testing::StoredQueries known;
    testing::CheckStored(kept / "cut", known);
    in_the_middle += !known.empty() && known.size() < 6;
    testing::CheckStored(kept / "resumed", known);
    EXPECT_EQ(testing::PairsOf(kept / "resumed"), want_);
  }
  EXPECT_GT(in_the_middle, 0u);
}

// The program's messages go to a full disk.
TEST_F(FullDisk, ALogThatCannotBeWrittenEndsNothing) {
  const fs::path run = temp_.path() / "run";
  EXPECT_EQ(RunCommand(PIVOTAL_BINARY " " + kTinySearch + run.string() + " 2>/dev/full").code, 0);
  EXPECT_EQ(testing::PairsOf(run), want_);
  EXPECT_EQ(RunCommand(PIVOTAL_BINARY " search --resume /no/run 2>/dev/full").code, 1);
}

TEST(Output, AResultThatCannotBePrintedIsAFailure) {
  const auto result =
      RunCommand("(" PIVOTAL_BINARY " info --model " + testing::kTinyModel + " >/dev/full)");
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.output, "pivotal: standard output: no space left on device\n");
}

}  // namespace
}  // namespace pivotal
