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

TEST(Visible, ShowsWhatWouldSteerATerminal) {
  EXPECT_EQ(Visible("plain, \u65e5\u672c \U0001F600\n"), "plain, \u65e5\u672c \U0001F600\n");
  EXPECT_EQ(Visible("\x1b[31mred\x1b[0m"), "\u241b[31mred\u241b[0m");
  EXPECT_EQ(Visible(std::string("a\0b\x7f\r\t", 6)), "a\u2400b\u2421\u240d\u2409");
  EXPECT_EQ(Visible("a\nb", ""), "a\u240ab");
  EXPECT_EQ(Visible("a\tb", "\t"), "a\tb");
  EXPECT_EQ(Visible("\u009b31m"), "\ufffd31m") << "an escape of one character";
  EXPECT_EQ(Visible("\x9b 31m \xe2\x82"), "\ufffd 31m \ufffd\ufffd") << "and of one byte";
  EXPECT_EQ(Visible("a\u202eb\u2066c"), "a\ufffdb\ufffdc") << "turns the order of letters";
}

TEST(Nearest, IsWhatWasProbablyMeant) {
  const std::vector<std::string> commands = {"search", "show", "score", "pairs", "train", "eval"};
  EXPECT_EQ(Nearest("serch", commands), "search") << "a letter left out";
  EXPECT_EQ(Nearest("saerch", commands), "search") << "two letters exchanged";
  EXPECT_EQ(Nearest("TRAIN", commands), "train");
  EXPECT_EQ(Nearest("ev", commands), "eval") << "the beginning";
  EXPECT_EQ(Nearest("shows", commands), "show");
  EXPECT_EQ(Nearest("quit", commands), "");
  EXPECT_EQ(Nearest("x", commands), "") << "no name is so short";
  EXPECT_EQ(Nearest("", commands), "");
  EXPECT_EQ(Nearest("search", {}), "");
  EXPECT_EQ(DidYouMean("pars", commands), "; did you mean pairs?");
  EXPECT_EQ(DidYouMean("quit", commands), "");
}

TEST(FinalResponse, IsWhatFollowsTheLastEnd) {
  EXPECT_EQ(FinalResponse("7"), "7");
  EXPECT_EQ(FinalResponse("<think>6</think>7"), "7");
  EXPECT_EQ(FinalResponse("6</think>7</think>8"), "8");
  EXPECT_EQ(FinalResponse("<think>6"), std::nullopt) << "cut while it reasons";
  EXPECT_EQ(FinalResponse("<think>6</think><think>7"), std::nullopt);
}

TEST(FinalResponse, EndsBeforeTheTokensThatEndATurn) {
  EXPECT_EQ(FinalResponse("7<|im_end|>"), "7");
  EXPECT_EQ(FinalResponse("7\n<|end|>\n<|user|>8<|end|>"), "7\n");
  EXPECT_EQ(FinalResponse("<think>6<|im_end|></think>7</s>\n<pad> "), "7");
  EXPECT_EQ(FinalResponse("<s>7</s> costs 8"), "<s>7</s> costs 8") << "marks of HTML stay";
  EXPECT_EQ(FinalResponse("<|im_end|>"), "");
}

}  // namespace
}  // namespace pivotal::data
