// Apache-2.0. tokenizer.json: the model, the tokens, and how they fit together.
#include "data/tokenizer_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "data/bpe_tokenizer.h"
#include "data/error.h"
#include "data/file_sink.h"
#include "data/json_input.h"
#include "data/tokenizer_config.h"
#include "data/tokenizer_steps.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

bool IsEmpty(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() || *found == json("");
}

void ReadVocabulary(const json& model, const std::string& where, BpeModel::Vocabulary& vocabulary) {
  const json& object = RequireKey(model, "vocab", where);
  if (!object.is_object()) Fail("{}: vocab must be an object", where);
  std::unordered_map<TokenId, std::string_view> token_of;
  for (const auto& [token, value] : object.items()) {
    if (token.empty()) Fail("{}: vocab has an empty token", where);
    const auto id = static_cast<TokenId>(
        CheckedInteger(value, 0, kMaxVocabulary - 1, "the id of " + Quoted(token), where));
    const auto known = vocabulary.emplace(token, id).first;
    const auto [first, is_new] = token_of.emplace(id, known->first);
    if (!is_new) {
      Fail("{}: id {} is given to both {} and {}", where, id, Quoted(first->second), Quoted(token));
    }
  }
}

// "a b" or ["a", "b"].
std::pair<std::string, std::string> ReadPair(const json& merge, const std::string& place) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const auto blank = text.find(' ');
    if (blank != std::string::npos && blank == text.rfind(' ')) {
      return {text.substr(0, blank), text.substr(blank + 1)};
    }
  }
  Fail("{}: a merge is \"a b\" or [\"a\", \"b\"]", place);
}

void ReadMerges(const json& model, const std::string& where, BpeTokenizerParts& parts) {
  const json& list = RequireKey(model, "merges", where);
  if (!list.is_array()) Fail("{}: merges must be a list", where);
  uint32_t rank = 0;
  for (const json& merge : list) {
    const std::string place = fmt::format("{}: merges[{}]", where, rank);
    // Files of old begin with a line of comment, which has no rank.
    if (merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version")) continue;
    const auto [left, right] = ReadPair(merge, place);
    const auto id_of = [&](const std::string& token) {
      const auto found = parts.vocabulary.find(token);
      if (found == parts.vocabulary.end()) Fail("{}: {} is not in vocab", place, Quoted(token));
      return found->second;
    };
    parts.merges.push_back({id_of(left), id_of(right), id_of(left + right), rank++});
  }
}

void ReadModel(const json& root, const std::string& file, BpeTokenizerParts& parts) {
  const std::string where = file + ": model";
  const json& model = RequireKey(root, "model", file);
  if (!model.is_object()) Fail("{}: an object is needed", where);
  const std::string type = IsEmpty(model, "type") ? "BPE" : RequireString(model, "type", where);
  if (type != "BPE") Fail("{}: type {} is not supported; only BPE is", where, Quoted(type));
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!IsEmpty(model, key)) Fail("{}: {} is not supported", where, key);
  }
  if (!IsEmpty(model, "dropout") && model["dropout"] != json(0.0)) {
    Fail("{}: dropout is not supported; set it to null", where);
  }
  ReadVocabulary(model, where, parts.vocabulary);
  ReadMerges(model, where, parts);
  parts.settings.byte_fallback = ReadFlag(model, "byte_fallback", false, where);
  parts.settings.fuse_unk = ReadFlag(model, "fuse_unk", false, where);
  parts.settings.ignore_merges = ReadFlag(model, "ignore_merges", false, where);
  if (IsEmpty(model, "unk_token")) return;
  const std::string& unk = RequireString(model, "unk_token", where);
  const auto found = parts.vocabulary.find(unk);
  if (found == parts.vocabulary.end()) Fail("{}: unk_token {} is not in vocab", where, Quoted(unk));
  parts.settings.unk = found->second;
}

// Gives out ids as AddedVocabulary::add_tokens of tokenizers does: a token that is known keeps its
// id, a new one gets the next.
class TokenAdder {
 public:
  explicit TokenAdder(BpeTokenizerParts& parts) : parts_(parts) {}

  // One file's tokens follow.
  void Start() {
    const auto size = static_cast<TokenId>(parts_.vocabulary.size());
    next_ = size;
    for (const AddedToken& token : parts_.added) next_ = std::max(next_, token.id + 1);
  }
  // A token that is there already gets the flags of this one, but stays special.
  void Add(AddedToken token, const std::string& place) {
    const TokenId declared = token.id;
    token.id = IdOf(token.content);
    if (token.id < 0) token.id = next_++;
    if (declared != token.id) {
      Fail("{}: {} has id {} here, but Hugging Face tokenizers gives it {}; correct the file", place,
           Quoted(token.content), declared, token.id);
    }
    const auto [known, is_new] = place_of_.emplace(token.content, parts_.added.size());
    if (is_new) {
      parts_.added.push_back(std::move(token));
    } else {
      AddedToken& old = parts_.added[known->second];
      token.special = token.special || old.special;
      old = std::move(token);
    }
  }
  bool Has(const std::string& content) const { return place_of_.contains(content); }
  TokenId IdOf(const std::string& content) const {
    if (const auto known = place_of_.find(content); known != place_of_.end()) {
      return parts_.added[known->second].id;
    }
    const auto found = parts_.vocabulary.find(content);
    return found != parts_.vocabulary.end() ? found->second : -1;
  }

 private:
  BpeTokenizerParts& parts_;
  std::unordered_map<std::string, std::size_t> place_of_;  // in parts_.added
  TokenId next_ = 0;
};

void ReadAddedTokens(const json& root, const std::string& file, TokenAdder& adder) {
  const auto list = root.find("added_tokens");
  if (list == root.end()) return;
  if (!list->is_array()) Fail("{}: added_tokens must be a list", file);
  adder.Start();
  std::size_t index = 0;
  for (const json& entry : *list) {
    const std::string place = fmt::format("{}: added_tokens[{}]", file, index++);
    if (!entry.is_object()) Fail("{}: an object is needed", place);
    AddedToken token;
    token.content = RequireString(entry, "content", place);
    if (token.content.empty()) Fail("{}: content is empty", place);
    if (adder.Has(token.content)) Fail("{}: {} stands twice", place, Quoted(token.content));
    token.id = static_cast<TokenId>(CheckedInteger(RequireKey(entry, "id", place), 0,
                                                   kMaxVocabulary - 1, "id", place));
    token.special = RequireFlag(entry, "special", place);
    token.lstrip = RequireFlag(entry, "lstrip", place);
    token.rstrip = RequireFlag(entry, "rstrip", place);
    token.single_word = RequireFlag(entry, "single_word", place);
    token.normalized = RequireFlag(entry, "normalized", place);
    adder.Add(std::move(token), place);
  }
}

// What transformers adds from tokenizer_config.json.
void ReadConfig(const fs::path& folder, TokenAdder& adder, BpeTokenizerParts& parts) {
  const std::string file = (folder / "tokenizer_config.json").string();
  const TokenizerConfig config =
      ReadTokenizerConfig(folder, kMaxVocabulary, AddedTokensFile::kIgnored);
  adder.Start();
  for (const AddedToken& token : config.added) adder.Add(token, file + ": added_tokens_decoder");
  for (const std::string& name : config.special_names) {
    if (adder.Has(name)) continue;
    AddedToken token;
    token.content = name;
    token.special = true;
    token.id = adder.IdOf(name);
    if (token.id < 0) {
      Fail("{}: special token {} is neither in tokenizer.json nor in added_tokens_decoder", file,
           Quoted(name));
    }
    adder.Add(std::move(token), file);
  }
  const auto id_of = [&](const std::string& name) { return adder.IdOf(name); };
  const auto resolve = [&](const TokenName& name, const char* key) {
    return ResolveToken(name, -1, parts.added, id_of, folder, key, "tokenizer.json");
  };
  parts.bos = resolve(config.bos, "bos_token");
  parts.eos = resolve(config.eos, "eos_token");
  const bool framed = parts.frame && !parts.frame->first.empty() && parts.bos >= 0 &&
                      parts.frame->first.front() == parts.bos;
  parts.adds_bos = config.adds_bos || (!config.says_adds_bos && framed);
}

}  // namespace

std::unique_ptr<const Tokenizer> LoadTokenizerJson(const fs::path& folder) {
  const fs::path path = folder / "tokenizer.json";
  const std::string file = path.string();
  const json root = ParseJsonObject(ReadFile(path), file);
  BpeTokenizerParts parts;
  ReadModel(root, file, parts);
  ReadSteps(root, file, parts);
  TokenAdder adder(parts);
  ReadAddedTokens(root, file, adder);
  ReadConfig(folder, adder, parts);
  return MakeBpeTokenizer(std::move(parts));
}

}  // namespace pivotal::data
