// Apache-2.0. The sampling policy pi: a model's distribution after temperature, top-k, top-p, min-p.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/sampling_params.h"

namespace pivotal::kernels {

struct Draw {
  int32_t token = 0;
  float logprob = 0;  // natural log of the token's probability under the policy
};

// Draws from softmax(logits) after the filters, as often as wanted after one pass over the row. Tokens at
// equal logits are ordered by id. An object serves one thread, and allocates on its first row alone,
// but where tokens are put in order (top-k, top-p).
class RowSampler {
 public:
  // Takes a row: `logits` [V] become weights in proportion to the policy of `params`, and must stay as they are
  // for the draws. The ids of `excluded` are struck out of the draws, where the others keep their proportions.
  // Logits with NaN, +inf or only -inf throw std::invalid_argument, and so does a policy with
  // nothing but `excluded`.
  void Take(std::span<float> logits, const SamplingParams& params, std::span<const int32_t> excluded = {});

  // `uniform` in [0, 1). The log-probability is the token's with nothing excluded.
  Draw Sample(double uniform) const;

  // Sum of the weights, excluded ones too: weights / sum() is the policy. After a row without `excluded`.
  double sum() const { return sum_; }

 private:
  void AddUp();

  std::span<float> weights_;
  std::vector<float> chunks_;  // sums of kSumChunk weights each
  std::vector<int32_t> order_;
  double sum_ = 0;   // of all that the filters left
  double left_ = 0;  // without the excluded
};

// One draw; `workspace` [V] is overwritten.
Draw SampleRow(std::span<const float> logits, const SamplingParams& params, double uniform,
               std::span<float> workspace, std::span<const int32_t> excluded = {});

// Probabilities [V] under the policy, into `probabilities`; zero for tokens that were filtered out.
void PolicyRow(std::span<const float> logits, const SamplingParams& params,
               std::span<float> probabilities);

}  // namespace pivotal::kernels
