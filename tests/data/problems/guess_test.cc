// Apache-2.0.
#include "data/problems/guess.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pivotal/oracle.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Returns "dataset oracle" of a guess; "" if there is none.
std::string Text(const fs::path& file, const ProblemSetOptions& options = {}) {
  const auto guess = GuessProblems(file, options);
  return guess ? guess->dataset + " " + guess->oracle : "";
}

class ProblemGuesses : public ::testing::Test {
 protected:
  std::string Guess(const std::vector<json>& lines, const ProblemSetOptions& options = {}) {
    std::string text;
    for (const json& line : lines) text += line.dump() + "\n";
    return Text(folder_.Write("f.jsonl", text), options);
  }

  testing::TempDir folder_;
};

// Rows as the Hub's pages of these data sets show them.
const std::vector<std::pair<std::string, json>> kRows = {
    {"gsm8k numeric", {{"question", "q"}, {"answer", "2 + 2 = <<2+2=4>>4\n#### 4"}}},
    {"math math",
     {{"problem", "p"}, {"level", "Level 5"}, {"type", "Algebra"}, {"solution", "$\\boxed{7}$"}}},
    {"math-500 math",
     {{"problem", "p"}, {"solution", "$\\boxed{7}$"}, {"answer", "7"}, {"unique_id", "a/1.json"}}},
    {"aime math", {{"id", 60}, {"problem", "p"}, {"solution", "s"}, {"answer", "204"}}},
    {"aime math", {{"ID", "2024-II-4"}, {"Problem", "p"}, {"Answer", 33}}},
    {"humaneval code",
     {{"task_id", "HumanEval/0"},
      {"prompt", "def f():"},
      {"test", "def check(c): pass"},
      {"entry_point", "f"}}},
    {"mbpp code", {{"task_id", 11}, {"text", "Write g."}, {"test_list", {"assert g()"}}}},
    {"gpqa choice",
     {{"Question", "q"},
      {"Correct Answer", "a"},
      {"Incorrect Answer 1", "b"},
      {"Incorrect Answer 2", "c"},
      {"Incorrect Answer 3", "d"}}},
    {"mmlu choice", {{"question", "q"}, {"choices", {"a", "b"}}, {"answer", 1}}},
    {"mmlu-pro choice",
     {{"question_id", 70}, {"question", "q"}, {"options", {"a", "b"}}, {"answer", "B"}}},
    {"arc choice",
     {{"id", "M_1"},
      {"question", "q"},
      {"choices", {{"text", {"a", "b"}}, {"label", {"1", "2"}}}},
      {"answerKey", "2"}}},
};

TEST_F(ProblemGuesses, WellKnownDataSetsAreToldByTheirKeys) {
  for (const auto& [want, row] : kRows) {
    EXPECT_EQ(Guess({row}), want) << row.dump();
    const std::string set = want.substr(0, want.find(' '));
    EXPECT_EQ(DatasetOracle(set), want.substr(set.size() + 1));
    // What is guessed can be read.
    EXPECT_EQ(LoadProblems(folder_.path() / "f.jsonl", DatasetOptions(set)).size(), 1u) << want;
  }
}

TEST_F(ProblemGuesses, AllProblemsMustAgree) {
  for (const auto& [set, row] : kRows) {
    for (const auto& [other_set, other] : kRows) {
      if (set == other_set) continue;
      // HumanEval's and MBPP's rows are told one by one.
      const bool programs = set.ends_with(" code") && other_set.ends_with(" code");
      EXPECT_EQ(Guess({row, row, other}), programs ? " code" : "") << set << other_set;
    }
  }
}

TEST_F(ProblemGuesses, AChoiceOfTheUserIsNoGuess) {
  ProblemSetOptions named;
  named.dataset = "math";
  EXPECT_EQ(Guess({kRows[0].second}, named), "");
  // Keys of their own: the answers alone tell.
  ProblemSetOptions keys;
  keys.question_key = "problem";
  keys.answer_key = "solution";
  EXPECT_EQ(Guess({kRows[1].second}, keys), " math");
}

TEST_F(ProblemGuesses, AnswersOfTheOwnFormTell) {
  const auto one = [&](const std::string& question, const json& answer) {
    return Guess({{{"id", "a"}, {"question", question}, {"answer", answer}}});
  };
  EXPECT_EQ(one("Which?\n\nA) x\nB) y", "B"), " choice");
  EXPECT_EQ(one("Which? (A) x (B) y (C) z", "C"), " choice");
  EXPECT_EQ(one("Which?\nA. x\nB. y", " A "), " choice");
  EXPECT_EQ(one("Which?\nA. x\nB. y", "C"), "") << "is no choice of the question";
  EXPECT_EQ(one("Which letter is first?", "A"), "") << "the question shows no choices";
  EXPECT_EQ(one("1+1?", "One and one.\n#### 2"), " numeric");
  EXPECT_EQ(one("1+1?", "It is $\\boxed{2}$."), " math");
  EXPECT_EQ(one("Write f.", R"({"entry_point": "f", "test": "def check(c): pass"})"), " code");
  EXPECT_EQ(one("Write f.", R"x({"tests": ["assert f()"]})x"), " code");
  EXPECT_EQ(one("Which?\nA) x\nB) y", {"A", "B"}), " choice");
  EXPECT_EQ(one("Which?\nA) x\nB) y", {"A", "x"}), "") << "not all answers are letters";
  // The default, hash, reads these, or nothing plainly does.
  EXPECT_EQ(one("1+1?", "2"), "");
  EXPECT_EQ(one("1+1?", "#### 2"), "");
  EXPECT_EQ(one("1+1?", "two"), "");
  EXPECT_EQ(one("x?", "{1, 2}"), "");
  const Problem letter{"1", "Which?\nA) x\nB) y", "A"}, hash{"2", "?", "#### 2"};
  EXPECT_EQ(OracleOfAnswers({letter}), "choice");
  EXPECT_EQ(OracleOfAnswers({hash}), "hash");
  EXPECT_EQ(OracleOfAnswers({letter, hash}), "");
  EXPECT_EQ(OracleOfAnswers({}), "");
}

TEST_F(ProblemGuesses, FilesThatCannotBeReadAreLeftToTheirReader) {
  EXPECT_EQ(Text(folder_.path() / "none.jsonl"), "");
  EXPECT_EQ(Text(folder_.path()), "");
  EXPECT_EQ(Text(folder_.Write("e.jsonl", "")), "");
  EXPECT_EQ(Text(folder_.Write("b.jsonl", kRows[0].second.dump() + "\nno json\n")), "");
  // Whoever loads a pipe must find all of it.
  const fs::path pipe = folder_.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(Text(pipe), "");
}

TEST(ProblemGuess, FilesOfTheDataSets) {
  const std::string shared = PIVOTAL_SOURCE_DIR "/../shared/data";
  if (!fs::exists(shared)) GTEST_SKIP() << "no folder " << shared;
  EXPECT_EQ(Text(shared + "/gsm8k/test.jsonl"), "gsm8k numeric");
  EXPECT_EQ(Text(shared + "/humaneval/HumanEval.jsonl"), "humaneval code");
  EXPECT_EQ(Text(PIVOTAL_SOURCE_DIR "/experiments/tiny/problems/train.jsonl"), "");
}

TEST(ProblemGuess, NamesOnTheHub) {
  EXPECT_EQ(DatasetOnHub("openai/gsm8k"), "gsm8k");
  EXPECT_EQ(DatasetOnHub("HuggingFaceH4/MATH-500"), "math-500");
  EXPECT_EQ(DatasetOnHub("me/gsm8k"), "");
}

}  // namespace
}  // namespace pivotal::data
