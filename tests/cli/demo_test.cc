// Apache-2.0. pivotal demo tells what it does, and its last words are commands that work.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <string>
#include <vector>

#include "data/base/text.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::Pivotal;
using testing::RunCommand;

class Demo : public testing::CliTest {};

TEST_F(Demo, TellsAStoryWhoseCommandsWork) {
  const std::string output = Path("demo"), log = Path("log");
  const auto demo =
      RunCommand(fmt::format("{} demo --problems 20 --heldout 40 --control --output {} 2> {}",
                             PIVOTAL_BINARY, output, log));
  ASSERT_EQ(demo.code, 0) << demo.output << data::ReadFile(log);
  const std::string& text = demo.output;
  // The plan comes first, with a time for each part.
  const std::size_t begin = text.find("\n[1/6]");
  ASSERT_NE(begin, std::string::npos) << text;
  const std::string plan = text.substr(0, begin);
  EXPECT_THAT(plan,
              AllOf(HasSubstr("often the model solves 40 problems"), HasSubstr("solves 20 others"),
                    HasSubstr("All files go to the folder " + output)));
  std::size_t times = 0;
  for (std::size_t at = 0; (at = plan.find("about ", at)) != std::string::npos; ++at) ++times;
  EXPECT_EQ(times, 7u) << "six parts and their sum\n" << plan;
  // Then the parts in order, then the responses, the table and the commands.
  std::size_t at = 0;
  for (const std::string part :
       {"[1/6] measure", "% at temperature 0; it took ", "[2/6] search", "pivotal tokens, ",
        "[3/6] train", "the last loss is ", "[4/6] measure", "[5/6] train", "[6/6] measure",
        "Some of the responses", "right response:", "held-out accuracy, %", "pivotal over random",
        "whole demo", "a model of your own", "pivotal search ", "pivotal pairs ",
        "pivotal train "}) {
    at = text.find(part, at);
    ASSERT_NE(at, std::string::npos) << part << "\n" << text;
  }
  std::size_t marked = 0;
  for (std::size_t i = 0; (i = text.find(" response:", i)) != std::string::npos; ++i) ++marked;
  EXPECT_EQ(marked, 3u);
  EXPECT_THAT(text, ::testing::Not(HasSubstr("\x1b")));
  // The commands are typed as they stand, with the reader's names in them.
  const std::regex command("\n  pivotal ((search|pairs|train) [^\n]*)");
  int count = 0;
  for (std::sregex_iterator found(text.begin(), text.end(), command), end; found != end; ++found) {
    std::string arguments = (*found)[1];
    data::ReplaceAll(arguments, "MODEL", testing::kTinyModel);
    data::ReplaceAll(arguments, "PROBLEMS.jsonl",
                     testing::kTiny + "/problems/train.jsonl --limit 8 --max-new-tokens 64");
    const auto result =
        RunCommand(fmt::format("cd {} && {} {}", temp_.path().string(), PIVOTAL_BINARY, arguments));
    EXPECT_EQ(result.code, 0) << arguments << "\n" << result.output;
    ++count;
  }
  EXPECT_EQ(count, 3);
  EXPECT_TRUE(fs::exists(Path("tuned") + "/model.safetensors"));
  for (const char* name : {"run/traces.h5", "run/pairs.jsonl", "model/model.safetensors",
                           "random-pairs.jsonl", "control-model/model.safetensors"})
    EXPECT_TRUE(fs::exists(fs::path(output) / name)) << name;
  // The table is what the files say.
  const auto scored = Pivotal(fmt::format(
      "eval --model {}/model --problems {}/problems/heldout.jsonl --limit 40 --samples 4 --seed 1 "
      "--max-new-tokens 64",
      output, testing::kTiny));
  EXPECT_EQ(scored.code, 0);
  std::smatch after;
  ASSERT_TRUE(std::regex_search(text, after, std::regex("after DPO +([0-9.]+) ")));
  EXPECT_THAT(scored.output, HasSubstr(after[1].str())) << "as pivotal eval measures it";
}

// The other world has other problems, longer responses and a chat template.
TEST_F(Demo, ShowsTheSmallWorld) {
  const std::string output = Path("small");
  const auto demo = Pivotal("demo --world small --problems 6 --heldout 20 --output " + output);
  ASSERT_EQ(demo.code, 0) << demo.output;
  EXPECT_THAT(demo.output, AllOf(HasSubstr("5.7 million parameters"), HasSubstr("solves 6 others"),
                                 HasSubstr("[4/4] measure"), HasSubstr("token")));
  EXPECT_THAT(data::ReadFile(output + "/run/run.toml"), HasSubstr("max_new_tokens = 160"));
  EXPECT_TRUE(fs::exists(output + "/model/chat_template.jinja"));
  EXPECT_EQ(Pivotal("demo --world smal").code, 2);
}

}  // namespace
}  // namespace pivotal
