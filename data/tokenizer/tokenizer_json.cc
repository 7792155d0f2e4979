// Apache-2.0.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/base/utf8.h"
#include "data/tokenizer/bpe_tokenizer.h"
#include "data/tokenizer/tokenizer_files.h"

namespace pivotal::data {
namespace {

using nlohmann::json;

// A step (normalizer, pre-tokenizer, decoder or post-processor) with its path in the file.
struct Step {
  const json* object;
  std::string where;
  std::string type;
};

// Appends `step` or, if it is a "Sequence", the steps under its key `list_key`. The parser bounds
// the depth.
void Flatten(const json& step, const std::string& where, const char* list_key,
             std::vector<Step>& steps) {
  if (step.is_null()) return;
  if (!step.is_object()) Fail("{}: an object or null is needed", where);
  const std::string& type = RequireString(step, "type", where);
  if (type != "Sequence") {
    steps.push_back({&step, where + ": " + type, type});
    return;
  }
  const json& list = RequireKey(step, list_key, where);
  if (!list.is_array()) Fail("{}: {} must be a list", where, list_key);
  for (std::size_t i = 0; i < list.size(); ++i) {
    Flatten(list[i], fmt::format("{}[{}]", where, i), list_key, steps);
  }
}

std::vector<Step> StepsOf(const json& root, const char* key, const char* list_key,
                          const std::string& file) {
  std::vector<Step> steps;
  if (root.contains(key)) Flatten(root[key], file + ": " + key, list_key, steps);
  return steps;
}

[[noreturn]] void Refuse(const Step& step) { Fail("{} is not supported", step.where); }

// Holds {"String": "..."} or {"Regex": "..."}.
struct Pattern {
  bool regex = false;
  std::string text;
};

Pattern ReadPattern(const Step& step) {
  const json& pattern = RequireKey(*step.object, "pattern", step.where);
  if (!pattern.is_object() || pattern.size() != 1)
    Fail("{}: pattern must be an object", step.where);
  const bool regex = pattern.contains("Regex");
  const std::string& text = RequireString(pattern, regex ? "Regex" : "String", step.where);
  if (text.empty()) Fail("{}: pattern is empty", step.where);
  return {regex, text};
}

std::string ReadPlainPattern(const Step& step) {
  Pattern pattern = ReadPattern(step);
  if (pattern.regex) Fail("{}: a Regex as pattern is not supported, only a String", step.where);
  return std::move(pattern.text);
}

std::string ReadCharacter(const Step& step, const char* key) {
  const std::string& text = RequireString(*step.object, key, step.where);
  if (text.empty() || Utf8LengthAt(text, 0) != text.size()) {
    Fail("{}: {} must be one character", step.where, key);
  }
  return text;
}

void ReadNormalizer(const json& root, const std::string& file, BpeTokenizerParts& parts) {
  for (const Step& step : StepsOf(root, "normalizer", "normalizers", file)) {
    if (step.type == "Prepend") {
      parts.normalizer.push_back({"", RequireString(*step.object, "prepend", step.where)});
    } else if (step.type == "Replace") {
      parts.normalizer.push_back(
          {ReadPlainPattern(step), RequireString(*step.object, "content", step.where)});
    } else {
      Refuse(step);
    }
  }
}

SplitBehavior ReadBehavior(const Step& step) {
  static constexpr std::array<std::string_view, 5> kNames = {
      "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
  const std::string& name = RequireString(*step.object, "behavior", step.where);
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (name == kNames[i]) return static_cast<SplitBehavior>(i);
  }
  Fail("{}: behavior {} is not known", step.where, Quoted(name));
}

std::unique_ptr<const PreTokenizer> ReadSplit(const Step& step) {
  Pattern pattern = ReadPattern(step);
  const SplitBehavior behavior = ReadBehavior(step);
  const bool invert = OptionalBool(*step.object, "invert", false, step.where);
  if (!pattern.regex) return MakeStringSplit(std::move(pattern.text), behavior, invert);
  const auto known = KnownPattern(pattern.text);
  const bool words =
      behavior == SplitBehavior::kIsolated || (behavior == SplitBehavior::kRemoved && invert);
  if (known && words) return MakeWordSplit(*known);
  return MakeRegexSplit(SplitRegex(pattern.text, step.where), behavior, invert);
}

PrefixScheme ReadScheme(const Step& step) {
  const json& object = *step.object;
  const bool prefix = OptionalBool(object, "add_prefix_space", true, step.where);
  const bool given = object.contains("prepend_scheme");
  const std::string scheme = given ? RequireString(object, "prepend_scheme", step.where) : "always";
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    Fail("{}: prepend_scheme {} is not known", step.where, Quoted(scheme));
  }
  if (!prefix && scheme != "never") {
    Fail("{}: add_prefix_space and prepend_scheme contradict each other", step.where);
  }
  return scheme == "always"  ? PrefixScheme::kAlways
         : scheme == "first" ? PrefixScheme::kFirst
                             : PrefixScheme::kNever;
}

void ReadPreTokenizers(const json& root, const std::string& file, BpeTokenizerParts& parts) {
  auto& list = parts.pre_tokenizers;
  for (const Step& step : StepsOf(root, "pre_tokenizer", "pretokenizers", file)) {
    if (parts.settings.byte_level) Fail("{} behind ByteLevel is not supported", step.where);
    if (step.type == "ByteLevel") {
      parts.settings.byte_level = true;
      if (RequireBool(*step.object, "add_prefix_space", step.where)) {
        list.push_back(MakeLeadingBlank());
      }
      if (OptionalBool(*step.object, "use_regex", true, step.where)) {
        list.push_back(MakeWordSplit(WordPattern::kGpt2));
      }
    } else if (step.type == "Split") {
      list.push_back(ReadSplit(step));
    } else if (step.type == "Digits") {
      list.push_back(MakeDigitSplit(RequireBool(*step.object, "individual_digits", step.where)));
    } else if (step.type == "Metaspace") {
      const PrefixScheme scheme = ReadScheme(step);
      if (scheme == PrefixScheme::kFirst && !(list.empty() && parts.normalizer.empty())) {
        Fail("{}: prepend_scheme \"first\" behind other steps is not supported", step.where);
      }
      list.push_back(MakeMetaspace(ReadCharacter(step, "replacement"), scheme,
                                   OptionalBool(*step.object, "split", true, step.where)));
    } else {
      Refuse(step);
    }
  }
}

DecodeStep ReadDecodeStep(const Step& step) {
  using Kind = DecodeStep::Kind;
  DecodeStep decode;
  const auto count = [&](const char* key) {
    return static_cast<std::size_t>(
        CheckedInteger(RequireKey(*step.object, key, step.where), 0, 1 << 20, key, step.where));
  };
  if (step.type == "ByteLevel") {
    decode.kind = Kind::kByteLevel;
  } else if (step.type == "ByteFallback") {
    decode.kind = Kind::kByteFallback;
  } else if (step.type == "Fuse") {
    decode.kind = Kind::kFuse;
  } else if (step.type == "Replace") {
    decode.kind = Kind::kReplace;
    decode.pattern = ReadPlainPattern(step);
    decode.content = RequireString(*step.object, "content", step.where);
  } else if (step.type == "Strip") {
    decode.kind = Kind::kStrip;
    decode.content = ReadCharacter(step, "content");
    decode.start = count("start");
    decode.stop = count("stop");
  } else if (step.type == "Metaspace") {
    decode.kind = Kind::kMetaspace;
    decode.pattern = ReadCharacter(step, "replacement");
    decode.prepends = ReadScheme(step) != PrefixScheme::kNever;
  } else {
    Refuse(step);
  }
  return decode;
}

void ReadDecoder(const json& root, const std::string& file, BpeTokenizerParts& parts) {
  for (const Step& step : StepsOf(root, "decoder", "decoders", file)) {
    parts.decoder.push_back(ReadDecodeStep(step));
  }
  const bool none = !root.contains("decoder") || root["decoder"].is_null();
  if (parts.decoder.empty() && !none) parts.decoder.push_back({.kind = DecodeStep::Kind::kFuse});
}

// Reads {"single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
//        "special_tokens": {"<s>": {"ids": [1]}}}.
void ReadTemplate(const Step& step, BpeTokenizerParts& parts) {
  const json& single = RequireKey(*step.object, "single", step.where);
  if (!single.is_array()) Fail("{}: single must be a list", step.where);
  parts.frame.emplace();
  int texts = 0;
  for (const json& part : single) {
    if (part.is_object() && part.contains("Sequence")) {
      ++texts;
      continue;
    }
    if (!part.is_object() || !part.contains("SpecialToken")) {
      Fail("{}: single takes SpecialToken and Sequence", step.where);
    }
    const std::string name =
        RequireString(RequireKey(part, "SpecialToken", step.where), "id", step.where);
    const json& tokens = RequireKey(*step.object, "special_tokens", step.where);
    const json& ids = RequireKey(RequireKey(tokens, name, step.where), "ids", step.where);
    if (!ids.is_array()) Fail("{}: the ids of {} must be a list", step.where, Quoted(name));
    for (const json& id : ids) {
      auto& side = texts == 0 ? parts.frame->first : parts.frame->second;
      side.push_back(static_cast<TokenId>(
          CheckedInteger(id, 0, kMaxVocabulary - 1, "an id of " + Quoted(name), step.where)));
    }
  }
  if (texts != 1) Fail("{}: single must hold the text once", step.where);
}

void ReadPostProcessor(const json& root, const std::string& file, BpeTokenizerParts& parts) {
  for (const Step& step : StepsOf(root, "post_processor", "processors", file)) {
    if (step.type == "ByteLevel") continue;  // changes offsets only
    if (step.type != "TemplateProcessing" || parts.frame) Refuse(step);
    ReadTemplate(step, parts);
  }
}

namespace fs = std::filesystem;

void ReadSteps(const json& root, const std::string& file, BpeTokenizerParts& parts) {
  ReadNormalizer(root, file, parts);
  ReadPreTokenizers(root, file, parts);
  ReadDecoder(root, file, parts);
  ReadPostProcessor(root, file, parts);
}

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

// Reads "a b" or ["a", "b"].
std::pair<std::string, std::string> ReadPair(const json& merge, const std::string& where) {
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
  Fail("{}: a merge is \"a b\" or [\"a\", \"b\"]", where);
}

void ReadMerges(const json& model, const std::string& where, BpeTokenizerParts& parts) {
  const json& list = RequireKey(model, "merges", where);
  if (!list.is_array()) Fail("{}: merges must be a list", where);
  uint32_t rank = 0;
  for (const json& merge : list) {
    const std::string merge_where = fmt::format("{}: merges[{}]", where, rank);
    // Old files begin with a comment line, which has no rank.
    if (merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version")) continue;
    const auto [left, right] = ReadPair(merge, merge_where);
    const auto id_of = [&](const std::string& token) {
      const auto found = parts.vocabulary.find(token);
      if (found == parts.vocabulary.end())
        Fail("{}: {} is not in vocab", merge_where, Quoted(token));
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
  parts.settings.byte_fallback = OptionalBool(model, "byte_fallback", false, where);
  parts.settings.fuse_unk = OptionalBool(model, "fuse_unk", false, where);
  parts.settings.ignore_merges = OptionalBool(model, "ignore_merges", false, where);
  if (IsEmpty(model, "unk_token")) return;
  const std::string& unk = RequireString(model, "unk_token", where);
  const auto found = parts.vocabulary.find(unk);
  if (found == parts.vocabulary.end()) Fail("{}: unk_token {} is not in vocab", where, Quoted(unk));
  parts.settings.unk = found->second;
}

// Assigns ids as AddedVocabulary::add_tokens of Hugging Face tokenizers does: a known token keeps
// its id, a new one gets the next.
class TokenAdder {
 public:
  explicit TokenAdder(BpeTokenizerParts& parts) : parts_(parts) {}

  // Begins the tokens of one file.
  void Start() {
    const auto size = static_cast<TokenId>(parts_.vocabulary.size());
    next_ = size;
    for (const AddedToken& token : parts_.added) next_ = std::max(next_, token.id + 1);
  }
  // Adds a token. One that was added before takes the new flags, but stays special.
  void Add(AddedToken token, const std::string& where) {
    const TokenId declared = token.id;
    token.id = IdOf(token.content);
    if (token.id < 0) token.id = next_++;
    if (declared != token.id) {
      Fail("{}: {} has id {} here, but Hugging Face tokenizers gives it {}; correct the file",
           where, Quoted(token.content), declared, token.id);
    }
    const auto [known, is_new] = index_of_.emplace(token.content, parts_.added.size());
    if (is_new) {
      parts_.added.push_back(std::move(token));
    } else {
      AddedToken& old = parts_.added[known->second];
      token.special = token.special || old.special;
      old = std::move(token);
    }
  }
  bool Has(const std::string& content) const { return index_of_.contains(content); }
  TokenId IdOf(const std::string& content) const {
    if (const auto known = index_of_.find(content); known != index_of_.end()) {
      return parts_.added[known->second].id;
    }
    const auto found = parts_.vocabulary.find(content);
    return found != parts_.vocabulary.end() ? found->second : -1;
  }

 private:
  BpeTokenizerParts& parts_;
  std::unordered_map<std::string, std::size_t> index_of_;  // of parts_.added
  TokenId next_ = 0;
};

void ReadAddedTokens(const json& root, const std::string& file, TokenAdder& adder) {
  const auto list = root.find("added_tokens");
  if (list == root.end()) return;
  if (!list->is_array()) Fail("{}: added_tokens must be a list", file);
  adder.Start();
  std::size_t index = 0;
  for (const json& entry : *list) {
    const std::string where = fmt::format("{}: added_tokens[{}]", file, index++);
    if (!entry.is_object()) Fail("{}: an object is needed", where);
    AddedToken token;
    token.content = RequireString(entry, "content", where);
    if (token.content.empty()) Fail("{}: content is empty", where);
    if (adder.Has(token.content)) Fail("{}: {} stands twice", where, Quoted(token.content));
    token.id = static_cast<TokenId>(
        CheckedInteger(RequireKey(entry, "id", where), 0, kMaxVocabulary - 1, "id", where));
    token.special = RequireBool(entry, "special", where);
    token.lstrip = RequireBool(entry, "lstrip", where);
    token.rstrip = RequireBool(entry, "rstrip", where);
    token.single_word = RequireBool(entry, "single_word", where);
    token.normalized = RequireBool(entry, "normalized", where);
    adder.Add(std::move(token), where);
  }
}

// Adds the tokens that transformers adds from tokenizer_config.json.
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
