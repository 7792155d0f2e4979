// Apache-2.0. codelion/pts's event files (JSON lines, schema 1.0), for pivotal tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/tokenizer.h"
#include "data/trace.h"

namespace pivotal::data {

// A `pivotal_token` event. What its schema has no field for is under `metadata`, of which other programs take no
// notice; "" and empty where a file of another program does not say.
struct PivotalEvent {
  std::string model_id, item_id;  // dataset_item_id: the problem's
  std::string query;              // the question
  std::string context, label;     // text of the prompt and the response so far; of the token
  int64_t position = 0;           // of the token in the sequence, prompt included, from 0; -1: unknown
  TokenId token = -1;
  double before = 0, after = 0;   // p(success)
  // metadata: "prefix_ids", "prompt_tokens" (of them; -1: unknown), "answer", "logprob", "pair" and "low", "high".
  std::vector<TokenId> prefix;
  int64_t prompt_tokens = -1;
  std::string answer;
  float logprob = 0;
  PivotalToken pivotal;           // position 1.. in the response; the pair's sides
};

// Written aside and renamed. The same events give the same file: `timestamp` is what the caller gives (ISO 8601).
void SaveEvents(const std::filesystem::path& path, const std::vector<PivotalEvent>& events, double gap,
                const std::string& timestamp);

struct EventFile {
  std::vector<PivotalEvent> events;
  int64_t skipped = 0;  // lines that are events of another type
};

// Also reads the files from before the schema (keys pivot_context, pivot_token, pivot_token_id). Throws Error with file
// and line for a missing key, a value of another type, a probability outside [0, 1], another schema version.
EventFile LoadEvents(const std::filesystem::path& path);

}  // namespace pivotal::data
