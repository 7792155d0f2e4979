// Apache-2.0. Training examples given as text or as messages: the token ids that TRL 1.16 makes of
// them (its DPOTrainer and SFTTrainer, before they truncate).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/prompt_format.h"
#include "data/tokenizer.h"

namespace pivotal::data {

// How text and messages become tokens. The references must outlive it.
struct TextCoding {
  const Tokenizer& tokenizer;
  const PromptFormat& format;  // of messages
  bool adds_eos = true;        // to sides given as text that do not end with it
};

// A prompt and what may follow it.
struct ExampleIds {
  std::vector<TokenId> prompt;
  std::vector<std::vector<TokenId>> sides;
};

// Encodes the values of `sides` ("chosen", "rejected") of a line behind its "prompt": all strings,
// or all lists of {"role", "content"}, which are rendered with the format. Each side is encoded
// behind the prompt as one text and cut where it parts from the encoding of the prompt alone:
// encoded on its own it would start with SentencePiece's extra blank. Where a token spans the seam,
// or the template shows the prompt alone otherwise, the cut moves before it for all sides.
// Two sides without a prompt, or two lists of messages beside a prompt that is a string, begin with
// the prompt: it is what they share (TRL's extract_prompt).
// Throws Error that begins with `where`.
ExampleIds EncodeExample(const nlohmann::json& object, const std::vector<std::string>& sides,
                         const TextCoding& coding, const std::string& where);

// "messages" of a line as one text. Throws Error that begins with `where`.
std::vector<TokenId> EncodeMessages(const nlohmann::json& object, const TextCoding& coding,
                                    const std::string& where);

}  // namespace pivotal::data
