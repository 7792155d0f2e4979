// Apache-2.0. From a question to the token ids of the query x.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer.h"

namespace pivotal::data {

enum class PromptFormat {
  kPlain,  // "Question: {q}\nAnswer:"
  kPhi2,   // "Instruct: {q}\nOutput:"
  kPhi3,   // "<|user|>\n{q}<|end|>\n<|assistant|>\n"
};

// Parses "plain", "phi-2", "phi-3"; throws Error that lists the names.
PromptFormat ParsePromptFormat(std::string_view name);
std::string_view PromptFormatName(PromptFormat format);

// kPhi3 where the tokenizer knows "<|assistant|>" as one token, else kPlain.
PromptFormat DetectPromptFormat(const Tokenizer& tokenizer);

// The text of the prompt, without BOS.
std::string FormatPrompt(PromptFormat format, std::string_view question);

// FormatPrompt, encoded, with BOS in front where the tokenizer asks for it.
std::vector<TokenId> EncodePrompt(const Tokenizer& tokenizer, PromptFormat format,
                                  std::string_view question);

}  // namespace pivotal::data
