// Apache-2.0. Turns training examples given as text or as messages into the token ids that TRL 1.16
// makes of them (its DPOTrainer and SFTTrainer, before they truncate).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/template/prompt_format.h"
#include "pivotal/tokenizer.h"

namespace pivotal::data {

// How text and messages become tokens. The references must outlive it.
struct TextCoding {
  const Tokenizer& tokenizer;
  const PromptFormat& format;  // renders messages
  bool adds_eos = true;        // true: append EOS to a side given as text that does not end with it
};

// A prompt and its continuations, e.g. the chosen and the rejected one.
struct ExampleIds {
  std::vector<TokenId> prompt;
  std::vector<std::vector<TokenId>> sides;
};

// Encodes the values under the keys `sides` ("chosen", "rejected") of a line as continuations of
// its "prompt". All values are strings, or all are lists of {"role", "content"}, which the format
// renders. Prompt and side are encoded as one text, which is cut where it differs from the encoding
// of the prompt alone; encoded by itself, a side would start with SentencePiece's extra blank.
// Where a token spans the end of the prompt, or the template renders the end of the prompt
// differently when an answer follows, all sides are cut before that difference. Two sides without a
// prompt, or two lists of messages beside a prompt that is a string, begin with the prompt, which
// is the beginning that they have in common (TRL's extract_prompt). Throws Error that begins with
// `where`.
ExampleIds EncodeExample(const nlohmann::json& object, const std::vector<std::string>& sides,
                         const TextCoding& coding, const std::string& where);

// Encodes the "messages" of a line as one text. Throws Error that begins with `where`.
std::vector<TokenId> EncodeMessages(const nlohmann::json& object, const TextCoding& coding,
                                    const std::string& where);

}  // namespace pivotal::data
