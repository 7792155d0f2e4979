// Apache-2.0.
#include "data/tokenizer/tokenizer_files.h"

#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "pivotal/tokenizer.h"

namespace pivotal {

namespace fs = std::filesystem;

namespace data {
namespace {

using nlohmann::json;
using TokensById = std::map<TokenId, AddedToken>;

// Returns an empty object if there is no such file.
json ReadOptional(const fs::path& path, const KeepKey& keep = nullptr) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return json::object();
  return ParseJsonObject(ReadFile(path), path.string(), keep);
}

// Reads "<s>", or {"content": "<s>", ...} of older files.
TokenName ReadTokenName(const json& config, const std::string& key, const std::string& where) {
  const auto found = config.find(key);
  if (found == config.end()) return std::nullopt;
  if (found->is_null()) return "";
  if (found->is_object()) return RequireString(*found, "content", where + ": " + key);
  return RequireString(config, key, where);
}

void Add(TokensById& tokens, AddedToken token, const std::string& where) {
  if (token.content.empty()) Fail("{}: added token {} is empty", where, token.id);
  const auto known = tokens.find(token.id);
  if (known != tokens.end() && known->second.content != token.content) {
    Fail("{}: id {} is given to both {} and {}", where, token.id, Quoted(known->second.content),
         Quoted(token.content));
  }
  tokens.emplace(token.id, std::move(token));
}

// Reads {"32000": {"content": "<|user|>", "special": true, "rstrip": true, ...}, ...}.
void ReadDecoder(const json& config, TokenId max_id, const std::string& where, TokensById& tokens) {
  if (!config.contains("added_tokens_decoder")) return;
  const json& decoder = config["added_tokens_decoder"];
  if (!decoder.is_object()) Fail("{}: added_tokens_decoder must be an object", where);
  for (const auto& [key, value] : decoder.items()) {
    const std::string entry = fmt::format("{}: added_tokens_decoder[{}]", where, Quoted(key));
    AddedToken token;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token.id);
    if (error != std::errc() || end != key.data() + key.size() || token.id < 0 ||
        token.id >= max_id) {
      Fail("{}: the key must be an id from 0 to {}", entry, max_id - 1);
    }
    if (!value.is_object()) Fail("{}: an object is needed", entry);
    token.content = RequireString(value, "content", entry);
    token.special = OptionalBool(value, "special", false, entry);
    token.lstrip = OptionalBool(value, "lstrip", false, entry);
    token.rstrip = OptionalBool(value, "rstrip", false, entry);
    token.single_word = OptionalBool(value, "single_word", false, entry);
    token.normalized = OptionalBool(value, "normalized", !token.special, entry);
    Add(tokens, std::move(token), where);
  }
}

// Returns the names of the tokens to which tokenizer_config.json gives a special role.
std::set<std::string> SpecialNames(const json& config, const std::string& where) {
  std::set<std::string> names;
  for (const char* key : {"bos_token", "eos_token", "pad_token", "unk_token"}) {
    names.insert(ReadTokenName(config, key, where).value_or(""));
  }
  const auto more = config.find("additional_special_tokens");
  if (more != config.end() && more->is_array()) {
    for (const json& name : *more) {
      if (name.is_string()) names.insert(name.get<std::string>());
    }
  }
  return names;
}

// Reads {"<|user|>": 32010, ...}, the file that came before added_tokens_decoder.
void ReadAddedTokens(const fs::path& path, TokenId max_id, const std::set<std::string>& special,
                     TokensById& tokens) {
  const json object = ReadOptional(path);
  for (const auto& [content, value] : object.items()) {
    AddedToken token;
    token.id = static_cast<TokenId>(CheckedInteger(value, 0, int64_t{max_id} - 1,
                                                   "the id of " + Quoted(content), path.string()));
    token.content = content;
    token.special = special.contains(content);
    Add(tokens, std::move(token), path.string());
  }
}

void CheckContentsDiffer(const TokensById& tokens, const std::string& where) {
  std::map<std::string_view, TokenId> id_of;
  for (const auto& [id, token] : tokens) {
    const auto [first, is_new] = id_of.emplace(token.content, id);
    if (!is_new) {
      Fail("{}: added token {} has two ids, {} and {}", where, Quoted(token.content), first->second,
           id);
    }
  }
}

}  // namespace

TokenizerConfig ReadTokenizerConfig(const fs::path& folder, TokenId max_id, AddedTokensFile older) {
  const fs::path path = folder / "tokenizer_config.json";
  const std::string where = path.string();
  const json json_config = ReadOptional(path);
  TokensById tokens;
  ReadDecoder(json_config, max_id, where, tokens);
  std::set<std::string> special = SpecialNames(json_config, where);
  if (older == AddedTokensFile::kRead) {
    ReadAddedTokens(folder / "added_tokens.json", max_id, special, tokens);
  }
  CheckContentsDiffer(tokens, where);

  TokenizerConfig config;
  for (auto& [id, token] : tokens) config.added.push_back(std::move(token));
  config.bos = ReadTokenName(json_config, "bos_token", where);
  config.eos = ReadTokenName(json_config, "eos_token", where);
  const auto type = json_config.find("tokenizer_class");
  const bool llama = type != json_config.end() && type->is_string() &&
                     type->get_ref<const std::string&>().starts_with("LlamaTokenizer");
  config.adds_bos = OptionalBool(json_config, "add_bos_token", llama, where);
  config.says_adds_bos = json_config.contains("add_bos_token");
  const bool legacy = OptionalBool(json_config, "legacy", true, where);
  config.prefix = legacy ? PrefixScheme::kAlways : PrefixScheme::kFirst;
  special.erase("");
  config.special_names.assign(special.begin(), special.end());
  return config;
}

TokenId ResolveToken(const TokenName& name, TokenId usual, const std::vector<AddedToken>& added,
                     const std::function<TokenId(const std::string&)>& vocabulary,
                     const fs::path& folder, std::string_view key,
                     std::string_view vocabulary_file) {
  if (!name) return usual;
  if (name->empty()) return -1;
  for (const AddedToken& token : added) {
    if (token.content == *name) return token.id;
  }
  const TokenId id = vocabulary(*name);
  if (id < 0) {
    Fail("{}: {} {} is neither in {} nor an added token",
         (folder / "tokenizer_config.json").string(), key, Quoted(*name), vocabulary_file);
  }
  return id;
}

}  // namespace data

std::vector<TokenId> Tokenizer::EncodeWithSpecial(std::string_view text) const {
  std::vector<TokenId> ids = Encode(text);
  if (adds_bos()) ids.insert(ids.begin(), bos());
  return ids;
}

std::unique_ptr<const Tokenizer> LoadTokenizer(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) Fail("{}: no such folder", folder.string());
  // The order is that of transformers' AutoTokenizer.
  if (fs::exists(folder / "tokenizer.json", ignored)) return data::LoadTokenizerJson(folder);
  if (fs::exists(folder / "tokenizer.model", ignored)) return data::LoadSentencePiece(folder);
  if (!data::FindTiktokenFile(folder).empty()) return data::LoadTiktoken(folder);
  Fail("{}: no tokenizer.json, tokenizer.model or *.tiktoken in this folder", folder.string());
}

}  // namespace pivotal
