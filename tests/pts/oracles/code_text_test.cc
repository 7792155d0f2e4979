// Apache-2.0.
#include "pts/oracles/code_text.h"

#include <gtest/gtest.h>

namespace pivotal::pts {
namespace {

TEST(FindProgram, TakesTheLastPythonBlock) {
  EXPECT_EQ(FindProgram("x = 1\n"), "x = 1\n");
  EXPECT_EQ(FindProgram("First:\n```python\na\n```\nBetter:\n```python\nb\n```\nDone."), "b\n");
  EXPECT_EQ(FindProgram("```python\na\n```\nIt prints:\n```\n3\n```\n"), "a\n") << "marks count";
  EXPECT_EQ(FindProgram("```Python3\na\n```\n```text\n3\n```"), "a\n");
  EXPECT_EQ(FindProgram("```py title=x\na\n```"), "a\n");
  EXPECT_EQ(FindProgram("```\na\n```\n```bash\nls\n```"), "a\n");
  EXPECT_EQ(FindProgram("```bash\nls\n```"), "```bash\nls\n```") << "no program in it";
}

TEST(FindProgram, ReadsFencesAsMarkdownDoes) {
  EXPECT_EQ(FindProgram("```python\na\n\n  b"), "a\n\n  b\n") << "cut before the end";
  EXPECT_EQ(FindProgram("````python\n```\na\n````"), "```\na\n");
  EXPECT_EQ(FindProgram("1. so:\n   ```python\n   def f():\n       pass\n   ```\n"),
            "def f():\n    pass\n");
  EXPECT_EQ(FindProgram("```python\r\na\r\n```\r\n"), "a\n");
  EXPECT_EQ(FindProgram("```python```\nx"), "```python```\nx") << "code in a line";
  EXPECT_EQ(FindProgram(""), "");
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

}  // namespace
}  // namespace pivotal::pts
