// Apache-2.0. Sequences and the tokens to score in them, as tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "data/tokenizer.h"
#include "model/phi_model.h"

namespace pivotal::dpo {

// B sequences padded on the right to T, and M targets: token `target_token[m]` predicted at the
// U distinct positions `source` (flat, row * T + column), summed into one of `segments` sums.
struct Batch {
  at::Tensor tokens;          // [B, T] int64
  std::vector<int64_t> lengths;  // [B], of the whole sequences, their last tokens included
  at::Tensor source;          // [U] int64
  at::Tensor target_source;   // [M] int64, index into `source`
  at::Tensor target_token;    // [M] int64
  at::Tensor target_segment;  // [M] int64
  int64_t segments = 0;
};

// Collects sequences and targets. A hidden state that several targets share is used once.
class BatchBuilder {
 public:
  // Scores `completion` after `prompt` (not empty) as one segment; returns the segment.
  int64_t AddCompletion(std::span<const TokenId> prompt, std::span<const TokenId> completion);
  // Scores two completions of one prompt as two consecutive segments; returns the first. Single
  // tokens share one sequence and one hidden state.
  int64_t AddPair(std::span<const TokenId> prompt, std::span<const TokenId> first,
                  std::span<const TokenId> second);
  Batch Build(at::Device device) const;

 private:
  struct Target {
    int64_t row, column;
    TokenId token;
    int64_t segment;
  };
  int64_t AddSequence(std::span<const TokenId> prompt, std::span<const TokenId> rest);

  std::vector<std::vector<TokenId>> sequences_;
  std::vector<Target> targets_;
  int64_t segments_ = 0;
};

// Log-probability of each target (temperature 1, natural log): [M], float32 or wider, in the order in
// which targets were added. Without gradients the logits of at most a few hundred positions are in
// memory at once.
at::Tensor TargetLogProbs(const model::PhiModel& model, const Batch& batch);

// Sum of the targets' log-probabilities (temperature 1, natural log) per segment: [segments],
// float32 or wider. Gradients flow to the model's weights unless grad mode is off.
at::Tensor SegmentLogProbs(const model::PhiModel& model, const Batch& batch);

}  // namespace pivotal::dpo
