// Apache-2.0. Tests where sentences of a response end.
#include "experiments/search/run_curves.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/base/error.h"
#include "tests/support/run_command.h"

namespace pivotal::experiments {
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

TEST(WriteCurves, NamesTheGranularities) {
  EXPECT_THROW(WriteCurves({"run", "out", "word"}), Error);
}

}  // namespace
}  // namespace pivotal::experiments
