// Apache-2.0. The JSON files beside tokenizer.model in a Hugging Face folder.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/added_tokens.h"

namespace pivotal::data {

// Ids are below this; with none beyond, tables by id stay small.
inline constexpr TokenId kMaxVocabulary = 4'000'000;

// Which pieces of text between added tokens get SentencePiece's leading blank.
enum class PrefixScheme { kAlways, kFirst, kNever };

// A token named by its text: "</s>"; "" where the file says null; nothing where it says nothing.
using TokenName = std::optional<std::string>;

struct TokenizerConfig {
  std::vector<AddedToken> added;  // ascending ids, each content and each id once
  TokenName bos, eos;
  std::vector<std::string> special_names;  // all tokens that are special by their role, sorted
  bool adds_bos = false;
  bool says_adds_bos = false;  // add_bos_token is given, not just usual for the class
  PrefixScheme prefix = PrefixScheme::kAlways;  // as `legacy` says
};

// Reads tokenizer_config.json and, where asked for, added_tokens.json; each may be absent. Ids must
// be below `max_id`. Throws Error that names file and key.
enum class AddedTokensFile { kRead, kIgnored };
TokenizerConfig ReadTokenizerConfig(const std::filesystem::path& folder, TokenId max_id,
                                    AddedTokensFile older = AddedTokensFile::kRead);

// The id of a token that tokenizer_config.json names as `key` ("eos_token"): an added token, or
// else what `vocabulary` gives (-1: none). `usual` where the file says nothing, -1 where it says
// null. Throws Error that names the file, the key and `vocabulary_file`.
TokenId ResolveToken(const TokenName& name, TokenId usual, const std::vector<AddedToken>& added,
                     const std::function<TokenId(const std::string&)>& vocabulary,
                     const std::filesystem::path& folder, std::string_view key,
                     std::string_view vocabulary_file);

}  // namespace pivotal::data
