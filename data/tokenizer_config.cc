// Apache-2.0. The JSON files beside tokenizer.model.
#include "data/tokenizer_config.h"

#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/json_input.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using TokensById = std::map<TokenId, AddedToken>;

// An empty object if there is no such file.
json ReadOptional(const fs::path& path, const KeepKey& keep = nullptr) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return json::object();
  return ParseJsonObject(ReadFile(path), path.string(), keep);
}

bool ReadBool(const json& object, const std::string& key, bool absent, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return absent;
  if (!found->is_boolean()) {
    Fail("{}: {} must be true or false, not {}", where, key, found->type_name());
  }
  return found->get<bool>();
}

// "<s>", or {"content": "<s>", ...} in older files.
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

// {"32000": {"content": "<|user|>", "special": true, "rstrip": true, ...}, ...}
void ReadDecoder(const json& config, TokenId max_id, const std::string& where, TokensById& tokens) {
  if (!config.contains("added_tokens_decoder")) return;
  const json& decoder = config["added_tokens_decoder"];
  if (!decoder.is_object()) Fail("{}: added_tokens_decoder must be an object", where);
  for (const auto& [key, value] : decoder.items()) {
    const std::string place = fmt::format("{}: added_tokens_decoder[{}]", where, Quoted(key));
    AddedToken token;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token.id);
    if (error != std::errc() || end != key.data() + key.size() || token.id < 0 ||
        token.id >= max_id) {
      Fail("{}: the key must be an id from 0 to {}", place, max_id - 1);
    }
    if (!value.is_object()) Fail("{}: an object is needed", place);
    token.content = RequireString(value, "content", place);
    token.special = ReadBool(value, "special", false, place);
    token.lstrip = ReadBool(value, "lstrip", false, place);
    token.rstrip = ReadBool(value, "rstrip", false, place);
    token.single_word = ReadBool(value, "single_word", false, place);
    token.normalized = ReadBool(value, "normalized", !token.special, place);
    Add(tokens, std::move(token), where);
  }
}

// What tokenizer_config.json calls special by name.
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

// {"<|user|>": 32010, ...}, from before added_tokens_decoder.
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
  config.adds_bos = ReadBool(json_config, "add_bos_token", llama, where);
  config.says_adds_bos = json_config.contains("add_bos_token");
  const bool legacy = ReadBool(json_config, "legacy", true, where);
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

}  // namespace pivotal::data
