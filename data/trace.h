// Apache-2.0. Everything that a search measured. Stored by data/trace_store.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/tokenizer.h"

namespace pivotal::data {

enum class FinishReason : uint8_t {
  kEos = 0,       // the end-of-sequence token was sampled (it is the last token)
  kLength = 1,    // max_new_tokens reached
  kCancelled = 2  // the run was stopped; never stored
};

// Why a rollout was drawn.
enum class RolloutKind : uint8_t {
  kQuery = 0,     // from the prompt: estimates p_0, supplies the responses
  kPrefix = 1,    // from a prefix of a response, for the search
  kChosen = 2,    // fresh, after prefix + accepted token of a candidate pair
  kRejected = 3   // fresh, after prefix + rejected token
};

// One sampled completion. It follows prompt, then the first `position` tokens of response
// `response` (none for kQuery), then `forced` (kChosen, kRejected only).
struct RolloutTrace {
  RolloutKind kind = RolloutKind::kQuery;
  int32_t response = -1;   // index into QueryTrace::responses; -1 for kQuery
  int32_t position = 0;    // k: the rollout leaves the trunk after t_1..t_k
  TokenId forced = -1;     // first token after the prefix where it was not sampled
  std::vector<TokenId> tokens;  // sampled tokens, EOS included
  std::vector<float> logprobs;  // of `tokens` under the sampling policy, natural log
  FinishReason finish = FinishReason::kEos;
  bool success = false;
};

// p_k of a response as the search used it, with the count behind it.
struct PrefixEstimate {
  int32_t position = 0;   // k in 0..n
  int32_t samples = 0;    // 0 for position n: the verdict itself
  int32_t successes = 0;
  double mean = 0;        // successes / samples, or the verdict
};

// A token with abs(delta) >= gap, and what fresh rollouts said of its candidate pair.
struct PivotalToken {
  int32_t position = 0;        // k in 1..n: the token is t_k
  double before = 0, after = 0;  // p_{k-1}, p_k
  TokenId chosen = -1, rejected = -1;  // candidate pair; -1 if no alternative was seen
  int32_t chosen_samples = 0, chosen_successes = 0;      // fresh rollouts
  int32_t rejected_samples = 0, rejected_successes = 0;
};

struct ResponseTrace {
  std::vector<TokenId> tokens;   // t_1..t_n, EOS included
  std::vector<float> logprobs;   // under the sampling policy
  FinishReason finish = FinishReason::kEos;
  bool success = false;          // p_n
  std::vector<PrefixEstimate> estimates;  // ascending position
  std::vector<PivotalToken> pivotal;      // ascending position
};

// One finished query.
struct QueryTrace {
  std::string id, question, answer;
  std::vector<TokenId> prompt;   // x
  int32_t samples = 0;           // rollouts from the prompt ...
  int32_t successes = 0;         // ... and how many of them succeeded
  bool searched = false;         // p_0 within [min_p, max_p]
  std::vector<ResponseTrace> responses;
  std::vector<RolloutTrace> rollouts;
};

}  // namespace pivotal::data
