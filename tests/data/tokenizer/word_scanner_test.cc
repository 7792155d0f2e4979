// Apache-2.0. The hand-written scanners find the words that PCRE2 finds, on characters that its
// Unicode version knows. tokenizer_parity_test.cc compares newer characters with Python.
#include "data/tokenizer/word_scanner.h"

#include <gtest/gtest.h>

#include <random>

#include "data/tokenizer/pre_tokenizer.h"

namespace pivotal::data {
namespace {

constexpr std::string_view kSpellings[] = {
    kGpt2Regex, R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|)"
    R"(\s*[\r\n]|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr const char* kCharacters[] = {
    " ", " ",      "  ",     "\n",     "\r",     "\t", "a", "A",      "e",      "s",      "S",
    "l", "L",      "'",      "'",      "1",      "2",  "!", "/",      "_",      "\u00E9", "\u0301",
    "é", "\u01C5", "\u00AA", "\u00BD", "\u017F", "日", "😀", "\u200D", "\u3000", "\u180E", "\u02B0"};

std::string Words(WordPattern pattern, const std::string& text) {
  std::string shown;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = WordEnd(pattern, text, at);
    shown += text.substr(at, end - at) + "|";
    if (end <= at) return shown + " stands still";
    at = end;
  }
  return shown;
}

TEST(WordScanner, CutsAsTheExpressionsDo) {
  std::mt19937 random(3);
  for (const std::string_view spelling : kSpellings) {
    const auto pattern = KnownPattern(spelling);
    ASSERT_TRUE(pattern) << spelling;
    const SplitRegex regex(spelling, "test");
    for (int i = 0; i < 20'000; ++i) {
      std::string text;
      for (unsigned n = random() % 14; n > 0; --n) {
        text += kCharacters[random() % std::size(kCharacters)];
      }
      std::string want;
      for (const auto [begin, end] : regex.FindAll(text)) {
        want += text.substr(begin, end - begin) + "|";
      }
      ASSERT_EQ(Words(*pattern, text), want) << spelling;
    }
  }
}

// Python's tiktoken 0.14 gives the same words.
TEST(WordScanner, TiktokenTakesTheWhiteSpaceAtTheEndAsOneWord) {
  EXPECT_EQ(Words(WordPattern::kTiktoken, "a\n  "), "a|\n  |");
  EXPECT_EQ(Words(WordPattern::kCl100k, "a\n  "), "a|\n|  |");
  EXPECT_EQ(Words(WordPattern::kTiktoken, "a\n  b"), "a|\n| | b|");
}

TEST(UnicodeClass, KnowsUnicode16) {
  EXPECT_EQ(ClassOf(U'\U00016EBB'), CharClass::kOther) << "a letter of Unicode 17";
  EXPECT_TRUE(IsLetter(ClassOf(U'\U00010D50')));  // a letter of Unicode 16 (Garay)
  EXPECT_TRUE(IsSpace(ClassOf(U'\u3000')));
  EXPECT_FALSE(IsSpace(ClassOf(U'\u180E')));
  EXPECT_FALSE(IsWord(ClassOf(U'\u00B2')));
  EXPECT_TRUE(IsWord(ClassOf(U'\u200D')));
  EXPECT_EQ(ClassOf(0x10FFFF), CharClass::kOther);
}

}  // namespace
}  // namespace pivotal::data
