// Apache-2.0. What the program chooses by itself: the oracle by the problem file, and how long a
// response may be by the model. Problems with several right answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

using ::testing::HasSubstr;
using testing::kTiny;
using testing::kTinyModel;
using ::testing::Not;
using testing::SettingOf;

class Defaults : public testing::CliTest {
 protected:
  testing::CommandResult Run(const std::string& arguments) const {
    return testing::RunCommand("cd " + Path("") + " && OMP_NUM_THREADS=1 " PIVOTAL_BINARY " " +
                               arguments);
  }
};

TEST_F(Defaults, TheOracleIsThatOfWhatTheFilePlainlyHolds) {
  temp_.Write("gsm8k.jsonl", R"({"question": "1+1?", "answer": "One and one.\n#### 2"})"
                             "\n");
  temp_.Write("choices.jsonl", R"({"id": "x", "question": "Which?\nA) 1\nB) 2", "answer": "B"})"
                               "\n");
  const std::string search =
      " --model " + kTinyModel + " --strategy none --samples 2 --max-new-tokens 16 --output ";
  auto result = Run("search --problems gsm8k.jsonl" + search + "gsm8k");
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("pivotal: gsm8k.jsonl looks like gsm8k: the oracle is "
                                       "numeric (--oracle chooses another)\n"));
  EXPECT_EQ(SettingOf(Path("gsm8k"), "oracle"), "'numeric'");
  EXPECT_EQ(SettingOf(Path("gsm8k"), "dataset"), "'gsm8k'");
  result = Run("search --resume gsm8k");
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, Not(HasSubstr("looks like"))) << "run.toml says it";
  result = Run("search --problems choices.jsonl" + search + "choices");
  EXPECT_THAT(result.output, HasSubstr("choices.jsonl has letters of choices as answers: the "
                                       "oracle is choice (--oracle chooses another)\n"));
  EXPECT_EQ(SettingOf(Path("choices"), "oracle"), "'choice'");
  result = Run("search --oracle exact --problems choices.jsonl" + search + "exact");
  EXPECT_THAT(result.output, Not(HasSubstr("the oracle is")));
  EXPECT_EQ(SettingOf(Path("exact"), "oracle"), "'exact'");
}

TEST_F(Defaults, ResponsesAreCutToThePositionsOfTheModel) {
  const std::string problems = kTiny + "/problems/train.jsonl";
  const std::string search = "search --limit 4 --samples 4 --confirm 4 --model " + kTinyModel +
                             " --problems " + problems + " --output ";
  auto result = Run(search + "cut --max-new-tokens 5000");
  ASSERT_EQ(result.code, 0) << result.output;
  const std::string most = SettingOf(Path("cut"), "max_new_tokens");
  EXPECT_THAT(result.output, HasSubstr(" of the model's 256 positions: --max-new-tokens is " +
                                       most + ", not 5000\n"));
  // The same as if that had been asked for.
  result = Run(search + "asked --max-new-tokens " + most);
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, Not(HasSubstr("positions")));
  EXPECT_EQ(testing::PairsOf(Path("cut")), testing::PairsOf(Path("asked")));
  result = Run("search --resume cut");
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, Not(HasSubstr("positions")));
  // Shards have one limit, whoever has the longest prompt, so that they can be merged.
  for (const char* shard : {"1/2", "2/2"}) {
    result = Run(search + "shard" + std::string(1, shard[0]) + " --max-new-tokens 5000 --shard " +
                 shard);
    ASSERT_EQ(result.code, 0) << result.output;
  }
  result = Run("merge shard1 shard2 --output merged");
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(SettingOf(Path("merged"), "max_new_tokens"), most);
}

TEST_F(Defaults, OneOfSeveralAnswersIsEnough) {
  // The right answers of two problems, behind another one.
  std::string lines, single;
  for (const auto& line : testing::JsonLines(kTiny + "/problems/train.jsonl")) {
    auto several = line;
    several["answer"] = {"-1", line["answer"]};
    single += line.dump() + "\n";
    lines += several.dump() + "\n";
    if (std::count(lines.begin(), lines.end(), '\n') == 2) break;
  }
  temp_.Write("one.jsonl", single);
  temp_.Write("several.jsonl", lines);
  const std::string search =
      " --samples 8 --confirm 8 --max-new-tokens 64 --min-success 0 "
      "--max-success 1 --model " +
      kTinyModel + " --output ";
  for (const std::string name : {"one", "several"}) {
    const auto result = Run("search --problems " + name + ".jsonl" + search + name);
    ASSERT_EQ(result.code, 0) << result.output;
  }
  const auto one = data::LoadRun(Path("one")), several = data::LoadRun(Path("several"));
  ASSERT_EQ(one.size(), 2u);
  int32_t right = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(one[i].successes, several[i].successes);
    right += one[i].successes;
    EXPECT_EQ(several[i].answer, "-1");
    EXPECT_EQ(several[i].other_answers, std::vector<std::string>{one[i].answer});
  }
  EXPECT_GT(right, 0) << "nothing was right, so nothing was tested";
  EXPECT_EQ(testing::PairsOf(Path("one")), testing::PairsOf(Path("several")));
  EXPECT_THAT(Run("show several --problem train-0001").output,
              HasSubstr("answer -1 or " + one[0].answer + "\n"));
  EXPECT_EQ(Run("report several").code, 0);
  EXPECT_THAT(Run("search --oracle code --problems several.jsonl" + search + "code").output,
              HasSubstr("has a list of answers, but the code oracle runs all tests of one"));
}

}  // namespace
}  // namespace pivotal
