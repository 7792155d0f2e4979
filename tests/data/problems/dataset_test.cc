// Apache-2.0. Rows as the files of the Hugging Face Hub have them.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "pivotal/problem.h"
#include "tests/support/error_text.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::ElementsAre;
using testing::ErrorText;
using ::testing::HasSubstr;

class Datasets : public ::testing::Test {
 protected:
  std::vector<Problem> Load(const std::string& set, const std::string& text,
                            const std::string& name = "f.jsonl") {
    return LoadProblems(folder_.Write(name, text), DatasetOptions(set));
  }
  Problem One(const std::string& set, const json& row) { return Load(set, row.dump()).at(0); }
  std::string LoadError(const std::string& set, const json& row) {
    return ErrorText([&] { One(set, row); });
  }

  testing::TempDir folder_;
};

// Shows all of a problem in a failed comparison.
std::vector<std::string> Parts(const Problem& problem) {
  return {problem.id, problem.question, problem.answer};
}

TEST_F(Datasets, AnswersInOneColumn) {
  EXPECT_THAT(Parts(One("gsm8k", {{"question", "q"}, {"answer", "2 + 2 = 4\n#### 4"}})),
              ElementsAre("1", "q", "2 + 2 = 4\n#### 4"));
  EXPECT_THAT(Parts(One("math", {{"problem", "p"},
                                 {"level", "Level 5"},
                                 {"type", "Algebra"},
                                 {"solution", "So \\boxed{7}."}})),
              ElementsAre("1", "p", "So \\boxed{7}."));
  EXPECT_THAT(Parts(One("math-500", {{"problem", "p"},
                                     {"solution", "s"},
                                     {"answer", "\\frac{1}{2}"},
                                     {"subject", "Algebra"},
                                     {"level", 2},
                                     {"unique_id", "test/algebra/1.json"}})),
              ElementsAre("test/algebra/1.json", "p", "\\frac{1}{2}"));
}

TEST_F(Datasets, AimeHasManyPublishers) {
  EXPECT_THAT(
      Parts(One("aime", {{"id", 60}, {"problem", "p"}, {"solution", "s"}, {"answer", "204"}})),
      ElementsAre("60", "p", "204"));
  EXPECT_THAT(Parts(One("aime", {{"ID", "2024-II-4"}, {"Problem", "p"}, {"Answer", 33}})),
              ElementsAre("2024-II-4", "p", "33"));
  EXPECT_THAT(Parts(One("aime", {{"question", "p"}, {"answer", "70"}})),
              ElementsAre("1", "p", "70"));
  EXPECT_THAT(
      LoadError("aime", {{"question", "p"}}),
      HasSubstr("f.jsonl:1: no key \"answer\" (keys: question); choose another with --answer-key"));
}

TEST_F(Datasets, ProgramsAreThoseThatAreKnownWithoutAName) {
  const json human = {{"task_id", "HumanEval/0"},
                      {"prompt", "def f():\n"},
                      {"canonical_solution", "  return 1\n"},
                      {"test", "def check(c):\n  assert c() == 1\n"},
                      {"entry_point", "f"}};
  const json mbpp = {{"task_id", 11},           {"text", "Write g."},
                     {"code", "def g(): pass"}, {"test_list", {"assert g() is None"}},
                     {"test_setup_code", ""},   {"challenge_test_list", json::array()}};
  json sanitized = mbpp;
  sanitized.erase("text"), sanitized.erase("test_setup_code");
  sanitized["prompt"] = "Write g.";
  sanitized["test_imports"] = {"import math"};
  for (const auto& [set, row] :
       {std::pair("humaneval", human), {"mbpp", mbpp}, {"mbpp", sanitized}}) {
    const Problem problem = One(set, row);
    EXPECT_EQ(Parts(problem), Parts(LoadProblems(folder_.Write("g.jsonl", row.dump()))[0]));
    EXPECT_THAT(problem.answer,
                HasSubstr(row.contains("test") ? "assert c() == 1" : "[\"assert g() is None\"]"));
  }
}

TEST_F(Datasets, ChoicesGetLetters) {
  const json choices = {"zero ", "one", "two", "three"};
  EXPECT_THAT(
      Parts(One(
          "mmlu",
          {{"question", "1+1?"}, {"subject", "arithmetic"}, {"choices", choices}, {"answer", 2}})),
      ElementsAre("1", "1+1?\n\nA) zero\nB) one\nC) two\nD) three", "C"));
  EXPECT_EQ(One("mmlu", {{"question", "1+1?"}, {"choices", choices}, {"answer", "D"}}).answer, "D");
  EXPECT_THAT(Parts(One("mmlu-pro", {{"question_id", 70},
                                     {"question", "?"},
                                     {"options", {"x", "y"}},
                                     {"answer", "B"},
                                     {"answer_index", 1}})),
              ElementsAre("70", "?\n\nA) x\nB) y", "B"));
  EXPECT_THAT(
      Parts(One("arc", {{"id", "Mercury_1"},
                        {"question", "Which?"},
                        {"choices", {{"text", {"a", "b", "c"}}, {"label", {"1", "2", "3"}}}},
                        {"answerKey", "3"}})),
      ElementsAre("Mercury_1", "Which?\n\nA) a\nB) b\nC) c", "C"));
}

TEST_F(Datasets, ChoicesThatDoNotFitAreRefused) {
  const json choices = {"a", "b"};
  EXPECT_THAT(LoadError("mmlu", {{"question", "?"}, {"choices", choices}, {"answer", 2}}),
              HasSubstr("f.jsonl:1: answer must be an integer from 0 to 1, not 2"));
  EXPECT_THAT(LoadError("mmlu", {{"question", "?"}, {"choices", choices}, {"answer", "C"}}),
              HasSubstr("must be the letter of one of 2 choices, not \"C\""));
  EXPECT_THAT(LoadError("mmlu", {{"question", "?"}, {"choices", {"a"}}, {"answer", 0}}),
              HasSubstr("1 choices; a question needs 2 to 10"));
  EXPECT_THAT(LoadError("mmlu", {{"question", "?"}, {"choices", "a"}, {"answer", 0}}),
              HasSubstr("key \"choices\" must be a list of strings"));
  EXPECT_THAT(LoadError("arc", {{"question", "?"},
                                {"choices", {{"text", choices}, {"label", {"A", "B"}}}},
                                {"answerKey", "E"}}),
              HasSubstr("2 labels for 2 choices, of which \"E\" must be one"));
  EXPECT_THAT(LoadError("gpqa", {{"Question", "?"}, {"Correct Answer", "a"}}),
              HasSubstr("no key \"Incorrect Answer 1\""));
  EXPECT_EQ(LoadError("boolq", {}),
            "data set \"boolq\" is unknown: take one of gsm8k, math, math-500, "
            "aime, humaneval, mbpp, gpqa, mmlu, mmlu-pro, arc");
}

// Python computes the order that data/FORMATS.md states.
TEST_F(Datasets, GpqaIsShuffledByItsTexts) {
  std::string csv =
      "Record ID,Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer "
      "3\n";
  for (int i = 0; i < 40; ++i) {
    csv += "rec@,\" What, @?\n\",\"right @\n\",wrong a,wrong b,\"wrong \"\"c\"\"\"\n";
    for (std::size_t at; (at = csv.find('@')) != std::string::npos;)
      csv.replace(at, 1, std::to_string(i));
  }
  const auto file = folder_.Write("gpqa.csv", csv);
  const auto python = testing::Python(R"(-c '
import csv, hashlib, json, sys
for row in csv.DictReader(open(sys.argv[1], newline="")):
    question = row["Question"].strip()
    texts = [row[k].strip() for k in ("Correct Answer", *(f"Incorrect Answer {i}" for i in (1, 2, 3)))]
    order = sorted(texts, key=lambda text: hashlib.sha256(f"{question}\n{text}".encode()).hexdigest())
    lines = [f"{letter}) {text}" for letter, text in zip("ABCD", order)]
    print(json.dumps([row["Record ID"], "\n".join([question, "", *lines]), "ABCD"[order.index(texts[0])]]))
' )" + file.string());
  ASSERT_EQ(python.code, 0) << python.output;
  const auto problems = LoadProblems(file, DatasetOptions("gpqa"));
  ASSERT_EQ(problems.size(), 40u);
  std::string got, letters;
  for (const Problem& problem : problems) {
    got += json::array({problem.id, problem.question, problem.answer}).dump() + "\n";
    letters += problem.answer;
  }
  std::string want;
  std::istringstream printed(python.output);
  for (std::string line; std::getline(printed, line);) want += json::parse(line).dump() + "\n";
  EXPECT_EQ(got, want);
  for (const char letter : {'A', 'B', 'C', 'D'})
    EXPECT_GE(std::ranges::count(letters, letter), 3) << "of 40 some ten are expected";
}

TEST_F(Datasets, KeysThatAreChosenWin) {
  ProblemSetOptions options = DatasetOptions("math");
  options.question_key = "rewritten";
  options.answer_key = "answer";
  options.id_key = "name";
  const auto file = folder_.Write(
      "f.jsonl",
      json{{"problem", "p"}, {"solution", "s"}, {"rewritten", "r"}, {"answer", 3}, {"name", "n"}}
          .dump());
  EXPECT_THAT(Parts(LoadProblems(file, options)[0]), ElementsAre("n", "r", "3"));
  options.id_key = "none";
  EXPECT_THAT(ErrorText([&] { LoadProblems(file, options); }),
              HasSubstr("choose another with --id-key"));
}

// The file of the Hub is Parquet; that of the authors is JSON lines, with the same rows.
TEST(DatasetsRealData, ParquetOfGsm8kIsItsJsonLines) {
  const fs::path path = PIVOTAL_SOURCE_DIR "/../shared/data/gsm8k/test.jsonl";
  if (!fs::exists(path)) GTEST_SKIP() << "no " << path;
  if (testing::Python("-c 'import pyarrow'").code != 0)
    GTEST_SKIP() << PIVOTAL_PYTHON << " lacks pyarrow; run make test-parity";
  const testing::TempDir folder;
  const fs::path parquet = folder.path() / "test-00000-of-00001.parquet";
  const auto made = testing::Python(
      "-c 'import json, sys, pyarrow as pa, pyarrow.parquet as pq\n"
      "pq.write_table(pa.Table.from_pylist([json.loads(l) for l in open(sys.argv[1])]), "
      "sys.argv[2])' " +
      path.string() + " " + parquet.string());
  ASSERT_EQ(made.code, 0) << made.output;
  ::setenv("PIVOTAL_PYTHON", PIVOTAL_PYTHON, 1);
  const auto rows = LoadProblems(parquet, DatasetOptions("gsm8k")), lines = LoadProblems(path);
  ::unsetenv("PIVOTAL_PYTHON");
  ASSERT_EQ(rows.size(), 1319u);
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(Parts(rows[i]), Parts(lines[i]));
}

}  // namespace
}  // namespace pivotal::data
