// Apache-2.0.
#include "data/tokenizer/added_tokens.h"

#include <gtest/gtest.h>

#include "tests/support/error_text.h"

namespace pivotal::data {
namespace {

AddedToken Token(TokenId id, std::string content) {
  AddedToken token;
  token.id = id;
  token.content = std::move(content);
  return token;
}

// Shows the segments of `text` as "'text'|7|'text'", where 7 is an id.
std::string Cut(const std::vector<AddedToken>& tokens, std::string_view text) {
  std::string shown;
  for (const TextSegment& segment : AddedTokenMatcher(tokens).Split(text)) {
    if (!shown.empty()) shown += '|';
    if (segment.id >= 0) {
      shown += std::to_string(segment.id);
    } else {
      shown.append("'").append(segment.text).append("'");
    }
  }
  return shown;
}

TEST(AddedTokens, TheLongestAtTheLeftmostPlaceWins) {
  const std::vector<AddedToken> tokens = {Token(1, "<a"), Token(2, "<a>"), Token(3, "a><")};
  EXPECT_EQ(Cut(tokens, "x<a><ay"), "'x'|2|1|'y'");
  EXPECT_EQ(Cut(tokens, "<a<a"), "1|1");
  EXPECT_EQ(Cut(tokens, "a><"), "3");
  EXPECT_EQ(Cut(tokens, "<b>"), "'<b>'");
  EXPECT_EQ(Cut(tokens, ""), "");
  EXPECT_EQ(Cut({}, "text"), "'text'");
}

TEST(AddedTokens, StripsWhiteSpaceWhereAsked) {
  std::vector<AddedToken> tokens = {Token(1, "<r>"), Token(2, "<l>"), Token(3, "<n>")};
  tokens[0].rstrip = true;
  tokens[1].lstrip = true;
  EXPECT_EQ(Cut(tokens, "a <r> \n\u00A0\u3000b"), "'a '|1|'b'");
  EXPECT_EQ(Cut(tokens, "a \t\u2003<l> b"), "'a'|2|' b'");
  EXPECT_EQ(Cut(tokens, " <n> "), "' '|3|' '");
  EXPECT_EQ(Cut(tokens, "<r>  <l>"), "1|2");
  EXPECT_EQ(Cut(tokens, "\u2581<l>"), "'\u2581'|2") << "not white space";
}

TEST(AddedTokens, SingleWordsStandAlone) {
  std::vector<AddedToken> tokens = {Token(1, "sum")};
  tokens[0].single_word = true;
  EXPECT_EQ(Cut(tokens, "sum, sums (sum)"), "1|', sums ('|1|')'");
}

TEST(AddedTokens, WordsAreThoseOfUnicode) {
  std::vector<AddedToken> tokens = {Token(1, "sum")};
  tokens[0].single_word = true;
  EXPECT_EQ(Cut(tokens, "\u00E9sum"), "'\u00E9sum'");
  EXPECT_EQ(Cut(tokens, "\u2014sum\u00B2"), "'\u2014'|1|'\u00B2'");
  EXPECT_EQ(Cut(tokens, "sum\u200D"), "'sum\u200D'") << "joiners hold words together";
}

// Hugging Face tokenizers 0.23.3 gives the same.
TEST(AddedTokens, WhatSingleWordRulesOutHidesShorterTokens) {
  std::vector<AddedToken> tokens = {Token(1, "sum"), Token(2, "su")};
  tokens[0].single_word = true;
  EXPECT_EQ(Cut(tokens, "sums su"), "'sums '|2");
}

TEST(AddedTokens, TokensOfWhiteSpaceAreFoundInWhatWasSwallowed) {
  std::vector<AddedToken> tokens = {Token(1, "<r>"), Token(2, "\n\n")};
  tokens[0].rstrip = true;
  EXPECT_EQ(Cut(tokens, "<r> \n\n  x"), "1|2|'  x'");
}

// Hugging Face tokenizers 0.23.3 gives the same.
TEST(AddedTokens, TokensOfWhiteSpaceThatStripSwallowEachOther) {
  std::vector<AddedToken> tokens = {Token(1, " "), Token(2, "\n")};
  for (AddedToken& token : tokens) token.lstrip = token.rstrip = true;
  EXPECT_EQ(Cut(tokens, " \n \n"), "1");
  EXPECT_EQ(Cut(tokens, "x\n  y \n"), "'x'|2|'y'|1");
}

TEST(AddedTokens, LongOnesAreRefused) {
  EXPECT_EQ(testing::ErrorText([] {
              AddedTokenMatcher({Token(1, std::string(5000, 'a'))});
            }).substr(0, 20),
            "added token \"aaaaaaa");
}

}  // namespace
}  // namespace pivotal::data
