// Apache-2.0. The JSON files beside tokenizer.model in a Hugging Face folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/added_tokens.h"

namespace pivotal::data {

// Which pieces of text between added tokens get SentencePiece's leading blank.
enum class PrefixScheme { kAlways, kFirst, kNever };

// A token named by its text: "</s>"; "" where the file says null; nothing where it says nothing.
using TokenName = std::optional<std::string>;

struct TokenizerConfig {
  std::vector<AddedToken> added;  // ascending ids, each content and each id once
  TokenName bos, eos;
  bool adds_bos = false;
  PrefixScheme prefix = PrefixScheme::kAlways;
};

// Reads tokenizer_config.json, added_tokens.json and, of tokenizer.json, how it adds the leading
// blank; each may be absent. Ids must be below `max_id`. Throws Error that names file and key.
TokenizerConfig ReadTokenizerConfig(const std::filesystem::path& folder, TokenId max_id);

}  // namespace pivotal::data
