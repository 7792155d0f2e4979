// Apache-2.0. Tests the code oracle on HumanEval's own solutions.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "data/base/json_input.h"
#include "pivotal/problem.h"
#include "tests/pts/oracles/code/sandboxed_oracle.h"

namespace pivotal::pts {
namespace {

const std::filesystem::path kHumanEval =
    PIVOTAL_SOURCE_DIR "/../shared/data/humaneval/HumanEval.jsonl";

struct Solved {
  Problem problem;
  std::string body;  // the canonical solution, which continues the question
};

std::vector<Solved> LoadSolved() {
  std::vector<Solved> solved;
  data::JsonLineReader lines(kHumanEval);
  nlohmann::json line;
  for (Problem& problem : LoadProblems(kHumanEval)) {
    lines.Next(line);
    solved.push_back({std::move(problem), line["canonical_solution"].get<std::string>()});
  }
  return solved;
}

// Returns the ids of problems where the verdict on `respond` is not `want`. Two threads judge.
std::vector<std::string> Misjudged(bool want,
                                   const std::function<std::string(const Solved&)>& respond) {
  const auto oracle = MakeOracle("code");
  const auto solved = LoadSolved();
  EXPECT_EQ(solved.size(), 164u);
  std::vector<char> verdicts(solved.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i; (i = next++) < solved.size();) {
      const Problem& problem = solved[i].problem;
      verdicts[i] = oracle->CanRead(problem.answer) &&
                    oracle->Judge({problem.question, problem.answer, respond(solved[i])});
    }
  };
  std::thread other(work);
  work();
  other.join();
  std::vector<std::string> misjudged;
  for (std::size_t i = 0; i < solved.size(); ++i) {
    if (static_cast<bool>(verdicts[i]) != want) misjudged.push_back(solved[i].problem.id);
  }
  return misjudged;
}

class HumanEval : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kHumanEval)) GTEST_SKIP() << "no " << kHumanEval;
    PIVOTAL_NEEDS_SANDBOX();
  }
};

TEST_F(HumanEval, CanonicalSolutionsPassAsCompletions) {
  const auto body = [](const Solved& solved) { return solved.body + "\ndef unrelated(:\n"; };
  EXPECT_EQ(Misjudged(true, body), std::vector<std::string>());
}

TEST_F(HumanEval, CanonicalSolutionsPassAsWholeFunctions) {
  const auto whole = [](const Solved& solved) {
    return "Here it is:\n\n```python\n" + solved.problem.question + solved.body +
           "\n```\n\nIt takes linear time.";
  };
  EXPECT_EQ(Misjudged(true, whole), std::vector<std::string>());
}

TEST_F(HumanEval, ABodyOfPassFails) {
  EXPECT_EQ(Misjudged(false, [](const Solved&) { return "    pass\n"; }),
            std::vector<std::string>());
}

}  // namespace
}  // namespace pivotal::pts
