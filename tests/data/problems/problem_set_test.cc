// Apache-2.0.
#include <gmock/gmock.h>

#include <filesystem>
#include <string>
#include <vector>

#include "pivotal/problem.h"
#include "tests/support/error_text.h"
#include "tests/support/full_disk.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using ::testing::EndsWith;
using testing::ErrorText;
using ::testing::HasSubstr;

class ProblemSet : public ::testing::Test {
 protected:
  std::vector<Problem> Load(const std::string& text, const ProblemSetOptions& options = {}) {
    return LoadProblems(folder_.Write("f.jsonl", text), options);
  }
  // Returns the text of the Error without the folder's name.
  std::string LoadError(const std::string& text, const ProblemSetOptions& options = {}) {
    const std::string error = ErrorText([&] { Load(text, options); });
    const auto name = error.find("f.jsonl");
    return name == std::string::npos ? error : error.substr(name);
  }

  testing::TempDir folder_;
};

TEST_F(ProblemSet, ReadsIdsWhereThereAreAny) {
  const auto problems = Load(
      "{\"id\": \"a\", \"question\": \"1+1?\", \"answer\": \"2\"}\n\n"
      "{\"question\": \"2+2?\", \"answer\": 4, \"more\": [1]}\n"
      "{\"id\": 215, \"question\": \"\", \"answer\": -1.5}\n");
  ASSERT_EQ(problems.size(), 3u);
  EXPECT_EQ(problems[0].id, "a");
  EXPECT_EQ(problems[0].question, "1+1?");
  EXPECT_EQ(problems[1].id, "3") << "the line number";
  EXPECT_EQ(problems[1].answer, "4");
  EXPECT_EQ(problems[2].id, "215");
  EXPECT_EQ(problems[2].answer, "-1.5");
}

TEST_F(ProblemSet, ReadsOtherKeysAndStopsAtTheLimit) {
  ProblemSetOptions options{"name", "prompt", "label", 1, ""};
  const auto problems =
      Load("{\"name\": \"n\", \"prompt\": \"p\", \"label\": \"l\"}\nnot JSON\n", options);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].id + problems[0].question + problems[0].answer, "npl");
  EXPECT_EQ(LoadError("{\"prompt\": \"p\", \"label\": \"l\"}", options),
            "f.jsonl:1: no key \"name\" (keys: label, prompt); choose another with --id-key");
}

TEST_F(ProblemSet, FaultsNameFileLineAndRemedy) {
  EXPECT_EQ(LoadError("{\"id\": 1, \"prompt\": \"x\"}"),
            "f.jsonl:1: no key \"question\" (keys: id, prompt); "
            "choose another with --question-key");
  EXPECT_EQ(LoadError("{\"question\": \"x\", \"answer\": {}}"),
            "f.jsonl:1: key \"answer\" must be a string, a number or a list of them, not object; "
            "choose another with --answer-key");
  EXPECT_THAT(LoadError("{\"question\": \"x\", \"answer\": [[1]]}"), HasSubstr("not array"));
  EXPECT_THAT(LoadError("{\"question\": \"x\", \"answer\": []}"), HasSubstr("is an empty list"));
  EXPECT_THAT(LoadError("{\"question\": 7, \"answer\": 1}"), HasSubstr("must be a string"));
  EXPECT_THAT(LoadError("{\"id\": true, \"question\": \"\", \"answer\": 1}"),
              HasSubstr("key \"id\" must be a string or a number, not boolean"));
  EXPECT_THAT(LoadError("\n{\"question\"\n"), HasSubstr("f.jsonl:2: not JSON"));
  EXPECT_THAT(LoadError("{\"question\": \"\xC3\", \"answer\": 1}"),
              HasSubstr("f.jsonl:1: not JSON"));
  EXPECT_EQ(LoadError("{\"id\":\"a\",\"question\":\"\",\"answer\":1}\n"
                      "{\"id\":\"a\",\"question\":\"\",\"answer\":1}\n"),
            "f.jsonl:2: id \"a\" is already used on line 1; ids must be unique");
  EXPECT_EQ(LoadError(" \n\n"), "f.jsonl: there is no problem in this file");
  EXPECT_THAT(LoadError(std::string(1'000'000, '[')), HasSubstr("nested deeper"));
}

TEST_F(ProblemSet, HumanEvalLinesGiveTheirTestsToTheCodeOracle) {
  const std::string line =
      R"({"task_id": "HumanEval/0", "prompt": "def f():\n", "entry_point": "f", )"
      R"("canonical_solution": "    return 1\n", "test": "def check(c):\n    assert c() == 1\n"})";
  const auto problems = Load(line);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].id, "HumanEval/0");
  EXPECT_EQ(problems[0].question, "def f():\n");
  EXPECT_EQ(problems[0].answer,
            R"({"entry_point":"f","test":"def check(c):\n    assert c() == 1\n"})");
  EXPECT_THAT(LoadError(R"({"task_id": 1, "entry_point": "f", "test": ""})"),
              HasSubstr("f.jsonl:1: no key \"prompt\""));
  EXPECT_EQ(Load(line, {"task_id", "prompt", "entry_point", 0, ""})[0].answer, "f")
      << "keys were chosen";
}

TEST_F(ProblemSet, MbppLinesShowTheirTestsAndGiveThemToTheCodeOracle) {
  const auto problems = Load(
      R"({"task_id": 126, "text": "Write sum.", "code": "class Pair(object):\n  pass\n)"
      R"(def sum(a,b):\n  def inner(): pass\n  return a+b", "test_setup_code": "x = 1", )"
      R"("test_list": ["assert sum(1,2) == 3", "assert sum(0,x) == 1"], "challenge_test_list": []})"
      "\n"
      R"({"task_id": 2, "prompt": "Write f.", "code": "def f(): pass", "test_imports": ["import math"], )"
      R"("test_list": ["assert f() is None"]})");
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_EQ(problems[0].id, "126");
  EXPECT_EQ(problems[0].question,
            "Write sum.\nYour code should pass these tests:\n\nassert sum(1,2) == 3\n"
            "assert sum(0,x) == 1");
  EXPECT_EQ(problems[0].answer,
            R"({"tests":["assert sum(1,2) == 3","assert sum(0,x) == 1"],"setup":"x = 1",)"
            R"("defines":["Pair","sum"]})");
  EXPECT_EQ(problems[1].answer,
            R"({"tests":["assert f() is None"],"setup":"import math\n","defines":["f"]})");
  EXPECT_THAT(LoadError(R"({"task_id": 1, "text": "", "test_list": [1]})"),
              HasSubstr("\"test_list\" must be a list of strings"));
  EXPECT_THAT(LoadError(R"({"task_id": 1, "text": "", "test_list": []})"), HasSubstr("is empty"));
  EXPECT_THAT(LoadError(R"x({"task_id": [], "text": "", "test_list": ["assert f()"]})x"),
              HasSubstr("\"task_id\" must be a string or a number, not array"));
}

TEST_F(ProblemSet, AListHoldsAnswersThatAreAllRight) {
  const auto problems = Load(R"({"question": "x", "answer": ["72", 3.5, "a"]})"
                             "\n"
                             R"({"question": "y", "answer": ["1"]})");
  EXPECT_EQ(problems[0].answer, "72");
  EXPECT_EQ(problems[0].other_answers, (std::vector<std::string>{"3.5", "a"}));
  EXPECT_EQ(problems[1].answer, "1");
  EXPECT_TRUE(problems[1].other_answers.empty());
  ProblemSetOptions math = DatasetOptions("math-500");
  EXPECT_EQ(Load(R"({"problem": "x", "answer": ["1", "2"]})", math)[0].other_answers.size(), 1u);
}

TEST_F(ProblemSet, SavedProblemsLoadAgain) {
  const std::vector<Problem> problems = {{"a", "line\nbreak \"日\" 😀", "4", {"four", "4.0"}},
                                         {"b", "", ""}};
  const fs::path path = folder_.path() / "saved.jsonl";
  SaveProblems(path, problems);
  const auto loaded = LoadProblems(path);
  ASSERT_EQ(loaded.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(loaded[i].id, problems[i].id);
    EXPECT_EQ(loaded[i].question, problems[i].question);
    EXPECT_EQ(loaded[i].answer, problems[i].answer);
    EXPECT_EQ(loaded[i].other_answers, problems[i].other_answers);
  }
  EXPECT_THAT(ErrorText([&] {
                SaveProblems(path, {{"c", "\xFF", ""}});
              }),
              EndsWith("saved.jsonl: problem \"c\" is not valid UTF-8"));
  EXPECT_EQ(LoadProblems(path).size(), 2u) << "the old file stays";
}

TEST_F(ProblemSet, AFullDiskKeepsTheOldFile) {
  const fs::path path = folder_.path() / "saved.jsonl";
  SaveProblems(path, {{"a", "q", "1"}});
  const std::vector<Problem> large = {{"b", std::string(100'000, 'x'), "1"}};
  EXPECT_THAT(ErrorText([&] {
                const testing::FullDisk full(1000);
                SaveProblems(path, large);
              }),
              HasSubstr("file too large"));
  EXPECT_EQ(LoadProblems(path)[0].id, "a");
}

TEST(ProblemSetRealData, LoadsGsm8k) {
  const fs::path path = PIVOTAL_SOURCE_DIR "/../shared/data/gsm8k/test.jsonl";
  if (!fs::exists(path)) GTEST_SKIP() << "no " << path;
  const auto problems = LoadProblems(path);
  ASSERT_EQ(problems.size(), 1319u);
  EXPECT_EQ(problems[0].id, "1");
  EXPECT_THAT(problems[0].question, ::testing::StartsWith("Janet\u2019s ducks"));
  EXPECT_THAT(problems[0].answer, EndsWith("#### 18"));
}

TEST(ProblemSetRealData, LoadsHumanEvalUnderItsOwnKeys) {
  const fs::path path = PIVOTAL_SOURCE_DIR "/../shared/data/humaneval/HumanEval.jsonl";
  if (!fs::exists(path)) GTEST_SKIP() << "no " << path;
  const auto problems = LoadProblems(path, {"task_id", "prompt", "test", 0, ""});
  ASSERT_EQ(problems.size(), 164u);
  EXPECT_EQ(problems[0].id, "HumanEval/0");
  EXPECT_EQ(LoadProblems(path).size(), 164u) << "as they are";
}

}  // namespace
}  // namespace pivotal::data
