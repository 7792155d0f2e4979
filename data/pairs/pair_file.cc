// Apache-2.0.
#include "data/pairs/pair_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"

namespace pivotal::data {
namespace {

using nlohmann::json;
using Ids = std::vector<TokenId>;

constexpr int64_t kMaxCount = std::numeric_limits<int32_t>::max();

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

// Reads an array of numbers, one for each token of a side; empty if there is no such key. `range`
// says in words which numbers are taken, those for which fits() returns true.
template <typename F>
std::vector<float> ReadTokenNumbers(const json& object, const std::string& key, std::size_t tokens,
                                    const std::string& where, const char* range, F fits) {
  const auto found = object.find(key);
  if (found == object.end()) return {};
  if (!found->is_array() || found->size() != tokens) {
    Fail("{}: key \"{}\" must be an array of {} numbers, one for each id of the side", where, key,
         tokens);
  }
  std::vector<float> numbers;
  numbers.reserve(tokens);
  for (const json& value : *found) {
    const float number = value.is_number() ? value.get<float>() : 0.0f;
    if (!value.is_number() || !std::isfinite(number) || !fits(number)) {
      Fail("{}: {}[{}] must be {}, not {}", where, key, numbers.size(), range,
           value.is_number() ? value.dump() : value.type_name());
    }
    numbers.push_back(number);
  }
  return numbers;
}

// Reads the weights of a side: one for each of its tokens, or none.
std::vector<float> ReadWeights(const json& object, const std::string& key, std::size_t tokens,
                               const std::string& where) {
  return ReadTokenNumbers(object, key, tokens, where, "a number of at least 0",
                          [](float weight) { return weight >= 0; });
}

void ReadIdSides(const json& object, const Tokenizer& tokenizer, const std::string& where,
                 PreferencePair& pair) {
  pair.prompt_ids = ReadIds(object, "prompt_ids", tokenizer.VocabSize(), where);
  pair.chosen_ids = ReadIds(object, "chosen_ids", tokenizer.VocabSize(), where);
  pair.rejected_ids = ReadIds(object, "rejected_ids", tokenizer.VocabSize(), where);
  if (pair.chosen_ids == pair.rejected_ids) {
    Fail("{}: chosen and rejected are the same tokens; remove the line", where);
  }
  pair.chosen_weights = ReadWeights(object, "chosen_weights", pair.chosen_ids.size(), where);
  pair.rejected_weights = ReadWeights(object, "rejected_weights", pair.rejected_ids.size(), where);
}

void ReadTextSides(const json& object, const TextCoding& coding, const std::string& where,
                   PreferencePair& pair) {
  for (const char* key : {"chosen_weights", "rejected_weights"}) {
    if (object.contains(key)) {
      Fail("{}: \"{}\" belongs to ids; give prompt_ids, chosen_ids and rejected_ids too", where,
           key);
    }
  }
  ExampleIds ids = EncodeExample(object, {"chosen", "rejected"}, coding, where);
  pair.prompt_ids = std::move(ids.prompt);
  pair.chosen_ids = std::move(ids.sides[0]);
  pair.rejected_ids = std::move(ids.sides[1]);
}

void ReadSides(const json& object, const TextCoding& coding, const std::string& where,
               PreferencePair& pair) {
  const auto text = [&](const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  pair.prompt = text("prompt");
  pair.chosen = text("chosen");
  pair.rejected = text("rejected");
  if (object.contains("prompt_ids") || object.contains("chosen_ids") ||
      object.contains("rejected_ids")) {
    ReadIdSides(object, coding.tokenizer, where, pair);
  } else {
    ReadTextSides(object, coding, where, pair);
  }
  if (pair.prompt_ids.empty()) Fail("{}: the prompt has no tokens; begin it with some text", where);
  if (pair.chosen_ids.empty()) Fail("{}: \"chosen\" has no tokens", where);
  if (pair.rejected_ids.empty()) Fail("{}: \"rejected\" has no tokens", where);
}

void ReadNumber(const json& object, const std::string& key, const std::string& where,
                double& value) {
  if (!object.contains(key)) return;
  const json& number = object[key];
  if (!number.is_number())
    Fail("{}: {} must be a number, not {}", where, key,
         number.is_string() ? Quoted(number.get<std::string>()) : number.type_name());
  value = number.get<double>();
}

// Reads the weight of an example's loss; 1 without one.
double ReadWeight(const json& object, const std::string& where) {
  double weight = 1;
  ReadNumber(object, "weight", where, weight);
  if (!(weight >= 0 && std::isfinite(weight)))
    Fail("{}: weight must be a number of at least 0, not {}", where, object["weight"].dump());
  return weight;
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

// Reads the id of a line; without one it is the line number.
std::string ReadId(const json& object, std::size_t line, const std::string& where) {
  const auto id = object.find("id");
  if (id == object.end()) return std::to_string(line);
  return id->is_number() ? id->dump() : RequireString(object, "id", where);
}

PreferencePair ParsePair(const json& object, const TextCoding& coding, std::size_t line,
                         const std::string& where) {
  PreferencePair pair;
  pair.id = ReadId(object, line, where);
  ReadSides(object, coding, where, pair);
  pair.weight = ReadWeight(object, where);
  pair.chosen_estimate = ReadEstimate(object, "chosen", where);
  pair.rejected_estimate = ReadEstimate(object, "rejected", where);
  ReadNumber(object, "delta", where, pair.delta);
  ReadNumber(object, "delta_low", where, pair.delta_low);
  ReadNumber(object, "delta_high", where, pair.delta_high);
  if (object.contains("source")) pair.source = RequireString(object, "source", where);
  return pair;
}

// In a table of pairs and completions the sides of a completion are empty.
bool IsPair(const json& object) {
  const bool is_completion = object.contains("completion") || object.contains("completion_ids");
  for (const char* key : {"chosen", "rejected", "chosen_ids", "rejected_ids"})
    if (object.contains(key) && !(is_completion && object[key] == "")) return true;
  return false;
}

// Reads id, prompt, completion and weight of an example without a pair.
template <typename Example>
Example ParseCompletion(const json& object, const TextCoding& coding, std::size_t line,
                        const std::string& where) {
  Example example;
  example.id = ReadId(object, line, where);
  PromptCompletion ids = ReadPromptCompletion(object, coding, where);
  example.prompt_ids = std::move(ids.prompt_ids);
  example.completion_ids = std::move(ids.completion_ids);
  if (example.completion_ids.empty()) Fail("{}: the completion is empty", where);
  example.weight = ReadWeight(object, where);
  return example;
}

UnpairedExample ParseUnpaired(const json& object, const TextCoding& coding, std::size_t line,
                              const std::string& where) {
  auto example = ParseCompletion<UnpairedExample>(object, coding, line, where);
  if (object.contains("completion_weights") && !object.contains("completion_ids"))
    Fail("{}: \"completion_weights\" belongs to ids; give prompt_ids and completion_ids too",
         where);
  example.completion_weights =
      ReadWeights(object, "completion_weights", example.completion_ids.size(), where);
  example.desirable = RequireBool(object, "label", where);
  return example;
}

// Beyond these bounds a ratio of probabilities or a loss has no number.
constexpr float kMostAdvantage = 1e6, kLeastLogProb = -50;

AdvantageExample ParseAdvantages(const json& object, const TextCoding& coding, std::size_t line,
                                 const std::string& where) {
  auto example = ParseCompletion<AdvantageExample>(object, coding, line, where);
  const std::size_t tokens = example.completion_ids.size();
  const json& advantages = RequireKey(object, "advantages", where);
  for (const char* key : {"advantages", "old_logprobs"})
    if (object.contains(key) && object[key].is_array() && !object.contains("completion_ids"))
      Fail("{}: \"{}\" of tokens belong to ids; give prompt_ids and completion_ids too{}", where,
           key, key == std::string("advantages") ? ", or one number for all tokens" : "");
  if (advantages.is_number()) {
    const auto advantage = advantages.get<float>();
    if (!(std::abs(advantage) <= kMostAdvantage))
      Fail("{}: advantages must be a number in [-1e6, 1e6], not {}", where, advantages.dump());
    example.advantages.assign(tokens, advantage);
  } else if (!advantages.is_array()) {
    Fail("{}: advantages must be an array of {} numbers, one for each id, or one number for all",
         where, tokens);
  } else {
    example.advantages =
        ReadTokenNumbers(object, "advantages", tokens, where, "a number in [-1e6, 1e6]",
                         [](float advantage) { return std::abs(advantage) <= kMostAdvantage; });
  }
  example.old_logprobs =
      ReadTokenNumbers(object, "old_logprobs", tokens, where, "a number in [-50, 0]",
                       [](float logprob) { return logprob >= kLeastLogProb && logprob <= 0; });
  return example;
}

// Reads the next line. null, of which tables have many, is no value. CSV has strings alone: those
// of keys that are no text are read as JSON, and "" is no value. What is not JSON stays a string,
// which the reader of its key refuses.
bool NextExample(JsonLineReader& lines, json& object) {
  static constexpr std::array<const char*, 22> kKeys = {"prompt_ids",
                                                        "chosen_ids",
                                                        "rejected_ids",
                                                        "completion_ids",
                                                        "chosen_weights",
                                                        "rejected_weights",
                                                        "completion_weights",
                                                        "advantages",
                                                        "old_logprobs",
                                                        "weight",
                                                        "label",
                                                        "delta",
                                                        "delta_low",
                                                        "delta_high",
                                                        "chosen_samples",
                                                        "chosen_successes",
                                                        "chosen_low",
                                                        "chosen_high",
                                                        "rejected_samples",
                                                        "rejected_successes",
                                                        "rejected_low",
                                                        "rejected_high"};
  if (!lines.Next(object)) return false;
  for (auto item = object.begin(); item != object.end();)
    item = item->is_null() ? object.erase(item) : std::next(item);
  for (const char* key : kKeys) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_string()) continue;
    std::string text = *found;
    if (text.empty()) {
      object.erase(found);
      continue;
    }
    if (text == "True" || text == "TRUE") text = "true";  // as Python and spreadsheets write it
    if (text == "False" || text == "FALSE") text = "false";
    json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!value.is_discarded()) *found = std::move(value);
  }
  return true;
}

// Throws Error for what next-token training would not heed.
void RequirePlain(const json& object, const std::string& where) {
  if (object.contains("label") && !RequireBool(object, "label", where))
    Fail(
        "{}: the label is false, and next-token training would learn the completion; remove the "
        "line, or take --objective kto",
        where);
  if (ReadWeight(object, where) != 1 || object.contains("completion_weights"))
    Fail("{}: next-token training takes no weights; remove them, or take --objective kto", where);
}

}  // namespace

std::vector<PreferencePair> LoadPairs(const std::filesystem::path& path, const TextCoding& coding) {
  JsonLineReader lines(path);
  std::vector<PreferencePair> pairs;
  json object;
  while (NextExample(lines, object)) {
    pairs.push_back(ParsePair(object, coding, lines.line(), lines.Where()));
  }
  return pairs;
}

std::vector<UnpairedExample> LoadUnpaired(const std::filesystem::path& path,
                                          const TextCoding& coding) {
  JsonLineReader lines(path);
  std::vector<UnpairedExample> examples, rejected;
  json object;
  while (NextExample(lines, object)) {
    const std::string where = lines.Where();
    if (IsPair(object)) {
      PreferencePair pair = ParsePair(object, coding, lines.line(), where);
      examples.push_back({pair.id + "/chosen", pair.prompt_ids, std::move(pair.chosen_ids),
                          std::move(pair.chosen_weights), true, pair.weight});
      rejected.push_back({pair.id + "/rejected", std::move(pair.prompt_ids),
                          std::move(pair.rejected_ids), std::move(pair.rejected_weights), false,
                          pair.weight});
    } else {
      examples.push_back(ParseUnpaired(object, coding, lines.line(), where));
    }
  }
  std::ranges::move(rejected, std::back_inserter(examples));
  return examples;
}

std::vector<AdvantageExample> LoadAdvantages(const std::filesystem::path& path,
                                             const TextCoding& coding) {
  JsonLineReader lines(path);
  std::vector<AdvantageExample> examples;
  json object;
  while (NextExample(lines, object))
    examples.push_back(ParseAdvantages(object, coding, lines.line(), lines.Where()));
  return examples;
}

PromptCompletion ReadPromptCompletion(const json& object, const TextCoding& coding,
                                      const std::string& where) {
  PromptCompletion item;
  if (object.contains("prompt_ids") || object.contains("completion_ids")) {
    const int32_t vocab = coding.tokenizer.VocabSize();
    const std::string remedy = "give both *_ids or none";
    item.prompt_ids = ReadIds(object, "prompt_ids", vocab, where, remedy);
    item.completion_ids = ReadIds(object, "completion_ids", vocab, where, remedy);
  } else {
    ExampleIds ids = EncodeExample(object, {"completion"}, coding, where);
    item.prompt_ids = std::move(ids.prompt);
    item.completion_ids = std::move(ids.sides[0]);
  }
  if (item.prompt_ids.empty()) Fail("{}: the prompt has no tokens; begin it with some text", where);
  return item;
}

std::vector<PromptCompletion> LoadPromptCompletions(const std::filesystem::path& path,
                                                    const TextCoding& coding) {
  JsonLineReader lines(path);
  std::vector<PromptCompletion> items;
  json object;
  while (NextExample(lines, object)) {
    const std::string where = lines.Where();
    PromptCompletion item;
    if (object.contains("messages") && !object.contains("prompt") &&
        !object.contains("prompt_ids")) {
      Ids ids = EncodeMessages(object, coding, where);
      item.prompt_ids.assign(ids.begin(),
                             ids.begin() + std::min<std::ptrdiff_t>(1, std::ssize(ids)));
      item.completion_ids.assign(ids.begin() + std::ssize(item.prompt_ids), ids.end());
    } else {
      item = ReadPromptCompletion(object, coding, where);
    }
    if (item.completion_ids.empty()) Fail("{}: the completion is empty", where);
    RequirePlain(object, where);
    items.push_back(std::move(item));
  }
  return items;
}

std::string ToLine(const PreferencePair& pair) {
  nlohmann::ordered_json line = {
      {"id", pair.id},
      {"prompt", pair.prompt},
      {"chosen", pair.chosen},
      {"rejected", pair.rejected},
      {"prompt_ids", pair.prompt_ids},
      {"chosen_ids", pair.chosen_ids},
      {"rejected_ids", pair.rejected_ids},
  };
  // Pairs that nothing was measured for have no columns of it.
  if (pair.chosen_estimate.samples > 0 || pair.rejected_estimate.samples > 0) {
    line["chosen_samples"] = pair.chosen_estimate.samples;
    line["chosen_successes"] = pair.chosen_estimate.successes;
    line["rejected_samples"] = pair.rejected_estimate.samples;
    line["rejected_successes"] = pair.rejected_estimate.successes;
    line["chosen_low"] = pair.chosen_estimate.low;
    line["chosen_high"] = pair.chosen_estimate.high;
    line["rejected_low"] = pair.rejected_estimate.low;
    line["rejected_high"] = pair.rejected_estimate.high;
  }
  if (pair.delta != 0) line["delta"] = pair.delta;
  if (pair.delta_low > -1 || pair.delta_high < 1) {
    line["delta_low"] = pair.delta_low;
    line["delta_high"] = pair.delta_high;
  }
  line["source"] = pair.source;
  if (pair.weight != 1) line["weight"] = pair.weight;
  if (!pair.chosen_weights.empty()) line["chosen_weights"] = pair.chosen_weights;
  if (!pair.rejected_weights.empty()) line["rejected_weights"] = pair.rejected_weights;
  // Text may end inside a character, which U+FFFD replaces; training reads the ids.
  return JsonLine(line);
}

std::string ToLine(const AdvantageExample& example) {
  nlohmann::ordered_json line = {{"id", example.id},
                                 {"prompt_ids", example.prompt_ids},
                                 {"completion_ids", example.completion_ids},
                                 {"advantages", example.advantages}};
  if (!example.old_logprobs.empty()) line["old_logprobs"] = example.old_logprobs;
  if (example.weight != 1) line["weight"] = example.weight;
  return JsonLine(line);
}

}  // namespace pivotal::data

namespace pivotal {

void SavePairs(const std::filesystem::path& path, const std::vector<PreferencePair>& pairs) {
  data::FileSink sink(path);
  for (const PreferencePair& pair : pairs) {
    if (!std::isfinite(pair.delta)) {
      Fail("{}: pair {} has a delta that is no number", path.string(), data::Quoted(pair.id));
    }
    if (!(pair.weight >= 0 && std::isfinite(pair.weight)))
      Fail("{}: pair {} has a weight that is no number of at least 0", path.string(),
           data::Quoted(pair.id));
    sink.Write(data::ToLine(pair));
  }
  sink.Commit();
}

void SaveAdvantages(const std::filesystem::path& path,
                    const std::vector<AdvantageExample>& examples) {
  data::FileSink sink(path);
  for (const AdvantageExample& example : examples) sink.Write(data::ToLine(example));
  sink.Commit();
}

void SaveCompletions(const std::filesystem::path& path,
                     const std::vector<PromptCompletion>& examples, const Tokenizer& tokenizer) {
  data::FileSink sink(path);
  for (const PromptCompletion& example : examples)
    sink.Write(data::JsonLine({{"id", example.id},
                               {"prompt", tokenizer.Decode(example.prompt_ids, /*at_start=*/true)},
                               {"completion", tokenizer.Decode(example.completion_ids)},
                               {"prompt_ids", example.prompt_ids},
                               {"completion_ids", example.completion_ids}}));
  sink.Commit();
}

void SavePairTexts(const std::filesystem::path& path, const std::vector<PreferencePair>& pairs) {
  data::FileSink sink(path);
  for (const PreferencePair& pair : pairs) {
    const nlohmann::ordered_json line = {
        {"prompt", pair.prompt}, {"chosen", pair.chosen}, {"rejected", pair.rejected}};
    sink.Write(data::JsonLine(line));
  }
  sink.Commit();
}

}  // namespace pivotal
