// Apache-2.0. Responses of the tiny model (experiments/tiny) whose p_k and d_k are known by many
// rollouts. Measured by bench/tiny_truth.cc, kept in tests/experiments/tiny_truth.jsonl.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/tokenizer.h"
#include "pts/estimator.h"
#include "tests/support/given_search.h"

namespace pivotal::testing {

struct TrueResponse {
  std::string id;                // of the problem in experiments/tiny/problems/train.jsonl
  std::vector<TokenId> tokens;   // t_1..t_n, EOS included
  std::vector<float> logprobs;   // of t_k under the sampling policy
  bool success = false;
  std::vector<pts::Estimate> aside;  // of q_k, from rollouts whose k-th token is another one; [n]
  pts::Estimate free;                // of p_0, from free rollouts; a check, p does not rest on it
  // p_0..p_n and d_1..d_n with their standard errors.
  std::vector<double> p, p_error, delta, delta_error;
};

struct TinyTruth {
  // How it was made. Searches draw under the same policy and seed themselves otherwise.
  std::string command, weights_sha256;
  double temperature = 1;
  int32_t max_new_tokens = 64;
  uint64_t seed = 0;
  std::vector<TrueResponse> responses;
};

// Fills p and delta from the rest, backwards from the verdict p_n:
// p_(k-1) = pi_k p_k + (1 - pi_k) q_k, d_k = (1 - pi_k) (p_k - q_k); the q are independent of each
// other. A q without rollouts counts as 1/2 with the error of not knowing it.
void DerivePath(TrueResponse& response);

// JSON lines: how it was made, then a response each. Throws Error that names the place of a fault.
TinyTruth LoadTinyTruth(const std::filesystem::path& path);
void SaveTinyTruth(const TinyTruth& truth, const std::filesystem::path& path);

// The responses as a search takes them; `queries` are those of the train problems. Throws Error for a
// response whose problem is not among them.
std::vector<GivenResponse> GivenResponses(const TinyTruth& truth,
                                          std::span<const pts::Query> queries);

}  // namespace pivotal::testing
