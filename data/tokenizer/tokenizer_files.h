// Apache-2.0. Readers of the tokenizer files of a Hugging Face folder.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/added_tokens.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "pivotal/tokenizer.h"

namespace pivotal::data {

// Upper bound of all ids, exclusive. It keeps tables that are indexed by id small.
inline constexpr TokenId kMaxVocabulary = 4'000'000;

// Text of a token that a file names, e.g. "</s>": empty if the file says null, nullopt if it has no
// such key.
using TokenName = std::optional<std::string>;

// Settings from tokenizer_config.json and added_tokens.json.
struct TokenizerConfig {
  std::vector<AddedToken> added;  // in ascending order of id; contents and ids are unique
  TokenName bos, eos;
  std::vector<std::string> special_names;  // sorted texts of all tokens with a special role
  bool adds_bos = false;
  bool says_adds_bos = false;  // add_bos_token is given; else adds_bos is the class's default
  PrefixScheme prefix = PrefixScheme::kAlways;  // from the key `legacy`
};

// Reads tokenizer_config.json and, if `older` says so, added_tokens.json; each may be absent. All
// ids must be below `max_id`. Throws Error that names file and key.
enum class AddedTokensFile { kRead, kIgnored };
TokenizerConfig ReadTokenizerConfig(const std::filesystem::path& folder, TokenId max_id,
                                    AddedTokensFile older = AddedTokensFile::kRead);

// Returns the id of `name`, which tokenizer_config.json gives under `key` ("eos_token"): that of an
// added token, else vocabulary(name), where -1 means absent. Returns `usual` if `name` is nullopt
// and -1 if it is empty. Throws Error that names the file, the key and `vocabulary_file` if nothing
// has this name.
TokenId ResolveToken(const TokenName& name, TokenId usual, const std::vector<AddedToken>& added,
                     const std::function<TokenId(const std::string&)>& vocabulary,
                     const std::filesystem::path& folder, std::string_view key,
                     std::string_view vocabulary_file);

// Loads tokenizer.json and tokenizer_config.json. The tokenizer encodes and decodes as Hugging Face
// tokenizers does. Throws Error with file and key for what is not supported, and for ids that
// Hugging Face tokenizers would not assign although the file states them.
std::unique_ptr<const Tokenizer> LoadTokenizerJson(const std::filesystem::path& folder);

// Loads tokenizer.model with SentencePiece, and tokenizer_config.json and added_tokens.json.
std::unique_ptr<const Tokenizer> LoadSentencePiece(const std::filesystem::path& folder);

// Checks the normalization tables (precompiled_charsmap) of a serialized ModelProto, which
// SentencePiece follows unchecked. Returns true if every step through their double-array tries
// stays inside, so that SentencePiece may load `model`.
bool CharsmapsAreSound(std::string_view model);

// Returns the *.tiktoken file of `folder`, or an empty path. Throws Error if there are several.
std::filesystem::path FindTiktokenFile(const std::filesystem::path& folder);

// Loads FindTiktokenFile(folder) and the added tokens of tokenizer_config.json. The file's name,
// cl100k_base.tiktoken or o200k_base.tiktoken, decides how texts are cut into words. The tokenizer
// encodes and decodes as Python's tiktoken does. Throws Error with file and line.
std::unique_ptr<const Tokenizer> LoadTiktoken(const std::filesystem::path& folder);

}  // namespace pivotal::data
