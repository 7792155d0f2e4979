// Apache-2.0. Pair files.
#include "data/pair_file.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/json_input.h"

namespace pivotal::data {
namespace {

using nlohmann::json;
using Ids = std::vector<TokenId>;

constexpr int64_t kMaxCount = std::numeric_limits<int32_t>::max();

std::string ToLine(const PreferencePair& pair) {
  const nlohmann::ordered_json line = {
      {"id", pair.id},
      {"prompt", pair.prompt},
      {"chosen", pair.chosen},
      {"rejected", pair.rejected},
      {"prompt_ids", pair.prompt_ids},
      {"chosen_ids", pair.chosen_ids},
      {"rejected_ids", pair.rejected_ids},
      {"chosen_samples", pair.chosen_estimate.samples},
      {"chosen_successes", pair.chosen_estimate.successes},
      {"rejected_samples", pair.rejected_estimate.samples},
      {"rejected_successes", pair.rejected_estimate.successes},
      {"chosen_low", pair.chosen_estimate.low},
      {"chosen_high", pair.chosen_estimate.high},
      {"rejected_low", pair.rejected_estimate.low},
      {"rejected_high", pair.rejected_estimate.high},
      {"delta", pair.delta},
      {"delta_low", pair.delta_low},
      {"delta_high", pair.delta_high},
      {"source", pair.source},
  };
  // The ids are what counts; text cut inside a character must not stop the file.
  return line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

Ids ReadIds(const json& object, const std::string& key, int32_t vocab, const std::string& where,
            const std::string& remedy = "give all three *_ids or none") {
  const json& values = RequireKey(object, key, where, remedy);
  if (!values.is_array()) {
    Fail("{}: key \"{}\" must be an array of token ids, not {}", where, key, values.type_name());
  }
  Ids ids;
  ids.reserve(values.size());
  for (const json& value : values) {
    const std::string name = fmt::format("{}[{}]", key, ids.size());
    ids.push_back(static_cast<TokenId>(
        CheckedInteger(value, 0, int64_t{vocab} - 1, name + " (a token id)", where)));
  }
  return ids;
}

Ids EncodeChecked(const Tokenizer& tokenizer, const std::string& text, const std::string& where) {
  try {
    return tokenizer.Encode(text);
  } catch (const Error& e) {
    Fail("{}: {}", where, e.what());
  }
}

void PrependBos(const Tokenizer& tokenizer, Ids& ids) {
  if (tokenizer.adds_bos()) ids.insert(ids.begin(), tokenizer.bos());
}

std::size_t CommonPrefix(const Ids& a, const Ids& b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                                  a.begin());
}

// Encodes prompt + continuation as one text and cuts it where the encodings part: alone, a
// continuation would start with SentencePiece's extra blank. Where a token spans the seam, the cut
// moves before it; `prompt` is shortened accordingly.
std::vector<Ids> EncodeContinuations(const Tokenizer& tokenizer, const std::string& prompt,
                                     const std::vector<std::string>& texts,
                                     const std::string& where, Ids& prompt_ids) {
  prompt_ids = EncodeChecked(tokenizer, prompt, where);
  std::vector<Ids> whole;
  std::size_t shared = prompt_ids.size();
  for (const std::string& text : texts) {
    whole.push_back(EncodeChecked(tokenizer, prompt + text, where));
    shared = std::min(shared, CommonPrefix(prompt_ids, whole.back()));
  }
  prompt_ids.resize(shared);
  for (Ids& ids : whole) ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(shared));
  PrependBos(tokenizer, prompt_ids);
  return whole;
}

void ReadSides(const json& object, const Tokenizer& tokenizer, const std::string& where,
               PreferencePair& pair) {
  const bool has_ids = object.contains("prompt_ids") || object.contains("chosen_ids") ||
                       object.contains("rejected_ids");
  const auto text = [&](const std::string& key) {
    return has_ids && !object.contains(key) ? std::string() : RequireString(object, key, where);
  };
  pair.prompt = text("prompt");
  pair.chosen = text("chosen");
  pair.rejected = text("rejected");
  if (has_ids) {
    pair.prompt_ids = ReadIds(object, "prompt_ids", tokenizer.VocabSize(), where);
    pair.chosen_ids = ReadIds(object, "chosen_ids", tokenizer.VocabSize(), where);
    pair.rejected_ids = ReadIds(object, "rejected_ids", tokenizer.VocabSize(), where);
  } else {
    if (pair.chosen.empty()) Fail("{}: \"chosen\" is empty", where);
    if (pair.rejected.empty()) Fail("{}: \"rejected\" is empty", where);
    std::vector<Ids> sides = EncodeContinuations(
        tokenizer, pair.prompt, {pair.chosen, pair.rejected}, where, pair.prompt_ids);
    pair.chosen_ids = std::move(sides[0]);
    pair.rejected_ids = std::move(sides[1]);
  }
  if (pair.prompt_ids.empty()) Fail("{}: the prompt has no tokens", where);
  if (pair.chosen_ids.empty()) Fail("{}: \"chosen\" has no tokens", where);
  if (pair.rejected_ids.empty()) Fail("{}: \"rejected\" has no tokens", where);
  if (pair.chosen_ids == pair.rejected_ids) {
    Fail("{}: chosen and rejected are the same tokens; remove the line", where);
  }
}

void ReadNumber(const json& object, const std::string& key, const std::string& where,
                double& value) {
  if (!object.contains(key)) return;
  const json& number = object[key];
  if (!number.is_number()) Fail("{}: {} must be a number, not {}", where, key, number.type_name());
  value = number.get<double>();
}

SideEstimate ReadEstimate(const json& object, const std::string& side, const std::string& where) {
  const auto count = [&](const std::string& key, int64_t high) {
    return object.contains(key) ? CheckedInteger(object[key], 0, high, key, where) : 0;
  };
  SideEstimate estimate;
  estimate.samples = static_cast<int32_t>(count(side + "_samples", kMaxCount));
  estimate.successes = static_cast<int32_t>(count(side + "_successes", estimate.samples));
  ReadNumber(object, side + "_low", where, estimate.low);
  ReadNumber(object, side + "_high", where, estimate.high);
  return estimate;
}

PreferencePair ParsePair(const json& object, const Tokenizer& tokenizer, std::size_t line,
                         const std::string& where) {
  PreferencePair pair;
  const bool numbered = object.contains("id") && object["id"].is_number();
  if (numbered || !object.contains("id")) {
    pair.id = numbered ? object["id"].dump() : std::to_string(line);
  } else {
    pair.id = RequireString(object, "id", where);
  }
  ReadSides(object, tokenizer, where, pair);
  pair.chosen_estimate = ReadEstimate(object, "chosen", where);
  pair.rejected_estimate = ReadEstimate(object, "rejected", where);
  ReadNumber(object, "delta", where, pair.delta);
  ReadNumber(object, "delta_low", where, pair.delta_low);
  ReadNumber(object, "delta_high", where, pair.delta_high);
  if (object.contains("source")) pair.source = RequireString(object, "source", where);
  return pair;
}

}  // namespace

void SavePairs(const std::filesystem::path& path, const std::vector<PreferencePair>& pairs) {
  FileSink sink(path);
  for (const PreferencePair& pair : pairs) {
    if (!std::isfinite(pair.delta)) {
      Fail("{}: pair {} has a delta that is no number", path.string(), Quoted(pair.id));
    }
    sink.Write(ToLine(pair));
  }
  sink.Commit();
}

std::vector<PreferencePair> LoadPairs(const std::filesystem::path& path,
                                      const Tokenizer& tokenizer) {
  JsonLineReader lines(path);
  std::vector<PreferencePair> pairs;
  json object;
  while (lines.Next(object)) {
    pairs.push_back(ParsePair(object, tokenizer, lines.line(), lines.Where()));
  }
  return pairs;
}

PromptCompletion ReadPromptCompletion(const json& object, const Tokenizer& tokenizer,
                                      const std::string& where) {
  PromptCompletion item;
  if (object.contains("prompt_ids") || object.contains("completion_ids")) {
    const std::string remedy = "give both *_ids or none";
    item.prompt_ids = ReadIds(object, "prompt_ids", tokenizer.VocabSize(), where, remedy);
    item.completion_ids = ReadIds(object, "completion_ids", tokenizer.VocabSize(), where, remedy);
  } else {
    item.completion_ids = EncodeContinuations(tokenizer, RequireString(object, "prompt", where),
                                              {RequireString(object, "completion", where)}, where,
                                              item.prompt_ids)[0];
  }
  if (item.prompt_ids.empty()) Fail("{}: the prompt has no tokens", where);
  return item;
}

std::vector<PromptCompletion> LoadPromptCompletions(const std::filesystem::path& path,
                                                    const Tokenizer& tokenizer) {
  JsonLineReader lines(path);
  std::vector<PromptCompletion> items;
  json object;
  while (lines.Next(object)) {
    PromptCompletion item = ReadPromptCompletion(object, tokenizer, lines.Where());
    if (item.completion_ids.empty()) Fail("{}: the completion is empty", lines.Where());
    if (tokenizer.eos() >= 0 && !object.contains("completion_ids"))
      item.completion_ids.push_back(tokenizer.eos());
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace pivotal::data
