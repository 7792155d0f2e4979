// Apache-2.0. Tests where sentences and steps of a response end.
#include "pts/response_steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>

#include "tests/support/run_command.h"

namespace pivotal::pts {
namespace {

using ::testing::ElementsAre;

// Encodes a text with the shipped tokenizer and returns the texts of its sentences.
std::vector<std::string> Sentences(const std::string& text, bool with_eos = false) {
  const auto tokenizer = LoadTokenizer(testing::kTinyModel);
  auto ids = tokenizer->Encode(text);
  if (with_eos) ids.push_back(tokenizer->eos());
  std::vector<std::string> sentences;
  int32_t begin = 0;
  for (int32_t end : SentenceEnds(*tokenizer, ids)) {
    sentences.push_back(tokenizer->Decode(std::span(ids).subspan(begin, end - begin), begin == 0));
    begin = end;
  }
  EXPECT_EQ(begin, std::ssize(ids));
  return sentences;
}

TEST(SentenceEnds, AreMarksBeforeBlanksAndLineEnds) {
  EXPECT_THAT(Sentences("47*8=376. 376-49=327. #### 327"),
              ElementsAre("47*8=376.", " 376-49=327.", " #### 327"));
  EXPECT_THAT(Sentences("1.5+2=3.5. So."), ElementsAre("1.5+2=3.5.", " So."));
  EXPECT_THAT(Sentences("no end"), ElementsAre("no end"));
}

TEST(SentenceEnds, TheEndOfTheSequenceBelongsToTheLastSentence) {
  EXPECT_THAT(Sentences("2. 3.", true), ElementsAre("2.", " 3."));
  EXPECT_THAT(Sentences("2. 3", true), ElementsAre("2.", " 3"));
}

std::vector<std::string> Steps(const std::string& text) {
  const auto tokenizer = LoadTokenizer(testing::kTinyModel);
  auto ids = tokenizer->Encode(text);
  ids.push_back(tokenizer->eos());
  std::vector<std::string> texts;
  std::string joined;
  const auto steps = StepsOf(*tokenizer, ids);
  for (const ResponseStep& step : steps) {
    texts.push_back(step.text);
    joined += step.text;
  }
  EXPECT_EQ(joined, tokenizer->Decode(ids));
  EXPECT_TRUE(steps.empty() || steps.back().end == std::ssize(ids));
  return texts;
}

TEST(StepsOf, AreSentencesWithTheBlankLinesBehindThem) {
  EXPECT_THAT(Steps("7*8=56. 56-6=50. #### 50"), ElementsAre(" 7*8=56.", " 56-6=50.", " #### 50"));
  EXPECT_THAT(Steps("1+1\n\n\n2+2\n"), ElementsAre(" 1+1\n\n\n", "2+2\n"));
  EXPECT_THAT(Steps("\n\n1+1"), ElementsAre(" \n\n1+1"));
  EXPECT_THAT(Steps("caf\u00e9. \U0001f600"), ElementsAre(" caf\u00e9.", " \U0001f600"));
}

TEST(StepsOf, AResponseWithoutTextHasNone) {
  const auto tokenizer = LoadTokenizer(testing::kTinyModel);
  EXPECT_TRUE(StepsOf(*tokenizer, {tokenizer->eos()}).empty());
  EXPECT_TRUE(StepsOf(*tokenizer, {}).empty());
}

}  // namespace
}  // namespace pivotal::pts
