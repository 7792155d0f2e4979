// Apache-2.0.
#include "data/template/prompt_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/byte_tokenizer.h"
#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

using testing::ByteTokenizer;
using testing::ErrorText;
using ::testing::HasSubstr;

const std::vector<ChatMessage> kChat = {
    {"system", "S"}, {"user", "Q"}, {"assistant", "A"}, {"user", "R"}};

// Encodes one given text as a single token.
class KnowsToken : public ByteTokenizer {
 public:
  explicit KnowsToken(std::string text) : text_(std::move(text)) {}
  std::vector<TokenId> Encode(std::string_view text) const override {
    return text == text_ ? std::vector<TokenId>{1} : ByteTokenizer::Encode(text);
  }

 private:
  std::string text_;
};

PromptFormat Make(std::string_view name, const std::filesystem::path& folder = "/nowhere") {
  return MakePromptFormat(name, folder, ByteTokenizer());
}

TEST(PromptFormat, NamesRoundTrip) {
  for (const std::string& name : PromptFormatNames()) {
    if (name == "auto" || name == "template") continue;
    EXPECT_EQ(Make(name).name(), name);
  }
  EXPECT_EQ(PromptFormatNames().front(), "auto");
  EXPECT_EQ(ErrorText([] { Make("phi-5"); }),
            "unknown prompt format \"phi-5\"; choose auto, template, plain, phi-2, phi-3 or phi-4");
}

TEST(PromptFormat, GivesTheTextsOfTheModelCards) {
  EXPECT_EQ(FormatPrompt(PromptFormat::kPlain, "1 + 1?"), "Question: 1 + 1?\nAnswer:");
  EXPECT_EQ(FormatPrompt(PromptFormat::kPhi2, "1 + 1?"), "Instruct: 1 + 1?\nOutput:");
  EXPECT_EQ(FormatPrompt(PromptFormat::kPhi3, "1 + 1?"),
            "<|user|>\n1 + 1?<|end|>\n<|assistant|>\n");
  EXPECT_EQ(FormatPrompt(PromptFormat::kPhi4, "1 + 1?"),
            "<|im_start|>user<|im_sep|>1 + 1?<|im_end|><|im_start|>assistant<|im_sep|>");
  EXPECT_EQ(FormatPrompt(PromptFormat::kPlain, "{} {q}"), "Question: {} {q}\nAnswer:");
}

TEST(PromptFormat, KeepsTheConversation) {
  const auto turns = std::span(kChat).subspan(1);
  EXPECT_EQ(Make("plain").Render(turns), "Question: Q\nAnswer: A\n\nQuestion: R\nAnswer:");
  EXPECT_EQ(Make("phi-2").Render(turns), "Instruct: Q\nOutput: A\nInstruct: R\nOutput:");
  EXPECT_EQ(Make("phi-3").Render(kChat),
            "<|system|>\nS<|end|>\n<|user|>\nQ<|end|>\n<|assistant|>\nA<|end|>\n<|user|>\nR<|end|>"
            "\n<|assistant|>\n");
  EXPECT_EQ(Make("phi-4").Render(kChat),
            "<|im_start|>system<|im_sep|>S<|im_end|><|im_start|>user<|im_sep|>Q<|im_end|>"
            "<|im_start|>assistant<|im_sep|>A<|im_end|><|im_start|>user<|im_sep|>R<|im_end|>"
            "<|im_start|>assistant<|im_sep|>");
}

TEST(PromptFormat, RendersWithoutWhatMakesTheModelAnswer) {
  const std::vector<ChatMessage> turn = {{"user", "Q"}, {"assistant", "A"}};
  EXPECT_EQ(Make("plain").Render(turn, false), "Question: Q\nAnswer: A\n\n");
  EXPECT_EQ(Make("phi-3").Render(turn, false), "<|user|>\nQ<|end|>\n<|assistant|>\nA<|end|>\n");
  const PromptFormat format(
      ChatTemplate("{{ messages[0].content }}{% if add_generation_prompt %}!{% endif %}", "t", {}));
  EXPECT_EQ(format.Render(turn), "Q!");
  EXPECT_EQ(format.Render(turn, false), "Q");
}

TEST(PromptFormat, RefusesASystemMessageThatHasNoPlace) {
  for (const char* name : {"plain", "phi-2"}) {
    EXPECT_EQ(ErrorText([&] { Make(name).Render(kChat); }),
              std::string("the prompt format ") + name +
                  " has no place for a system message; leave it "
                  "out or choose another --prompt-format");
  }
  const std::vector<ChatMessage> late = {{"user", "Q"}, {"system", "S"}};
  EXPECT_THAT(ErrorText([&] { Make("phi-3").Render(late); }),
              HasSubstr("message 2 has the role system"));
  // This template drops it without an error.
  const PromptFormat deaf(ChatTemplate("{{ messages[-1].content }}", "t", {}));
  EXPECT_THAT(ErrorText([&] { deaf.Render(kChat); }),
              HasSubstr("template has no place for a system message"));
  EXPECT_EQ(deaf.Render(std::span(kChat).subspan(1)), "R");
  const PromptFormat trims(ChatTemplate("{{ messages[0].content | trim }}", "t", {}));
  EXPECT_EQ(trims.Render(QuestionMessages(" be brief\n", "Q")), "be brief");
}

// transformers encodes the text of a template with add_special_tokens=False.
TEST(PromptFormat, PutsBosInFrontWhereTheTokenizerAsksForItButNotOfATemplate) {
  const ByteTokenizer with_bos, without_bos(false);
  auto ids = with_bos.Encode("Question: 7\nAnswer:");
  EXPECT_EQ(EncodePrompt(without_bos, PromptFormat::kPlain, "7"), ids);
  const PromptFormat same(ChatTemplate("Question: {{ messages[0].content }}\nAnswer:", "t", {}));
  EXPECT_EQ(EncodePrompt(with_bos, same, "7"), ids);
  ids.insert(ids.begin(), ByteTokenizer::kBos);
  EXPECT_EQ(EncodePrompt(with_bos, PromptFormat::kPlain, "7"), ids);
}

TEST(PromptFormat, DetectsTheChatTokensThatTheTokenizerKnows) {
  EXPECT_EQ(DetectPromptFormat(ByteTokenizer()), PromptFormat::kPlain);
  EXPECT_EQ(DetectPromptFormat(KnowsToken("<|assistant|>")), PromptFormat::kPhi3);
  EXPECT_EQ(DetectPromptFormat(KnowsToken("<|im_sep|>")), PromptFormat::kPhi4);
}

TEST(PromptFormat, AutoPrefersTheTemplateOfTheFolder) {
  const testing::TempDir temp;
  EXPECT_EQ(Make("auto", temp.path()).name(), "plain");
  EXPECT_THAT(ErrorText([&] { Make("template", temp.path()); }),
              HasSubstr("neither chat_template.jinja nor"));
  temp.Write("chat_template.jinja", "<{{ messages[0].content }}>");
  for (const char* name : {"auto", "template"}) {
    EXPECT_EQ(Make(name, temp.path()).name(), "template");
    EXPECT_EQ(FormatPrompt(Make(name, temp.path()), "Q"), "<Q>");
  }
  temp.Write("chat_template.jinja", "{% macro m() %}");
  EXPECT_THAT(ErrorText([&] { Make("auto", temp.path()); }), HasSubstr("--prompt-format"));
  EXPECT_EQ(Make("plain", temp.path()).name(), "plain");
}

}  // namespace
}  // namespace pivotal::data
