// Apache-2.0. A full disk, or a file that cannot be written, under commands that turn what is
// stored into other files: pairs, export, curve, tokenize, import, merge, merge-adapter.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Pivotal;
using testing::RunCommand;
using ::testing::StartsWith;

class ExportDisk : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto expect = [](const std::string& arguments) {
      const auto done = Pivotal(arguments);
      ASSERT_EQ(done.code, 0) << done.output;
    };
    expect(testing::kTinySearch + Path("run"));
    expect(testing::kTinySearch + Path("shard1") + " --shard 1/2");
    expect(testing::kTinySearch + Path("shard2") + " --shard 2/2");
    expect("export " + Path("run") + " --format pts --output " + Path("events.jsonl"));
    Temp().Write("pairs.jsonl", testing::ProductPairs(4));
    expect("train --device cpu --model " + testing::kTinyModel + " --data " + Path("pairs.jsonl") +
           " --lora-rank 1 --max-steps 1 --output " + Path("adapter"));
    // Scores a response by its length, and leaves a file behind once it is asked.
    Temp().Write("judge.sh",
                 "while read -r line; do touch \"$1\"; echo \"{\\\"accuracy\\\": ${#line}, "
                 "\\\"style\\\": 0, \\\"detail\\\": 0}\"; done\n");
    fs::create_directory(Path("disk"));
  }
  static const testing::TempDir& Temp() {
    static const testing::TempDir temp;
    return temp;
  }
  static std::string Path(const std::string& name) { return (Temp().path() / name).string(); }
  static std::string Judged(const std::string& asked) {
    return "pairs " + Path("run") + " --source judged --judge 'sh " + Path("judge.sh") + " " +
           asked + "'";
  }
  static std::string Merge() {
    return "merge-adapter --model " + testing::kTinyModel + " --adapter " + Path("adapter");
  }
};

TEST_F(ExportDisk, TooLittleRoomIsSaidBeforeTheWork) {
  const std::string disk = Path("disk"), out = disk + "/out";
  const struct {
    std::string command, said;
  } cases[] = {{Judged(disk + "/asked"), disk + ": can't keep "},
               {"export " + Path("run") + " --format steering", out + ": can't keep the room"},
               {Merge(), out + ": needs "}};
  for (const auto& [command, said] : cases) {
    Temp().Write("run.sh", PIVOTAL_BINARY " " + command + " --output " + out + "; CODE=$?; ls -A " +
                               disk + "; exit $CODE\n");
    const auto result =
        RunCommand("unshare --map-root-user --mount sh -c 'mount -t tmpfs -o size=16k none " +
                   disk + " || exit 99; head -c 1M /dev/zero > " + disk +
                   "/filler 2>/dev/null; . " + Path("run.sh") + "'");
    if (result.code == 99) GTEST_SKIP() << "no tmpfs can be mounted in a user namespace here";
    EXPECT_EQ(result.code, 1) << result.output;
    EXPECT_THAT(result.output,
                AllOf(HasSubstr("pivotal: " + said), HasSubstr("make room, or take another disk"),
                      EndsWith("disk\nfiller\n")));
  }
}

// What the judge was asked for is not lost.
TEST_F(ExportDisk, PairsThatCannotBeWrittenArePrinted) {
  ASSERT_EQ(Pivotal(Judged(Path("asked")) + " --output " + Path("judged.jsonl")).code, 0);
  const std::string want = data::ReadFile(Path("judged.jsonl"));
  ASSERT_GT(want.size(), 1000u);
  const auto result =
      RunCommand("{ prlimit --fsize=1000 " PIVOTAL_BINARY " " + Judged(Path("asked")) +
                 " --output " + Path("none.jsonl") + " 2>" + Path("error.txt") + " | cat; }");
  EXPECT_EQ(result.output, want);
  EXPECT_EQ(data::ReadFile(Path("error.txt")),
            "pivotal: " + Path("none.jsonl") +
                ": can't write: file too large; the pairs are on standard output instead\n");
  EXPECT_FALSE(fs::exists(Path("none.jsonl")));
  EXPECT_FALSE(fs::exists(Path("none.jsonl.tmp")));
}

TEST_F(ExportDisk, OneLineIsSaidAndNoFileIsLeft) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "Tom has 8 boxes.\n";
  Temp().Write("text.txt", text);
  const std::string run = Path("run"), out = Path("half");
  const struct {
    int bytes;  // to which the system limits a file
    std::string command;
  } cases[] = {{1000, "export " + run + " --format pts"},
               {200, "export " + run + " --format trl"},
               {200, "export " + run + " --format sft"},
               {1000, "export " + run + " --format prm"},
               {1000, "export " + run + " --format advantages"},
               {1000, "export " + run + " --format critical"},
               {1000, "curve " + run},
               {1000, "report " + run},
               {1000, "tokenize --model " + testing::kTinyModel + " --input " + Path("text.txt")},
               {1000, "import " + Path("events.jsonl") + " --model " + testing::kTinyModel},
               {5000, "import " + Path("events.jsonl") + " --model " + testing::kTinyModel},
               {5000, "merge " + Path("shard1") + " " + Path("shard2")},
               {5000, Merge()}};
  for (const auto& [bytes, command] : cases) {
    SCOPED_TRACE(command);
    const auto result = RunCommand("prlimit --fsize=" + std::to_string(bytes) +
                                   " " PIVOTAL_BINARY " " + command + " --output " + out);
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.output,
                AllOf(StartsWith("pivotal: " + out), HasSubstr("can't write: file too large")));
    EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1) << result.output;
    EXPECT_FALSE(fs::exists(out));
    EXPECT_FALSE(fs::exists(out + ".tmp"));
    fs::remove_all(out);
  }
}

}  // namespace
}  // namespace pivotal
