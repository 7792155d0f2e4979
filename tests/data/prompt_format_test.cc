// Apache-2.0.
#include "data/prompt_format.h"

#include <gtest/gtest.h>

#include "tests/data/byte_tokenizer.h"
#include "tests/data/error_text.h"

namespace pivotal::data {
namespace {

using testing::ByteTokenizer;

TEST(PromptFormat, NamesRoundTrip) {
  for (const char* name : {"plain", "phi-2", "phi-3"}) {
    EXPECT_EQ(PromptFormatName(ParsePromptFormat(name)), name);
  }
  EXPECT_EQ(testing::ErrorText([] { ParsePromptFormat("phi-5"); }),
            "unknown prompt format \"phi-5\"; choose plain, phi-2 or phi-3");
}

TEST(PromptFormat, GivesTheTextsOfTheModelCards) {
  EXPECT_EQ(FormatPrompt(PromptFormat::kPlain, "1 + 1?"), "Question: 1 + 1?\nAnswer:");
  EXPECT_EQ(FormatPrompt(PromptFormat::kPhi2, "1 + 1?"), "Instruct: 1 + 1?\nOutput:");
  EXPECT_EQ(FormatPrompt(PromptFormat::kPhi3, "1 + 1?"),
            "<|user|>\n1 + 1?<|end|>\n<|assistant|>\n");
  EXPECT_EQ(FormatPrompt(PromptFormat::kPlain, "{} {q}"), "Question: {} {q}\nAnswer:");
}

TEST(PromptFormat, PutsBosInFrontWhereTheTokenizerAsksForIt) {
  const ByteTokenizer with_bos, without_bos(false);
  auto ids = with_bos.Encode("Question: 7\nAnswer:");
  EXPECT_EQ(EncodePrompt(without_bos, PromptFormat::kPlain, "7"), ids);
  ids.insert(ids.begin(), ByteTokenizer::kBos);
  EXPECT_EQ(EncodePrompt(with_bos, PromptFormat::kPlain, "7"), ids);
}

TEST(PromptFormat, DetectsPlainWithoutChatTokens) {
  EXPECT_EQ(DetectPromptFormat(ByteTokenizer()), PromptFormat::kPlain);
}

}  // namespace
}  // namespace pivotal::data
