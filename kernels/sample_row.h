// Apache-2.0. Samples tokens from a row of logits under the sampling policy: the model's
// distribution after temperature, top-k, top-p and min-p.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pivotal/sampling.h"

namespace pivotal::kernels {

// A sampled token.
struct Draw {
  int32_t token = 0;
  float logprob = 0;  // natural log of the token's probability under the policy
};

// Samples tokens from one row of logits at a time, as many as wanted after one pass over the row.
// Tokens with equal logits are ordered by id. An object serves one thread. It allocates on its
// first row only, unless top-k or top-p sorts tokens.
class RowSampler {
 public:
  // Replaces `logits` [V] by weights in proportion to the policy of `params`. The weights must stay
  // unchanged until the last Sample(). Sample() never returns a token of `excluded`; the other
  // tokens keep their proportions. Throws Error for logits with NaN, +inf or only -inf,
  // and if every token that the policy allows is excluded.
  void Take(std::span<float> logits, const SamplingParams& params,
            std::span<const int32_t> excluded = {});

  // Returns the token at `uniform`, a random number in [0, 1). Its log-probability is that of the
  // policy with nothing excluded.
  Draw Sample(double uniform) const;

  // Returns the sum of all weights, with those of excluded tokens: weight / sum() is a token's
  // probability under the policy. (Take() has zeroed the weights of excluded tokens.)
  double sum() const { return sum_; }

 private:
  void SumChunks();

  std::span<float> weights_;
  std::vector<float> chunks_;   // sums of kSumChunk weights each
  std::vector<int32_t> order_;  // token ids, the most probable first where filters need it
  double sum_ = 0;              // of the weights that the filters kept
  double left_ = 0;             // the same, without excluded tokens
};

}  // namespace pivotal::kernels
