// Apache-2.0.
#include "data/traces/event_file.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "data/base/answers.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"

namespace pivotal::data {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int64_t kMaxId = std::numeric_limits<TokenId>::max();

std::string EventId(const PivotalEvent& event) {
  const std::string parts = fmt::format("{}\n{}\n{}\n{}\n{}\n{}", event.model_id, event.item_id,
                                        event.query, event.context, event.position, event.token);
  return "token_evt_" + Sha256OfText(parts).substr(0, 12);
}

std::string ToLine(const PivotalEvent& event, double gap, const std::string& timestamp) {
  const PivotalToken& token = event.pivotal;
  const double delta = event.after - event.before;
  ordered_json metadata = {{"prob_threshold", gap},      {"prompt_tokens", event.prompt_tokens},
                           {"prefix_ids", event.prefix}, {"answer", nullptr},
                           {"logprob", event.logprob},   {"low", token.low},
                           {"high", token.high},         {"probability", token.probability}};
  metadata["answer"] = AnswersJson(event.answer, event.other_answers);
  if (token.chosen >= 0)
    metadata["pair"] = {{"chosen_id", token.chosen},
                        {"chosen_samples", token.chosen_samples},
                        {"chosen_successes", token.chosen_successes},
                        {"rejected_id", token.rejected},
                        {"rejected_samples", token.rejected_samples},
                        {"rejected_successes", token.rejected_successes},
                        {"evidence", token.evidence},
                        {"gap_evidence", token.gap_evidence},
                        {"sequential", token.sequential}};
  const ordered_json line = {{"schema_version", kEventSchema},
                             {"event_id", EventId(event)},
                             {"event_type", "pivotal_token"},
                             {"granularity", "token"},
                             {"visibility", "emitted"},
                             {"model_id", event.model_id},
                             {"dataset_item_id", event.item_id},
                             {"task_type", "generic"},
                             {"query", event.query},
                             {"timestamp", timestamp},
                             {"context", event.context},
                             {"label", event.label},
                             {"position", event.position},
                             {"token_id", event.token},
                             {"prob_before", event.before},
                             {"prob_after", event.after},
                             {"prob_delta", delta},
                             {"score", std::abs(delta)},
                             {"is_positive", delta > 0},
                             {"search_method", "token_pts"},
                             {"intervention_type", "append_token"},
                             {"metadata", metadata}};
  return JsonLine(line);
}

double Probability(const json& object, const char* key, const std::string& where) {
  const json& value = RequireKey(object, key, where);
  if (!value.is_number() || !(value.get<double>() >= 0 && value.get<double>() <= 1))
    Fail("{}: key \"{}\" must be a probability, not {}", where, key, Quoted(value.dump()));
  return value.get<double>();
}

std::string TextOr(const json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? "" : RequireString(object, key, where);
}

// Returns the integer under `key`, or `otherwise` where there is none.
int64_t IntegerOr(const json& object, const char* key, int64_t low, int64_t otherwise,
                  const std::string& where) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null()
             ? otherwise
             : CheckedInteger(*found, low, kMaxId, key, where);
}

double NumberOr(const json& object, const char* key, double otherwise, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return otherwise;
  if (!found->is_number())
    Fail("{}: key \"{}\" must be a number, not {}", where, key, found->type_name());
  return found->get<double>();
}

void ReadPair(const json& pair, PivotalToken& token, const std::string& where) {
  if (!pair.is_object())
    Fail("{}: metadata.pair must be an object, not {}", where, pair.type_name());
  const auto integer = [&](const char* key) {
    return static_cast<int32_t>(
        CheckedInteger(RequireKey(pair, key, where), 0, kMaxId, key, where));
  };
  const auto side = [&](const std::string& name, TokenId& id, int32_t& samples,
                        int32_t& successes) {
    id = integer((name + "_id").c_str());
    samples = integer((name + "_samples").c_str());
    successes = integer((name + "_successes").c_str());
    if (successes > samples) Fail("{}: {} successes of {} rollouts", where, successes, samples);
  };
  side("chosen", token.chosen, token.chosen_samples, token.chosen_successes);
  side("rejected", token.rejected, token.rejected_samples, token.rejected_successes);
  const auto evidence = [&](const char* key) {
    const double value = NumberOr(pair, key, 0, where);
    if (value < 0) Fail("{}: metadata.pair.{} is {}, must be 0 or larger", where, key, value);
    return value;
  };
  token.evidence = evidence("evidence");
  token.gap_evidence = evidence("gap_evidence");
  if (pair.contains("sequential")) token.sequential = RequireBool(pair, "sequential", where);
}

void ReadMetadata(const json& metadata, PivotalEvent& event, const std::string& where) {
  if (!metadata.is_object())
    Fail("{}: key \"metadata\" must be an object, not {}", where, metadata.type_name());
  PivotalToken& token = event.pivotal;
  if (const auto ids = metadata.find("prefix_ids"); ids != metadata.end()) {
    if (!ids->is_array())
      Fail("{}: metadata.prefix_ids must be an array, not {}", where, ids->type_name());
    for (const json& id : *ids)
      event.prefix.push_back(
          static_cast<TokenId>(CheckedInteger(id, 0, kMaxId, "prefix_ids", where)));
  }
  event.prompt_tokens = IntegerOr(metadata, "prompt_tokens", -1, -1, where);
  if (event.prompt_tokens > std::ssize(event.prefix))
    Fail("{}: metadata.prompt_tokens is {}, but prefix_ids has {}", where, event.prompt_tokens,
         event.prefix.size());
  if (const auto answer = metadata.find("answer"); answer != metadata.end() && !answer->is_null()) {
    RightAnswers answers = ReadAnswers(metadata, "answer", where, "leave it out");
    event.answer = std::move(answers.first);
    event.other_answers = std::move(answers.others);
  }
  event.logprob = static_cast<float>(NumberOr(metadata, "logprob", 0, where));
  token.low = NumberOr(metadata, "low", -1, where);
  token.high = NumberOr(metadata, "high", 1, where);
  token.probability = NumberOr(metadata, "probability", 0, where);
  if (const auto pair = metadata.find("pair"); pair != metadata.end())
    ReadPair(*pair, token, where);
}

PivotalEvent ReadEvent(const json& object, const std::string& where) {
  const bool legacy = !object.contains("event_type");
  PivotalEvent event;
  event.model_id = TextOr(object, "model_id", where);
  event.item_id = TextOr(object, "dataset_item_id", where);
  event.query = RequireString(object, "query", where);
  event.context = RequireString(object, legacy ? "pivot_context" : "context", where);
  event.label = RequireString(object, legacy ? "pivot_token" : "label", where);
  event.position = legacy ? -1 : IntegerOr(object, "position", 0, -1, where);
  event.token =
      static_cast<TokenId>(IntegerOr(object, legacy ? "pivot_token_id" : "token_id", 0, -1, where));
  event.before = Probability(object, "prob_before", where);
  event.after = Probability(object, "prob_after", where);
  if (const auto metadata = object.find("metadata"); metadata != object.end())
    ReadMetadata(*metadata, event, where);
  event.pivotal.before = event.before;
  event.pivotal.after = event.after;
  return event;
}

}  // namespace

void SaveEvents(const std::filesystem::path& path, const std::vector<PivotalEvent>& events,
                double gap, const std::string& timestamp) {
  FileSink file(path);
  for (const PivotalEvent& event : events) file.Write(ToLine(event, gap, timestamp));
  file.Commit();
}

EventFile LoadEvents(const std::filesystem::path& path) {
  EventFile file;
  JsonLineReader reader(path);
  json object;
  while (reader.Next(object)) {
    const std::string where = reader.Where();
    if (object.contains("event_type") &&
        RequireString(object, "event_type", where) != "pivotal_token") {
      ++file.skipped;
      continue;
    }
    if (const std::string version = TextOr(object, "schema_version", where);
        !version.empty() && version != kEventSchema)
      Fail("{}: schema_version is {}, but only {} is supported", where, Quoted(version),
           kEventSchema);
    file.events.push_back(ReadEvent(object, where));
  }
  return file;
}

}  // namespace pivotal::data
