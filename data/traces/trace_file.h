// Apache-2.0. The HDF5 file of traces (data/FORMATS.md): its tables as columns.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/traces/hdf5_columns.h"
#include "pivotal/trace.h"

namespace pivotal::data {

inline constexpr int32_t kTraceSchema = 2;

// Each Visit() names every column of its table, so that reading, writing and the schema agree.
// The columns `query` and `response` are foreign keys: row numbers of the parent table, ascending.

struct QueryTable {
  Ragged<char> id, question, answer;
  Ragged<char> other_answers;  // a JSON list of each row's; "": none. No column if none has any.
  Ragged<int32_t> prompt;
  std::vector<int32_t> samples, successes;
  std::vector<uint8_t> searched, complete;
  std::vector<int32_t> failed_verdicts;  // files of older versions lack this column
  std::vector<int64_t> prefilled_tokens;
  std::vector<double> seconds;

  template <typename Visitor>
  void Visit(Visitor&& visit) {
    visit("id", id);
    visit("question", question);
    visit("answer", answer);
    visit("other_answers", other_answers);
    visit("prompt", prompt);
    visit("samples", samples);
    visit("successes", successes);
    visit("searched", searched);
    visit("complete", complete);
    visit("failed_verdicts", failed_verdicts);
    visit("prefilled_tokens", prefilled_tokens);
    visit("seconds", seconds);
  }
};

struct ResponseTable {
  std::vector<int64_t> query;
  Ragged<int32_t> tokens;
  Ragged<float> logprobs;
  std::vector<uint8_t> finish, success;

  template <typename Visitor>
  void Visit(Visitor&& visit) {
    visit("query", query);
    visit("tokens", tokens);
    visit("logprobs", logprobs);
    visit("finish", finish);
    visit("success", success);
  }
};

struct EstimateTable {
  std::vector<int64_t> response;
  std::vector<int32_t> position, samples, successes;
  std::vector<double> mean, low, high;

  template <typename Visitor>
  void Visit(Visitor&& visit) {
    visit("response", response);
    visit("position", position);
    visit("samples", samples);
    visit("successes", successes);
    visit("mean", mean);
    visit("low", low);
    visit("high", high);
  }
};

struct PivotalTable {
  std::vector<int64_t> response;
  std::vector<int32_t> position;
  std::vector<double> before, after;
  std::vector<int32_t> chosen, rejected;
  std::vector<int32_t> chosen_samples, chosen_successes, rejected_samples, rejected_successes;
  std::vector<double> low, high, probability, evidence, gap_evidence;
  std::vector<uint8_t> sequential;

  template <typename Visitor>
  void Visit(Visitor&& visit) {
    visit("response", response);
    visit("position", position);
    visit("before", before);
    visit("after", after);
    visit("chosen", chosen);
    visit("rejected", rejected);
    visit("chosen_samples", chosen_samples);
    visit("chosen_successes", chosen_successes);
    visit("rejected_samples", rejected_samples);
    visit("rejected_successes", rejected_successes);
    visit("low", low);
    visit("high", high);
    visit("probability", probability);
    visit("evidence", evidence);
    visit("gap_evidence", gap_evidence);
    visit("sequential", sequential);
  }
};

struct AlternativeTable {
  std::vector<int64_t> response;
  std::vector<int32_t> position, token;
  std::vector<float> logprob;
  std::vector<int32_t> samples, successes;
  std::vector<double> low, high;

  template <typename Visitor>
  void Visit(Visitor&& visit) {
    visit("response", response);
    visit("position", position);
    visit("token", token);
    visit("logprob", logprob);
    visit("samples", samples);
    visit("successes", successes);
    visit("low", low);
    visit("high", high);
  }
};

struct RolloutTable {
  std::vector<int64_t> query, response;  // response is -1 where the rollout starts at the prompt
  std::vector<uint8_t> kind;
  std::vector<int32_t> position, forced;
  Ragged<int32_t> tokens;
  Ragged<float> logprobs;
  std::vector<uint8_t> finish, success;

  template <typename Visitor>
  void Visit(Visitor&& visit) {
    visit("query", query);
    visit("response", response);
    visit("kind", kind);
    visit("position", position);
    visit("forced", forced);
    visit("tokens", tokens);
    visit("logprobs", logprobs);
    visit("finish", finish);
    visit("success", success);
  }
};

struct TraceTables {
  QueryTable queries;
  ResponseTable responses;
  EstimateTable estimates;
  PivotalTable pivotal;
  AlternativeTable alternatives;
  RolloutTable rollouts;

  template <typename Visitor>
  void VisitTables(Visitor&& visit) {
    visit("/queries", queries);
    visit("/responses", responses);
    visit("/estimates", estimates);
    visit("/pivotal", pivotal);
    visit("/alternatives", alternatives);
    visit("/rollouts", rollouts);
  }
};

// Reads a file of traces. Throws the Errors of LoadTraces().
std::vector<QueryTrace> LoadTraceFile(const std::filesystem::path& path);

// Which queries of a file.
enum class TraceIds {
  kAll,
  kJudged  // those without failed verdicts
};
// Reads the ids of a file's queries alone. Throws the Errors of LoadTraces().
std::vector<std::string> ReadTraceIds(const std::filesystem::path& path,
                                      TraceIds which = TraceIds::kAll);

}  // namespace pivotal::data
