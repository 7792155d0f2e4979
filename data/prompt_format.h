// Apache-2.0. From a conversation to the token ids of the query x.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/chat_template.h"
#include "data/tokenizer.h"

namespace pivotal::data {

// How a conversation becomes a prompt that the model goes on from. A value; thread-safe.
class PromptFormat {
 public:
  enum Kind {
    kPlain,     // "Question: {q}\nAnswer:"
    kPhi2,      // "Instruct: {q}\nOutput:"
    kPhi3,      // "<|user|>\n{q}<|end|>\n<|assistant|>\n"
    kPhi4,      // "<|im_start|>user<|im_sep|>{q}<|im_end|><|im_start|>assistant<|im_sep|>"
    kTemplate,  // the chat template of the folder
  };

  PromptFormat(Kind built_in);  // any but kTemplate
  explicit PromptFormat(ChatTemplate chat_template);

  Kind kind() const { return kind_; }
  std::string_view name() const;  // "phi-3"

  // The text, without BOS unless the chat template writes it, with what makes the model answer at
  // its end where `add_generation_prompt`. Roles are system (only in front), user and assistant.
  // Throws Error for a system message that the format has no place for.
  std::string Render(std::span<const ChatMessage> messages, bool add_generation_prompt = true) const;
  // Render, encoded. BOS goes in front where the tokenizer asks for it, except behind a chat
  // template: those write their own (transformers: add_special_tokens=False).
  std::vector<TokenId> Encode(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                              bool add_generation_prompt = true) const;

  friend bool operator==(const PromptFormat& a, const PromptFormat& b) { return a.kind_ == b.kind_; }

 private:
  Kind kind_;
  std::optional<ChatTemplate> template_;
};

// By name: "plain", "phi-2", "phi-3", "phi-4"; "template", the chat template of `folder`; "auto",
// the same where there is one, else DetectPromptFormat. Throws Error that lists the names, names
// what is missing in the folder, or says what the template has that is not supported.
PromptFormat MakePromptFormat(std::string_view name, const std::filesystem::path& folder,
                              const Tokenizer& tokenizer);
// Every name, "auto" first.
std::vector<std::string> PromptFormatNames();

// By the tokens that the tokenizer knows: phi-3 has "<|assistant|>", phi-4 "<|im_sep|>"; else plain.
PromptFormat DetectPromptFormat(const Tokenizer& tokenizer);

// One question, with a system message in front unless it is empty.
std::vector<ChatMessage> QuestionMessages(std::string_view system, std::string_view question);
std::string FormatPrompt(const PromptFormat& format, std::string_view question);
std::vector<TokenId> EncodePrompt(const Tokenizer& tokenizer, const PromptFormat& format,
                                  std::string_view question);

}  // namespace pivotal::data
