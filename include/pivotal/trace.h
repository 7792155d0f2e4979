// Apache-2.0. Traces: everything that a search measured, and the HDF5 files that hold it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pivotal/tokenizer.h"

namespace pivotal {

// Why a response or rollout ended.
enum class FinishReason : uint8_t {
  kEos = 0,        // the end-of-sequence token was sampled; it is the last token
  kLength = 1,     // the limit of new tokens was reached
  kCancelled = 2,  // the run was stopped; such rollouts are never stored
  kStop = 3        // a stop string came up
};

// Why a rollout was drawn.
enum class RolloutKind : uint8_t {
  kQuery = 0,     // from the prompt: it helps to decide what is searched, and may be a response
  kPrefix = 1,    // from a prefix of a response, for the search
  kChosen = 2,    // from prefix + accepted token, to measure a candidate pair
  kRejected = 3,  // from prefix + rejected token, to measure a candidate pair
  kLeaving = 4  // from a prefix, with the next tokens of the responses excluded from the first draw
};

// One sampled completion. It follows the prompt, then the first `position` tokens of response
// `response` (except for kQuery), then the token `forced` (kChosen and kRejected only).
struct RolloutTrace {
  RolloutKind kind = RolloutKind::kQuery;
  int32_t response = -1;        // index into QueryTrace::responses; -1 for kQuery
  int32_t position = 0;         // k: the rollout leaves the response after t_1..t_k
  TokenId forced = -1;          // token between prefix and rollout; -1: none
  std::vector<TokenId> tokens;  // sampled tokens, EOS included
  std::vector<float> logprobs;  // of `tokens` under the sampling policy, natural logarithm
  FinishReason finish = FinishReason::kEos;
  bool success = false;
};

// The estimate of p_k, the probability that a completion of the first k response tokens succeeds.
struct PrefixEstimate {
  int32_t position = 0;   // k in 0..n; at n the value is the verdict on the response itself
  int32_t samples = 0;    // rollouts that started exactly here without excluded tokens
  int32_t successes = 0;  // number of these rollouts that succeeded
  // Estimate of p_k from all rollouts of the search that bear on it. The fresh rollouts of
  // candidate pairs are left out, so that they can test it.
  double mean = 0;
  double low = 0, high = 1;  // its interval at the confidence of the search, for this k alone
};

// A token that rollouts sampled at position k in place of t_k.
struct AlternativeToken {
  int32_t position = 0;  // k in 1..n
  TokenId token = -1;
  float logprob = 0;         // under the sampling policy, natural logarithm
  int32_t samples = 0;       // rollouts that sampled this token
  int32_t successes = 0;     // number of these rollouts that succeeded
  double low = 0, high = 1;  // interval of the success probability after this token
};

// A token whose |delta| = |p_k - p_(k-1)| is at least the gap, with its candidate pair.
struct PivotalToken {
  int32_t position = 0;  // k in 1..n: the token is t_k
  // p_(k-1) and p_k by which the strategy found the token. Those of kAnchored are the means of
  // ResponseTrace::estimates. The other strategies take the share of free rollouts from P_(k-1) and
  // P_k that succeeded, and so less evidence than `estimates`.
  double before = 0, after = 0;
  TokenId chosen = -1, rejected = -1;  // candidate pair; -1 if no alternative was seen
  int32_t chosen_samples = 0, chosen_successes = 0;      // fresh rollouts after the chosen token
  int32_t rejected_samples = 0, rejected_successes = 0;  // fresh rollouts after the rejected token
  double low = -1, high = 1;  // interval of delta, for a search that has looked often
  // Posterior probability that |delta| is at least the gap, under a prior of changes that is
  // learned from all tokens of the query.
  double probability = 0;
  // Evidence of the fresh rollouts that chosen is better than rejected, and that it is better by
  // the gap: e-values (pts/pair_test.h). 0: there is none.
  double evidence = 0, gap_evidence = 0;
  bool sequential = false;  // fresh rollouts were drawn until the evidence sufficed
};

// A response t_1..t_n that was searched.
struct ResponseTrace {
  std::vector<TokenId> tokens;  // t_1..t_n, EOS included
  std::vector<float> logprobs;  // of `tokens` under the sampling policy, natural logarithm
  FinishReason finish = FinishReason::kEos;
  bool success = false;                        // verdict on the response: p_n
  std::vector<PrefixEstimate> estimates;       // ascending position
  std::vector<PivotalToken> pivotal;           // ascending position
  std::vector<AlternativeToken> alternatives;  // to the pivotal tokens; ascending position, token
};

// A finished query: a prompt, its rollouts and its searched responses.
struct QueryTrace {
  std::string id, question, answer;
  std::vector<std::string> other_answers;  // see Problem
  std::vector<TokenId> prompt;             // x
  int32_t samples = 0;                     // rollouts from the prompt
  int32_t successes = 0;                   // number of these rollouts that succeeded
  bool searched = false;         // true if p_0 lies in the band [min_success, max_success]
  bool complete = true;          // false if a budget ended the search early
  int32_t failed_verdicts = 0;   // responses whose judge gave no verdict; they count as not right
  int64_t prefilled_tokens = 0;  // prompt and prefix tokens run through the model for this query
  double seconds = 0;            // this query's share of the wall time of its batches
  std::vector<ResponseTrace> responses;
  std::vector<RolloutTrace> rollouts;
};

// Returns the prefix P_k with k = `tokens`: the prompt, then t_1..t_k of response `response`.
// Returns the prompt alone for response -1.
inline std::vector<TokenId> PrefixOf(const QueryTrace& query, int32_t response, int32_t tokens) {
  std::vector<TokenId> prefix = query.prompt;
  if (response < 0) return prefix;
  const auto begin = query.responses[static_cast<std::size_t>(response)].tokens.begin();
  prefix.insert(prefix.end(), begin, begin + tokens);
  return prefix;
}

// Writes one HDF5 file of the schema in data/FORMATS.md, under a temporary name first. Throws Error
// with file and cause.
void SaveTraces(const std::filesystem::path& path, const std::vector<QueryTrace>& queries);

// Reads such a file, or all finished queries of a run folder (`pivotal search --output`). Throws
// Error that names the file, and the dataset at fault, if it is damaged, truncated, edited by
// another program or of another schema version, and for a folder that holds no traces.
std::vector<QueryTrace> LoadTraces(const std::filesystem::path& file_or_run);

}  // namespace pivotal
