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
  kCancelled = 2,  // the run was stopped; never stored
  kStop = 3        // a stop string came up
};

// Why a rollout was drawn.
enum class RolloutKind : uint8_t {
  kQuery = 0,     // from the prompt: estimates p_0, supplies the responses
  kPrefix = 1,    // from a prefix of a response, for the search
  kChosen = 2,    // fresh, after prefix + accepted token of a candidate pair
  kRejected = 3,  // fresh, after prefix + rejected token
  kLeaving = 4    // from a prefix, with the tokens that responses have next excluded
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

// p_k of a response from all rollouts that bear on it (pts/success_trie.h), with its interval.
struct PrefixEstimate {
  int32_t position = 0;   // k in 0..n; at n the verdict itself
  int32_t samples = 0;    // free rollouts that started here; 0 where none did
  int32_t successes = 0;
  double mean = 0;
  double low = 0, high = 1;  // at the confidence of the search, for this position alone
};

// A token that rollouts met in place of t_k.
struct AlternativeToken {
  int32_t position = 0;     // k in 1..n
  TokenId token = -1;
  float logprob = 0;        // under the sampling policy
  int32_t samples = 0;      // rollouts that drew it
  int32_t successes = 0;
  double low = 0, high = 1;  // of its p(success)
};

// A token with abs(delta) >= gap, and what fresh rollouts said of its candidate pair.
struct PivotalToken {
  int32_t position = 0;        // k in 1..n: the token is t_k
  double before = 0, after = 0;  // p_{k-1}, p_k
  TokenId chosen = -1, rejected = -1;  // candidate pair; -1 if no alternative was seen
  int32_t chosen_samples = 0, chosen_successes = 0;      // fresh rollouts
  int32_t rejected_samples = 0, rejected_successes = 0;
  double low = -1, high = 1;  // of delta; holds however often the search has looked
  double probability = 0;     // of abs(delta) >= gap, as pts/jump_model.h sees it
};

struct ResponseTrace {
  std::vector<TokenId> tokens;   // t_1..t_n, EOS included
  std::vector<float> logprobs;   // under the sampling policy
  FinishReason finish = FinishReason::kEos;
  bool success = false;          // p_n
  std::vector<PrefixEstimate> estimates;  // ascending position
  std::vector<PivotalToken> pivotal;      // ascending position
  std::vector<AlternativeToken> alternatives;  // to the pivotal tokens; ascending position, token
};

// One finished query.
struct QueryTrace {
  std::string id, question, answer;
  std::vector<TokenId> prompt;   // x
  int32_t samples = 0;           // rollouts from the prompt ...
  int32_t successes = 0;         // ... and how many of them succeeded
  bool searched = false;         // p_0 within [min_p, max_p]
  bool complete = true;          // false: a budget ended the search early
  int64_t prefilled_tokens = 0;  // of all requests; generated tokens are those of the rollouts
  double seconds = 0;            // wall time of its share of the batches
  std::vector<ResponseTrace> responses;
  std::vector<RolloutTrace> rollouts;
};

// P_k, k = `tokens`: the prompt, then t_1..t_k of a response. The prompt alone where `response` is -1.
inline std::vector<TokenId> PrefixOf(const QueryTrace& query, int32_t response, int32_t tokens) {
  std::vector<TokenId> prefix = query.prompt;
  if (response < 0) return prefix;
  const auto begin = query.responses[response].tokens.begin();
  prefix.insert(prefix.end(), begin, begin + tokens);
  return prefix;
}

}  // namespace pivotal::data
