// Apache-2.0. Prompt formats: they turn a conversation into the text and token ids of a prompt.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/template/chat_template.h"
#include "pivotal/tokenizer.h"

namespace pivotal::data {

// A prompt format: one that is built in, or a chat template. Immutable; several threads may use it.
class PromptFormat {
 public:
  enum Kind {
    kPlain,     // "Question: {q}\nAnswer:"
    kPhi2,      // "Instruct: {q}\nOutput:"
    kPhi3,      // "<|user|>\n{q}<|end|>\n<|assistant|>\n"
    kPhi4,      // "<|im_start|>user<|im_sep|>{q}<|im_end|><|im_start|>assistant<|im_sep|>"
    kTemplate,  // the chat template of a model folder
  };

  PromptFormat(Kind built_in);  // any but kTemplate
  explicit PromptFormat(ChatTemplate chat_template);

  Kind kind() const { return kind_; }
  std::string_view name() const;  // "phi-3"

  // Returns the text of the conversation, followed by the start of the model's answer if
  // `add_generation_prompt`. BOS is part of the text only where a chat template writes it. The
  // roles are user and assistant, and system for the first message. Throws Error for a system
  // message that the format does not support.
  std::string Render(std::span<const ChatMessage> messages,
                     bool add_generation_prompt = true) const;
  // Encodes the rendered text. BOS is put in front where the tokenizer asks for it, but not for a
  // chat template, which writes its own BOS (transformers: add_special_tokens=False).
  std::vector<TokenId> Encode(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                              bool add_generation_prompt = true) const;

  friend bool operator==(const PromptFormat& a, const PromptFormat& b) {
    return a.kind_ == b.kind_;
  }

 private:
  Kind kind_;
  std::optional<ChatTemplate> template_;
};

// Returns the format with this name: "plain", "phi-2", "phi-3" or "phi-4"; "template", the chat
// template of `folder`; "auto", the chat template if the folder has one, else the format that
// DetectPromptFormat() returns. Throws Error for an unknown name, a folder without a template, and
// a template that is not supported.
PromptFormat MakePromptFormat(std::string_view name, const std::filesystem::path& folder,
                              const Tokenizer& tokenizer);
// Returns all names, "auto" first.
std::vector<std::string> PromptFormatNames();

// Returns phi-3 if the tokenizer has the token "<|assistant|>", phi-4 if it has "<|im_sep|>", else
// plain.
PromptFormat DetectPromptFormat(const Tokenizer& tokenizer);

// Returns a conversation of one question, after a system message unless that is empty.
std::vector<ChatMessage> QuestionMessages(std::string_view system, std::string_view question);
std::string FormatPrompt(const PromptFormat& format, std::string_view question);
std::vector<TokenId> EncodePrompt(const Tokenizer& tokenizer, const PromptFormat& format,
                                  std::string_view question);

}  // namespace pivotal::data
