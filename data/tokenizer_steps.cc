// Apache-2.0. The steps around the model of tokenizer.json.
#include "data/tokenizer_steps.h"

#include <array>
#include <nlohmann/json.hpp>

#include "data/error.h"
#include "data/json_input.h"
#include "data/utf8.h"

namespace pivotal::data {
namespace {

using nlohmann::json;

// One step and where it stands; a null step has no type.
struct Step {
  const json* object;
  std::string where;
  std::string type;
};

// Flattens "Sequence"; `list_key` is where it has its steps. The depth is bounded by the parser.
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

// {"String": "..."} or {"Regex": "..."}.
struct Pattern {
  bool regex = false;
  std::string text;
};

Pattern ReadPattern(const Step& step) {
  const json& pattern = RequireKey(*step.object, "pattern", step.where);
  if (!pattern.is_object() || pattern.size() != 1) Fail("{}: pattern must be an object", step.where);
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
  const bool invert = ReadFlag(*step.object, "invert", false, step.where);
  if (!pattern.regex) return MakeStringSplit(std::move(pattern.text), behavior, invert);
  const auto known = KnownPattern(pattern.text);
  const bool words = behavior == SplitBehavior::kIsolated ||
                     (behavior == SplitBehavior::kRemoved && invert);
  if (known && words) return MakeWordSplit(*known);
  return MakeRegexSplit(SplitRegex(pattern.text, step.where), behavior, invert);
}

PrefixScheme ReadScheme(const Step& step) {
  const json& object = *step.object;
  const bool prefix = ReadFlag(object, "add_prefix_space", true, step.where);
  const bool given = object.contains("prepend_scheme");
  const std::string scheme =
      given ? RequireString(object, "prepend_scheme", step.where) : "always";
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
      if (RequireFlag(*step.object, "add_prefix_space", step.where)) {
        list.push_back(MakeLeadingBlank());
      }
      if (ReadFlag(*step.object, "use_regex", true, step.where)) {
        list.push_back(MakeWordSplit(WordPattern::kGpt2));
      }
    } else if (step.type == "Split") {
      list.push_back(ReadSplit(step));
    } else if (step.type == "Digits") {
      list.push_back(MakeDigitSplit(RequireFlag(*step.object, "individual_digits", step.where)));
    } else if (step.type == "Metaspace") {
      const PrefixScheme scheme = ReadScheme(step);
      if (scheme == PrefixScheme::kFirst && !(list.empty() && parts.normalizer.empty())) {
        Fail("{}: prepend_scheme \"first\" behind other steps is not supported", step.where);
      }
      list.push_back(MakeMetaspace(ReadCharacter(step, "replacement"), scheme,
                                   ReadFlag(*step.object, "split", true, step.where)));
    } else {
      Refuse(step);
    }
  }
}

DecodeStep ReadDecodeStep(const Step& step) {
  using Kind = DecodeStep::Kind;
  DecodeStep decode;
  const auto count = [&](const char* key) {
    return static_cast<std::size_t>(CheckedInteger(RequireKey(*step.object, key, step.where), 0,
                                                   1 << 20, key, step.where));
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

// {"single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
//  "special_tokens": {"<s>": {"ids": [1]}}}
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
    if (step.type == "ByteLevel") continue;  // only moves offsets
    if (step.type != "TemplateProcessing" || parts.frame) Refuse(step);
    ReadTemplate(step, parts);
  }
}

}  // namespace

bool ReadFlag(const json& object, const char* key, bool absent, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return absent;
  if (!found->is_boolean()) {
    Fail("{}: {} must be true or false, not {}", where, key, found->type_name());
  }
  return found->get<bool>();
}

bool RequireFlag(const json& object, const char* key, const std::string& where) {
  if (RequireKey(object, key, where).is_null()) Fail("{}: {} must be true or false", where, key);
  return ReadFlag(object, key, false, where);
}

void ReadSteps(const json& root, const std::string& file, BpeTokenizerParts& parts) {
  ReadNormalizer(root, file, parts);
  ReadPreTokenizers(root, file, parts);
  ReadDecoder(root, file, parts);
  ReadPostProcessor(root, file, parts);
}

}  // namespace pivotal::data
