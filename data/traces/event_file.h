// Apache-2.0. codelion/pts's event files (JSON lines, schema 1.0), for pivotal tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"

namespace pivotal::data {

inline constexpr const char* kEventSchema = "1.0";  // schema_version of the events

// A `pivotal_token` event. Fields that the schema lacks are stored under `metadata`, which other
// programs ignore. Fields that a file does not have are empty.
struct PivotalEvent {
  std::string model_id;
  std::string item_id;   // the problem's id (dataset_item_id)
  std::string query;     // the question
  std::string context;   // text of the prompt and the response before the token
  std::string label;     // text of the token
  int64_t position = 0;  // of the token in prompt and response, from 0; -1: unknown
  TokenId token = -1;
  double before = 0, after = 0;  // p(success) before and after the token

  // Stored under `metadata`:
  std::vector<TokenId> prefix;  // ids of prompt and response before the token ("prefix_ids")
  int64_t prompt_tokens = -1;   // how many ids of `prefix` are the prompt; -1: unknown
  std::string answer;           // the problem's reference answer
  std::vector<std::string> other_answers;  // right ones too
  float logprob = 0;                       // of the token
  PivotalToken pivotal;  // its interval ("low", "high") and candidate pair ("pair")
};

// Writes the events aside and renames the file. `timestamp` (ISO 8601) is stored in every event;
// `gap` is the smallest change of p(success) that counts as pivotal.
void SaveEvents(const std::filesystem::path& path, const std::vector<PivotalEvent>& events,
                double gap, const std::string& timestamp);

struct EventFile {
  std::vector<PivotalEvent> events;
  int64_t skipped = 0;  // number of lines with events of other types
};

// Reads events, and also files older than the schema (keys pivot_context, pivot_token,
// pivot_token_id). Throws Error with file and line for a missing key, a value of a wrong type, a
// probability outside [0, 1], or another schema version.
EventFile LoadEvents(const std::filesystem::path& path);

}  // namespace pivotal::data
