// Apache-2.0. Tests the code oracle, except HumanEval (human_eval_test.cc) and attacks
// (hostile_code_test.cc).
#include "pts/oracles/code/code_oracle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "pivotal/problem.h"
#include "pts/oracles/code/sandbox.h"
#include "tests/pts/oracles/code/sandboxed_oracle.h"
#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::pts {
namespace {

using ::testing::AllOf;
using testing::ErrorText;
using ::testing::HasSubstr;

constexpr std::string_view kPrompt =
    "import math\n\ndef helper(x):\n    return 2 * x\n\ndef f(x):\n    \"\"\" Half of x. \"\"\"\n";
constexpr std::string_view kAnswer =
    R"x({"entry_point":"f","test":"def check(c):\n    assert helper(c(4)) == 4"})x";

class CodeOracle : public ::testing::Test {
 protected:
  void SetUp() override {
    PIVOTAL_NEEDS_SANDBOX();
    oracle_ = MakeOracle("code");
  }
  bool Judge(std::string_view response, std::string_view question = kPrompt) const {
    return oracle_->Judge({question, kAnswer, response});
  }
  std::unique_ptr<const Oracle> oracle_;
};

TEST_F(CodeOracle, TakesCompletionsAndWholeFunctions) {
  EXPECT_TRUE(Judge("    return x / 2\n"));
  EXPECT_TRUE(Judge("    return x / 2\n\ndef broken(:"));
  EXPECT_TRUE(Judge("```python\n    return x / 2\n```"));
  EXPECT_TRUE(Judge("def f(x):\n    return math.floor(x / 2)\n")) << "the prompt's imports";
  EXPECT_TRUE(Judge("def f(x):\n    return x / helper(1)\n")) << "the prompt's helper";
  EXPECT_TRUE(Judge("Sure:\n```python\ndef f(x):\n    return x / 2\n```\nf(4) is 2."));
  EXPECT_TRUE(Judge("from __future__ import annotations\ndef f(x: y): return x / 2"));
  EXPECT_TRUE(
      Judge("from dataclasses import dataclass\n@dataclass\nclass A:\n    v: int\n\n"
            "def f(x): return A(x).v / 2"));
  EXPECT_TRUE(Judge("def f(x): return x / 2\nif __name__ == '__main__':\n    input()\n"));
  EXPECT_TRUE(Judge("Sure\ndef f(x):\n    return x / 2\n\nThis function halves x.\n"));
  EXPECT_TRUE(Judge("Here it is:\n\n    return x / 2\n\nIt halves x."));
  EXPECT_TRUE(Judge("def f(x):\n    return x / 2\n```\n"));
  EXPECT_TRUE(Judge("    return x / 2\n```\nThis halves x.\n"));
  EXPECT_TRUE(Judge("```python\ndef f(x):\n    return x / 2\n```<|im_end|>"));
  EXPECT_TRUE(Judge("```python\ndef f(x):\n    return x / 2```"));
  EXPECT_FALSE(Judge("    return x\n"));
  EXPECT_FALSE(Judge("Half of x is x / 2."));
  EXPECT_FALSE(Judge(""));
  EXPECT_FALSE(Judge("    return x / 2 \xff\n"));
  EXPECT_FALSE(Judge(std::string("    return x / 2 \0\n", 19)));
}

TEST_F(CodeOracle, BlocksThatCallOrTestTheFunctionAreNoSolution) {
  const std::string solution = "So:\n```python\ndef f(x):\n    return x / 2\n```\n";
  EXPECT_TRUE(Judge(solution + "For example:\n```python\nprint(f(4))\n```\n"));
  EXPECT_TRUE(Judge(solution + "```python\nimport pytest\n\ndef test_f():\n    assert f(4) == 3\n\n"
                               "test_f()\n```\n"));
  EXPECT_TRUE(Judge(solution + "```python\n    f(input())\n```\n"));
  EXPECT_FALSE(Judge(solution + "Better:\n```python\ndef f(x):\n    return x\n```\n"));
}

TEST_F(CodeOracle, HelpersMayFollowOrStandInABlockOfTheirOwn) {
  const std::string helper =
      "def half(x):\n    return quotient(x) * ONE\n\nONE = 1\n\n"
      "def quotient(x):\n    return x / 2\n";
  const std::string solution = "def f(x):\n    return half(x)\n";
  EXPECT_TRUE(Judge("    return half(x)\n\n" + helper + "\nprint(f(input()))\n"));
  EXPECT_TRUE(Judge("    return half(x)\n\n" + helper + "\nclass Cut:\n    def g("))
      << "a definition that nothing needs may be broken";
  EXPECT_TRUE(Judge(solution + "\nIt needs this:\n\n" + helper));
  EXPECT_TRUE(Judge("```python\n" + solution + "```\nwith\n```python\n" + helper + "```"));
  EXPECT_TRUE(Judge("```python\n" + helper + "```\nand\n```python\n" + solution + "```"));
  EXPECT_FALSE(Judge("    return half(x)\n"));
}

TEST_F(CodeOracle, AQuestionInWordsIsNoProgram) {
  constexpr std::string_view kWords = "Write a function f that halves.";
  const std::string whole = "def helper(x): return 2 * x\ndef f(x): return x / 2\n";
  EXPECT_FALSE(Judge(whole, kWords)) << "this test needs a helper that the question lacks";
  constexpr std::string_view kPlain =
      R"x({"entry_point":"f","test":"def check(c):\n    assert c(4) == 2"})x";
  EXPECT_TRUE(oracle_->Judge({kWords, kPlain, whole}));
  EXPECT_FALSE(oracle_->Judge({kWords, kPlain, "    return x / 2"}));
}

TEST_F(CodeOracle, ReadsBehindTheReasoning) {
  EXPECT_TRUE(Judge("<think>```python\ndef f(x): return 0\n```</think>    return x / 2\n"));
  EXPECT_FALSE(Judge("<think>\ndef f(x): return x / 2\n"));
}

TEST_F(CodeOracle, KnowsWhatItCanRead) {
  EXPECT_TRUE(oracle_->CanRead(kAnswer));
  EXPECT_TRUE(oracle_->CanRead(R"({"tests":["assert f() == 1"]})"));
  for (const char* answer :
       {"", "5", "[]", "{}", R"({"entry_point":"f"})", R"({"entry_point":"","test":"x"})",
        R"({"entry_point":"f","test":7})", R"({"tests":[]})", R"({"tests":"assert 1"})",
        R"({"tests":[1]})", R"({"tests":["assert 1"],"setup":1})"}) {
    EXPECT_FALSE(oracle_->CanRead(answer)) << answer;
    EXPECT_FALSE(oracle_->Judge({"", answer, "x = 1"})) << answer;
  }
}

// Judges right and wrong responses to problems in MBPP's format.
TEST_F(CodeOracle, Mbpp) {
  const testing::TempDir folder;
  const auto problems = LoadProblems(folder.Write("mbpp.jsonl", R"x(
{"task_id": 1, "text": "Add.", "code": "def sum(a, b):\n  return a + b", "test_setup_code": "", "test_list": ["assert sum(1, 2) == 3", "assert sum(0, 0) == 0"], "challenge_test_list": []}
{"task_id": 2, "prompt": "Area of a circle.", "code": "import math\ndef area(r):\n  return math.pi * r * r", "test_imports": ["import math"], "test_list": ["assert math.isclose(area(1), 3.14159, rel_tol=0.001)"]}
{"task_id": 3, "text": "Depth of a tree.", "code": "class Node:\n  pass\ndef depth(n):\n  pass", "test_setup_code": "root = Node(1)\nroot.left = Node(2)", "test_list": ["assert (depth(root)) == 2"]}
)x"));
  const auto judge = [&](int i, std::string_view response) {
    EXPECT_TRUE(oracle_->CanRead(problems[i].answer));
    return oracle_->Judge({problems[i].question, problems[i].answer, response});
  };
  EXPECT_TRUE(judge(0, "```python\ndef sum(a, b):\n    return a + b\n```"));
  EXPECT_FALSE(judge(0, "def sum(a, b):\n    return 3\n")) << "all tests count";
  EXPECT_FALSE(judge(0, "def add(a, b):\n    return a + b\n")) << "the builtin is no solution";
  EXPECT_TRUE(judge(1, "PI = 3.14159\narea = lambda r: PI * r ** 2"));
  EXPECT_FALSE(judge(1, "def area(r): return 3 * r * r"));
  EXPECT_TRUE(
      judge(2,
            "class Node:\n    def __init__(self, v):\n        self.left = self.right = None\n"
            "def depth(n):\n    return 1 + max(depth(n.left), depth(n.right)) if n else 0\n"));
  EXPECT_FALSE(judge(2, "def depth(n): return 2"));
}

TEST_F(CodeOracle, JudgesFromManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::vector<char> right(8), wrong(8, 1);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      right[i] = Judge("    return x / 2\n");
      wrong[i] = Judge("    return x / 3\n");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, std::vector<char>(8, 1));
  EXPECT_EQ(wrong, std::vector<char>(8, 0));
}

TEST_F(CodeOracle, LimitsAreOptions) {
  OracleOptions options;
  options.timeout = 0.5;
  const std::string slow = "    import time\n    time.sleep(1)\n    return x / 2\n";
  EXPECT_FALSE(MakeOracle("code", options)->Judge({kPrompt, kAnswer, slow}));
  EXPECT_TRUE(Judge(slow));
  options.memory = 10;
  EXPECT_THAT(ErrorText([&] { MakeOracle("code", options); }),
              HasSubstr("oracle memory (MiB) must lie between 64 and"));
}

OracleOptions WithoutBubblewrap() {
  OracleOptions options;
  options.bubblewrap = "/nonexistent/bwrap";
  options.timeout = 3;
  return options;
}

TEST(CodeOracleWithoutBubblewrap, IsRefusedWithTheRemedy) {
  EXPECT_THAT(ErrorText([] { MakeOracle("code", WithoutBubblewrap()); }),
              AllOf(HasSubstr("/nonexistent/bwrap"), HasSubstr("o such file"),
                    HasSubstr("install bubblewrap"), HasSubstr("--allow-unsandboxed")));
}

// The kernel limits the processes of a user, whoever started them; those of others must not count.
TEST(CodeOracleWithoutBubblewrap, ThreadsMayStartHoweverMuchTheUserRuns) {
  OracleOptions options = WithoutBubblewrap();
  options.allow_unsandboxed = true;
  options.timeout = 20;
  const auto oracle = MakeOracle("code", options);
  std::vector<std::unique_ptr<data::Subprocess>> others;
  for (int i = 0; i < options.processes; ++i) {
    others.push_back(std::make_unique<data::Subprocess>(
        Sandbox(Sandbox::Kind::kNone, options).Spec({"/bin/sleep", "60"}, "/")));
  }
  const auto start = [](int threads) {
    return "    import threading, time\n    threads = [threading.Thread(target=time.sleep, "
           "args=(0.2,)) for _ in range(" +
           std::to_string(threads) +
           ")]\n    for t in threads: t.start()\n    for t in threads: t.join()\n    return x / "
           "2\n";
  };
  EXPECT_TRUE(oracle->Judge({kPrompt, kAnswer, start(4)}));
  EXPECT_FALSE(oracle->Judge({kPrompt, kAnswer, start(40)})) << "its own are limited";
}

TEST(CodeOracleWithoutBubblewrap, RunsUnderTheSameLimitsWhereThatIsAllowed) {
  const testing::TempDir folder;
  const auto file = folder.Write("kept", "x");
  OracleOptions options = WithoutBubblewrap();
  options.allow_unsandboxed = true;
  options.memory = 256;
  const auto oracle = MakeOracle("code", options);
  const auto judge = [&](std::string_view response) {
    return oracle->Judge({kPrompt, kAnswer, response});
  };
  EXPECT_TRUE(judge("    return x / 2\n"));
  EXPECT_FALSE(judge("    return x / 3\n"));
  EXPECT_FALSE(judge("    while True: pass\n"));
  EXPECT_FALSE(judge("    a = bytearray(2**30)\n    return x / 2\n"));
  EXPECT_FALSE(judge("    while True: print('x' * 1000)\n"));
  EXPECT_TRUE(
      judge("    import os\n    assert os.listdir('.') == []\n"
            "    os.symlink('" +
            folder.path().string() +
            "', 'link')\n"
            "    return x / 2\n"));
  EXPECT_TRUE(std::filesystem::exists(file)) << "clearing up follows no link";
}

}  // namespace
}  // namespace pivotal::pts
