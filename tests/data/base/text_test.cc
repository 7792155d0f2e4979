// Apache-2.0.
#include "data/base/text.h"

#include <gtest/gtest.h>

namespace pivotal::data {
namespace {

TEST(Trim, DropsWhiteSpaceOrTheCharactersGiven) {
  EXPECT_EQ(Trim(" \t\r\n\f\va b\n"), "a b");
  EXPECT_EQ(Trim("a"), "a");
  EXPECT_EQ(Trim(" \n"), "");
  EXPECT_EQ(Trim(""), "");
  EXPECT_EQ(Trim("**a* **", "*"), "a* ");
}

TEST(ReplaceAll, GoesFromLeftToRight) {
  const auto replaced = [](std::string text, std::string_view pattern, std::string_view content) {
    ReplaceAll(text, pattern, content);
    return text;
  };
  EXPECT_EQ(replaced("aaa", "aa", "b"), "ba");
  EXPECT_EQ(replaced("a b a", "a", "aa"), "aa b aa");
  EXPECT_EQ(replaced("abc", "b", ""), "ac");
  EXPECT_EQ(replaced("abc", "x", "y"), "abc");
}

TEST(AfterReasoning, IsWhatFollowsTheLastEnd) {
  EXPECT_EQ(AfterReasoning("7"), "7");
  EXPECT_EQ(AfterReasoning("<think>6</think>7"), "7");
  EXPECT_EQ(AfterReasoning("6</think>7</think>8"), "8");
  EXPECT_EQ(AfterReasoning("<think>6"), std::nullopt) << "cut while it reasons";
  EXPECT_EQ(AfterReasoning("<think>6</think><think>7"), std::nullopt);
}

}  // namespace
}  // namespace pivotal::data
