// Apache-2.0. Responses of the tiny model (experiments/tiny) whose p_k and d_k are known from many
// rollouts. bench/tiny_truth.cc measured them; tests/experiments/tiny/tiny_truth.jsonl holds them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "pivotal/tokenizer.h"
#include "pts/estimate.h"
#include "tests/support/given_search.h"

namespace pivotal::testing {

struct TrueResponse {
  std::string id;               // of the problem in experiments/tiny/problems/train.jsonl
  std::vector<TokenId> tokens;  // t_1..t_n, EOS included
  std::vector<float> logprobs;  // of t_k under the sampling policy
  bool success = false;
  // Estimates of q_1..q_n: q_k is p(success) of rollouts whose k-th token is not t_k.
  std::vector<pts::Estimate> aside;
  pts::Estimate free;  // estimate of p_0 from free rollouts, to check p, which does not use it
  // p_0..p_n and d_1..d_n with their standard errors.
  std::vector<double> p, p_error, delta, delta_error;
};

struct TinyTruth {
  // The measurement: its command, model and sampling settings. Searches use other seeds.
  std::string command, weights_sha256;
  double temperature = 1;
  int32_t max_new_tokens = 64;
  uint64_t seed = 0;
  std::vector<TrueResponse> responses;
};

// Computes p and delta from the other fields, backwards from the verdict p_n:
// p_(k-1) = pi_k p_k + (1 - pi_k) q_k and d_k = (1 - pi_k) (p_k - q_k), where pi_k is the
// probability of t_k. The q_k are independent. A q_k without rollouts is 1/2, with the error of an
// unknown value.
void DerivePath(TrueResponse& response);

// Reads and writes JSON lines: the measurement, then one response a line. Throws Error that names
// the faulty line.
TinyTruth LoadTinyTruth(const std::filesystem::path& path);
void SaveTinyTruth(const TinyTruth& truth, const std::filesystem::path& path);

// Returns the responses as SearchGiven() takes them. `queries` are those of the train problems.
// Throws Error for a response whose problem is not among them.
std::vector<GivenResponse> GivenResponses(const TinyTruth& truth, std::span<const Query> queries);

}  // namespace pivotal::testing
