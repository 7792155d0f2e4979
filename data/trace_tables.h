// Apache-2.0. The tables of a trace file (data/FORMATS.md), as columns. For data/ only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/hdf5_columns.h"

namespace pivotal::data {

inline constexpr int32_t kTraceSchema = 1;

// Each Visit() names every column once: reading, writing and the schema can't drift apart.
// Foreign keys (query, response) are row numbers of the parent's table, ascending.

struct QueryTable {
  Ragged<char> id, question, answer;
  Ragged<int32_t> prompt;
  std::vector<int32_t> samples, successes;
  std::vector<uint8_t> searched;

  template <typename Visitor>
  void Visit(Visitor&& visit) {
    visit("id", id);
    visit("question", question);
    visit("answer", answer);
    visit("prompt", prompt);
    visit("samples", samples);
    visit("successes", successes);
    visit("searched", searched);
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
  std::vector<double> mean;

  template <typename Visitor>
  void Visit(Visitor&& visit) {
    visit("response", response);
    visit("position", position);
    visit("samples", samples);
    visit("successes", successes);
    visit("mean", mean);
  }
};

struct PivotalTable {
  std::vector<int64_t> response;
  std::vector<int32_t> position;
  std::vector<double> before, after;
  std::vector<int32_t> chosen, rejected;
  std::vector<int32_t> chosen_samples, chosen_successes, rejected_samples, rejected_successes;

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
  }
};

struct RolloutTable {
  std::vector<int64_t> query, response;  // response: -1 where the rollout starts at the prompt
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
  RolloutTable rollouts;

  template <typename Visitor>
  void VisitTables(Visitor&& visit) {
    visit("/queries", queries);
    visit("/responses", responses);
    visit("/estimates", estimates);
    visit("/pivotal", pivotal);
    visit("/rollouts", rollouts);
  }
};

}  // namespace pivotal::data
