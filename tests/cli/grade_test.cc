// Apache-2.0. pivotal grade: verdicts on a file of responses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::Pivotal;

class Grade : public testing::CliTest {
 protected:
  testing::CommandResult Run(const std::string& input, const std::string& more) {
    const auto in = temp_.Write("in.jsonl", input);
    return Pivotal("grade --input " + in.string() + " " + more);
  }
  void ExpectFailure(const std::string& input, const std::string& more, const std::string& text) {
    const auto result = Run(input, more + " --output " + out_.string());
    EXPECT_EQ(result.code, 1) << result.output;
    EXPECT_THAT(result.output, HasSubstr(text));
    EXPECT_EQ(std::ranges::count(result.output, '\n'), 1) << result.output;
    EXPECT_FALSE(std::filesystem::exists(out_));
  }
  std::filesystem::path out_ = temp_.path() / "out.jsonl";
};

TEST_F(Grade, RepeatsLinesInOrderWithTheVerdict) {
  std::string input;
  for (int i = 0; i < 3000; ++i)
    input += json{{"id", i},
                  {"answer", i},
                  {"response", "it is " + std::to_string(i % 3 == 0 ? i : i + 1)}}
                 .dump() +
             "\n";
  for (const std::string threads : {"1", "5"}) {
    std::filesystem::remove(out_);
    const auto result =
        Run(input, "--oracle numeric --threads " + threads + " --output " + out_.string());
    ASSERT_EQ(result.code, 0) << result.output;
    EXPECT_THAT(result.output, HasSubstr("3000 lines graded, 1000 right (33.3%)"));
    const auto lines = testing::JsonLines(out_);
    ASSERT_EQ(lines.size(), 3000u);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      EXPECT_EQ(lines[i]["id"], i);
      EXPECT_EQ(lines[i]["success"], i % 3 == 0);
    }
  }
}

TEST_F(Grade, AnyAnswerOfAListIsRight) {
  const auto result = Run(R"({"answer": ["a", "B"], "response": "So B."})"
                          "\n"
                          R"({"answer": ["C"], "response": "So B."})"
                          "\n",
                          "--oracle choice");
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("2 lines graded, 1 right (50.0%)"));
}

TEST_F(Grade, ComparesWithLabels) {
  const auto result = Run(R"({"gold": "1", "text": "1", "label": true})"
                          "\n"
                          R"({"gold": "1", "text": "2", "label": 1})"
                          "\n"
                          R"({"gold": "1", "text": "1", "label": false})"
                          "\n"
                          R"({"gold": "1", "text": "3", "label": 0})"
                          "\n",
                          "--oracle exact --answer-key gold --response-key text --label-key label");
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("graded right                 1           1\n"));
  EXPECT_THAT(result.output, HasSubstr("graded wrong                 1           1\n"));
  EXPECT_THAT(result.output, HasSubstr("agreement 50.0% (2 of 4)"));
}

TEST_F(Grade, RefusesBadInput) {
  const std::string good = R"({"answer": "1", "response": "1"})"
                           "\n";
  ExpectFailure(good + "no json\n", "--oracle exact", "in.jsonl:2");
  ExpectFailure(good + R"({"answer": "1"})", "--oracle exact", "no key \"response\"");
  ExpectFailure(good + R"({"response": "1"})", "--oracle exact", "--answer-key");
  ExpectFailure(good + R"({"answer": [], "response": "1"})", "--oracle exact", "empty list");
  ExpectFailure(good + R"({"answer": {}, "response": "1"})", "--oracle exact", "not object");
  ExpectFailure(good + R"({"answer": "x", "response": "1"})", "--oracle numeric",
                "in.jsonl:2: oracle numeric finds nothing to compare in the answer \"x\"");
  ExpectFailure(good, "--oracle exact --label-key label", "--label-key");
  ExpectFailure(good, "--oracle exact --question-key q", "--question-key");
  ExpectFailure(good, "--oracle nonsense", "oracle \"nonsense\" is unknown");
  ExpectFailure("", "--oracle exact", "no line in this file");
  EXPECT_EQ(Pivotal("grade --oracle exact --input " + temp_.path().string() + "/none").code, 1);
  EXPECT_EQ(Run(good, "--oracle exact --threads 0").code, 2);
  EXPECT_EQ(Run(good, "").code, 2);
  temp_.Write("out.jsonl", "kept");
  const auto result = Run(good, "--oracle exact --output " + out_.string());
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.output, HasSubstr("exists already"));
}

// The first line takes the pattern more steps than it may have.
TEST_F(Grade, ALineWithoutVerdictIsWrongAndCounted) {
  const std::string bad = R"({"answer": "a", "response": ")" + std::string(60, 'a') + "!\"}\n";
  const std::string good = R"({"answer": "a", "response": "a"})"
                           "\n";
  const std::string oracle = "--oracle 'regex:^(a+)+$' --output " + out_.string();
  const auto result = Run(bad + good, oracle);
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("2 lines graded, 1 right (50.0%)"));
  EXPECT_THAT(result.output, HasSubstr("1 of 2 verdicts failed: 1 limit reached"));
  const auto lines = testing::JsonLines(out_);
  EXPECT_EQ(lines.at(0)["success"], false);
  EXPECT_EQ(lines.at(0)["oracle_failed"], true);
  EXPECT_EQ(lines.at(1)["success"], true);
  EXPECT_FALSE(lines.at(1).contains("oracle_failed"));
  std::filesystem::remove(out_);
  ExpectFailure(bad + good, "--threads 1 --max-oracle-failures 0 --oracle 'regex:^(a+)+$'",
                "in.jsonl:1: 1 of 1 verdicts failed: 1 limit reached, more than "
                "--max-oracle-failures 0 allows; the last: oracle regex: match limit");
  std::string many;
  for (int i = 0; i < 9; ++i) many += bad;
  ExpectFailure(many, "--threads 1 --oracle 'regex:^(a+)+$'", "6 of 6 verdicts failed");
}

// 250 MATH responses have labels; math_oracle_test.cc names the one that is wrong.
TEST_F(Grade, Math250) {
  const std::string path = PIVOTAL_SOURCE_DIR "/../shared/data/math/math-250.jsonl";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no file " << path;
  const auto result = Pivotal("grade --oracle math --label-key response_label --input " + path);
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("agreement 99.6% (249 of 250)"));
}

}  // namespace
}  // namespace pivotal
