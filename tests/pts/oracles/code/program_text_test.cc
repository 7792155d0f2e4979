// Apache-2.0.
#include "pts/oracles/code/program_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pivotal::pts {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

std::string Found(std::string_view response) { return FindProgram(response).text; }

// Returns the program that defines f.
FoundProgram FindF(std::string_view response) {
  const std::vector<std::string> names = {"f"};
  return FindProgram(response, names);
}

TEST(FindProgram, TakesTheLastPythonBlock) {
  EXPECT_EQ(Found("x = 1\n"), "x = 1\n");
  EXPECT_EQ(Found("First:\n```python\na\n```\nBetter:\n```python\nb\n```\nDone."), "b\n");
  EXPECT_EQ(Found("```python\na\n```\nIt prints:\n```\n3\n```\n"), "a\n") << "marks count";
  EXPECT_EQ(Found("```Python3\na\n```\n```text\n3\n```"), "a\n");
  EXPECT_EQ(Found("```py title=x\na\n```"), "a\n");
  EXPECT_EQ(Found("```\na\n```\n```bash\nls\n```"), "a\n");
  EXPECT_EQ(Found("```bash\nls\n```"), "```bash\nls\n```") << "no program in it";
}

TEST(FindProgram, ReadsFencesAsMarkdownDoes) {
  EXPECT_EQ(Found("```python\na\n\n  b"), "a\n\n  b\n") << "cut before the end";
  EXPECT_EQ(Found("````python\n```\na\n````"), "```\na\n");
  EXPECT_EQ(Found("1. so:\n   ```python\n   def f():\n       pass\n   ```\n"),
            "def f():\n    pass\n");
  EXPECT_EQ(Found("```python\r\na\r\n```\r\n"), "a\n");
  EXPECT_EQ(Found("```python```\nx"), "```python```\nx") << "code in a line";
  EXPECT_EQ(Found(""), "");
}

TEST(IsCompletion, LooksForTheFunction) {
  EXPECT_FALSE(IsCompletion("import math\n\ndef f(x):\n    return x\n", "f"));
  EXPECT_FALSE(IsCompletion("async def f(): pass", "f"));
  EXPECT_FALSE(IsCompletion("f = lambda x: x", "f"));
  EXPECT_FALSE(IsCompletion("class f:\n    pass", "f"));
  EXPECT_TRUE(IsCompletion("def g(x):\n    return f(x)\n", "f"));
  EXPECT_TRUE(IsCompletion("def ff(x):\n    return x\n", "f"));
  EXPECT_TRUE(IsCompletion("f == 1", "f"));
  EXPECT_TRUE(IsCompletion("return x", "f"));
  EXPECT_TRUE(IsCompletion("", "f"));
}

TEST(IsCompletion, AnIndentedFirstLineContinuesAlthoughTheFunctionFollows) {
  EXPECT_TRUE(IsCompletion("\n    return x\n\ndef f(x):\n    return 2\n", "f"));
}

TEST(CutCompletion, StopsAtTheNextTopLevelThing) {
  EXPECT_EQ(CutCompletion("    return 1\n\n\nprint(f())"), "    return 1\n\n");
  EXPECT_EQ(CutCompletion("    a\ndef g():"), "    a");
  EXPECT_EQ(CutCompletion("    a\nclass G:"), "    a");
  EXPECT_EQ(CutCompletion("    a\n# Test"), "    a");
  EXPECT_EQ(CutCompletion("    a\nif __name__ == '__main__':"), "    a");
  EXPECT_EQ(CutCompletion("    # a\n    print(1)\n    def g(): pass\n"),
            "    # a\n    print(1)\n    def g(): pass\n");
}

TEST(FindProgram, TakesTheLastBlockThatDefinesTheName) {
  EXPECT_EQ(FindF("```python\ndef f(): 1\n```\n```python\nprint(f())\n```").text, "def f(): 1\n");
  EXPECT_EQ(FindF("```python\ndef f(): 1\n```\n```python\ndef f(): 2\n```").text, "def f(): 2\n");
  EXPECT_EQ(FindF("```\ndef f(): 1\n```\n```python\nf(1)\n```").text, "def f(): 1\n");
  EXPECT_EQ(FindF("def f(): 1\n\nFor example:\n```python\nf(1)\n```").text,
            "def f(): 1\n\nFor example:\n");
  EXPECT_EQ(FindF("```python\n    return 1\n```\n```python\nf(1)\n```").text, "    return 1\n");
  EXPECT_EQ(FindF("```python\ng = 1\n```\n```python\nf(1)\n```").text, "f(1)\n");
}

TEST(FindProgram, GathersTheDefinitionsThatAreMissing) {
  const auto found = FindF(
      "```python\nimport os, re\nimport sys\nN = 3\nM = input()\n```\n"
      "```python\ndef f():\n    return g(re, N, M)\n```\n"
      "```python\ndef f(): 2\n\n    \n```\n```\ndef g(x): return h(x)\nprint(f())\ndef h(x): 1\n"
      "def test_f(): f()\ntest_f()\n```\n");
  EXPECT_EQ(found.text, "def f(): 2\n\n    \n") << "the last";
  const auto first = FindF(
      "```python\nimport os, re\nimport sys\nN = 3\nM = input()\n```\n"
      "```python\ndef f():\n    return g(re, N, M)\n```\n"
      "```\ndef g(x): return h(x)\nprint(f())\ndef h(x): 1\ndef test_f(): f()\ntest_f()\n```\n");
  EXPECT_EQ(first.before, "import os, re\n\nN = 3\n\n") << "no call is repeated";
  EXPECT_EQ(first.after, "def g(x): return h(x)\n\ndef h(x): 1\n\n");
}

TEST(FindProgram, AFenceMayCloseWhatNoneHasOpened) {
  EXPECT_EQ(FindF("def f(x):\n    return x\n```\n").text, "def f(x):\n    return x\n");
  EXPECT_EQ(FindF("    return x\n```\nThis is it.\n").text, "    return x\n");
  EXPECT_EQ(FindF("    return x\n```\nExample:\n```python\nf(1)\n```\n").text, "    return x\n");
  EXPECT_EQ(FindF("So it is:\n```\ndef f(x):\n    retu").text, "def f(x):\n    retu\n")
      << "a fence after prose opens a block";
  EXPECT_EQ(FindF("```python\ndef f(x): return x```\nSo").text, "def f(x): return x\n");
  EXPECT_EQ(FindF("~~~python\ndef f(x): 1\n~~~").text, "def f(x): 1\n");
  EXPECT_EQ(FindF("```python\ndef f(x):\n    \"\"\"\n    ```\n    \"\"\"\n```").text,
            "def f(x):\n    \"\"\"\n    ```\n    \"\"\"\n")
      << "a fence that is indented further closes nothing";
  EXPECT_EQ(FindF("```python\n    def f(x):\n        return x\n```").text,
            "def f(x):\n    return x\n");
}

TEST(ProgramReadings, LeaveOutProse) {
  EXPECT_THAT(ProgramReadings("x = 1\n"), ElementsAre("x = 1\n"));
  EXPECT_THAT(ProgramReadings("Sure\nx = 1\nDone\n"), ElementsAre("x = 1\n"));
  EXPECT_THAT(ProgramReadings("It is: x.\ndef f(x):\n    return x\n\nSo it is, if x > 0.\n"),
              Contains("def f(x):\n    return x\n\n"));
  EXPECT_THAT(ProgramReadings("import re\nThen:\n@cache\ndef f(x):\n    return 1\nf(2)\n"),
              Contains("import re\n@cache\ndef f(x):\n    return 1\n"));
  EXPECT_THAT(ProgramReadings("import this way.\nfor example, so:\nf = 2\n"), Contains("f = 2\n"));
  EXPECT_THAT(ProgramReadings(""), ElementsAre(""));
}

TEST(CompletionReadings, KeepTheHelpersThatTheBodyUses) {
  EXPECT_EQ(CompletionReadings("    return g(x)\n\ndef g(x): 1\n\ndef h(x): 2\n\nf(1)\n", "f")[0],
            "    return g(x)\n\ndef g(x): 1\n\n\n");
  EXPECT_THAT(CompletionReadings("    return f(1)\n\ndef f(x): 2\n", "f"),
              Not(Contains("    return f(1)\n\ndef f(x): 2\n")));
  EXPECT_EQ(CompletionReadings("Then:\n\n    return x\n\nSo it is.\n", "f")[0], "    return x\n\n");
  EXPECT_EQ(CompletionReadings("return x\n    # so\n", "f")[0], "return x\n    # so\n");
}

}  // namespace
}  // namespace pivotal::pts
