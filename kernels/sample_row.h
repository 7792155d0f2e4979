// Apache-2.0. The sampling policy pi: a model's distribution after temperature, top-k, top-p, min-p.
#pragma once

#include <cstdint>
#include <span>

namespace pivotal::kernels {

// Filters apply in the order in which transformers applies them: temperature, top-k, top-p, min-p.
struct SamplingParams {
  double temperature = 1.0;  // 0: the most probable token (lowest id on ties)
  int top_k = 0;             // 0: off
  double top_p = 1.0;        // in (0, 1]; keeps the smallest set with at least this mass
  double min_p = 0.0;        // in [0, 1); keeps tokens with at least min_p of the top probability

  // Throws std::invalid_argument that names the field and its range.
  void Validate() const;
};

struct Draw {
  int32_t token = 0;
  float logprob = 0;  // natural log of the token's probability under the policy
};

// Draws from softmax(logits) after the filters. `logits` [V]; `uniform` in [0, 1). Tokens at equal
// logits are ordered by id. `workspace` [V] is overwritten. The ids of `excluded` are struck out and
// the others keep their proportions, but `logprob` is the token's without that. Non-finite logits
// other than -inf throw std::invalid_argument, and so does a policy with nothing but `excluded`.
Draw SampleRow(std::span<const float> logits, const SamplingParams& params, double uniform,
               std::span<float> workspace, std::span<const int32_t> excluded = {});

// Probabilities [V] under the policy, into `probabilities`; zero for tokens that were filtered out.
void PolicyRow(std::span<const float> logits, const SamplingParams& params,
               std::span<float> probabilities);

}  // namespace pivotal::kernels
