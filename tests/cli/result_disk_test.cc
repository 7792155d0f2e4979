// Apache-2.0. A full disk, or a file that cannot be written, does not lose the result of eval,
// score, grade, generate or bench.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
using testing::RunCommand;

class ResultDisk : public testing::CliTest {
 protected:
  ResultDisk() {
    std::string score, grade;
    for (int i = 0; i < 4; ++i) {
      score += fmt::format("{{\"prompt\": \"Question {}\", \"completion\": \" 7\"}}\n", i);
      grade += fmt::format("{{\"response\": \"r{}\", \"answer\": \"7\"}}\n", i);
    }
    temp_.Write("score.jsonl", score);
    temp_.Write("grade.jsonl", grade);
    temp_.Write("judge.sh", "while read -r line; do sleep 0.3; echo '{\"success\": true}'; done\n");
    fs::create_directory(disk_);
  }
  std::string Eval(const std::string& more = "") const {
    return PIVOTAL_BINARY " eval --device cpu --samples 1 --limit 4 --max-new-tokens 48 --model " +
           testing::kTinyModel + " --problems " + testing::kTiny + "/problems/heldout.jsonl" + more;
  }
  std::string Score() const {
    return PIVOTAL_BINARY " score --device cpu --model " + testing::kTinyModel + " --input " +
           Path("score.jsonl");
  }
  std::string Grade() const {
    return PIVOTAL_BINARY " grade --threads 1 --input " + Path("grade.jsonl") +
           " --oracle 'command:sh " + Path("judge.sh") + "'";
  }
  const fs::path disk_ = temp_.path() / "disk";
};

TEST_F(ResultDisk, TooLittleRoomIsSaidBeforeTheWork) {
  for (const std::string& command : {Eval(), Score(), Grade()}) {
    temp_.Write("run.sh", command + " --output " + (disk_ / "out").string() + "; CODE=$?; ls -A " +
                              disk_.string() + "; exit $CODE\n");
    const auto result =
        RunCommand("unshare --map-root-user --mount sh -c 'mount -t tmpfs -o size=16k none " +
                   disk_.string() + " || exit 99; head -c 1M /dev/zero > " + disk_.string() +
                   "/filler 2>/dev/null; . " + Path("run.sh") + "'");
    if (result.code == 99) GTEST_SKIP() << "no tmpfs can be mounted in a user namespace here";
    EXPECT_EQ(result.code, 1) << result.output;
    EXPECT_THAT(result.output,
                AllOf(HasSubstr("pivotal: " + (disk_ / "out").string() + ": can't keep the room"),
                      HasSubstr("no space left on device; make room, or take another disk"),
                      EndsWith("disk\nfiller\n"), Not(HasSubstr("took"))));
  }
}

// A folder gets the name of the file during the work: from a judge, or, where there is none, from
// whoever writes the input: a pipe for each of the three times that it is read. A pipe ends once
// the next one has its place.
TEST_F(ResultDisk, AResultThatCannotBeWrittenIsPrinted) {
  temp_.Write("takes.sh",
              "while read -r line; do mkdir -p \"$1\"; echo '{\"success\": true}'; done\n");
  const auto judge = [&](const std::string& out) {
    return " --oracle 'command:sh " + Path("takes.sh") + " " + out + "'";
  };
  const std::string lines = Path("score.jsonl"), in = Path("in");
  const std::string pipes[] = {Path("first"), Path("second"), Path("third")};
  const auto writes = [&](const std::string& out) {
    return "mkfifo " + pipes[0] + " " + pipes[1] + " " + pipes[2] + "; ln -s " + pipes[0] + " " +
           in + "; { { cat " + lines + "; ln -sfn " + pipes[1] + " " + in + "; } > " + pipes[0] +
           "; { cat " + lines + "; ln -sfn " + pipes[2] + " " + in + "; } > " + pipes[1] +
           "; { until [ -e " + out + ".tmp ]; do sleep 0.01; done; mkdir " + out + "; cat " +
           lines + "; } > " + pipes[2] + "; } & ";
  };
  const std::string outs[] = {Path("out0"), Path("out1"), Path("out2")};
  const struct {
    std::string command, out, line, said;
  } cases[] = {
      {Eval(judge(outs[0])), outs[0],
       "\"successes\":", "the scores are on standard output instead"},
      {writes(outs[1]) + PIVOTAL_BINARY " score --device cpu --model " + testing::kTinyModel +
           " --input " + in,
       outs[1], "\"logprobs\":", "the 4 lines that are finished are on standard output instead"},
      {PIVOTAL_BINARY " grade --threads 1 --input " + Path("grade.jsonl") + judge(outs[2]), outs[2],
       "\"success\":", "the 4 lines that are finished are on standard output instead"}};
  for (const auto& [command, out, line, said] : cases) {
    const auto result =
        RunCommand("{ " + command + " --output " + out + "; CODE=$?; wait; exit $CODE; }");
    EXPECT_EQ(result.code, 1) << result.output;
    EXPECT_THAT(result.output,
                AllOf(HasSubstr("pivotal: " + out + ": can't rename"), HasSubstr(said)));
    std::size_t found = 0;
    for (auto at = result.output.find(line); at != std::string::npos;
         at = result.output.find(line, at + 1))
      ++found;
    EXPECT_EQ(found, 4u) << result.output;
    EXPECT_FALSE(fs::exists(out + ".tmp"));
  }
}

TEST_F(ResultDisk, AResultThatCannotBePrintedGoesToStandardError) {
  const std::string bench =
      PIVOTAL_BINARY
      " bench rollouts --sequences 2 --prompt-tokens 4 --new-tokens 4 --repeats 1 --model " +
      testing::kTinyModel;
  for (const auto& [command, text] :
       {std::pair{Eval(), "temperature 0"}, {Grade(), "4 lines graded"}, {bench, "tokens"}}) {
    const auto result = RunCommand("(" + command + " >/dev/full)");
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.output, AllOf(HasSubstr(text), HasSubstr("standard output: no space left")));
  }
}

// The first token that cannot be printed ends it.
TEST_F(ResultDisk, AnAnswerThatCannotBePrintedIsAFailure) {
  const auto result =
      RunCommand("(" PIVOTAL_BINARY " generate --device cpu --model " + testing::kTinyModel +
                 " 'How many pens?' --max-new-tokens 16 >/dev/full)");
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.output, "pivotal: standard output: no space left on device\n");
}

}  // namespace
}  // namespace pivotal
