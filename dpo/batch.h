// Apache-2.0. Completions to score under a model, packed.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/tokenizer.h"
#include "model/phi_model.h"

namespace pivotal::dpo {

// M targets: token `target_token[m]` predicted at node `sources[target_source[m]]` of a forest, one
// of the tokens of completion `target_completion[m]`.
struct Batch {
  model::TokenForest forest;
  std::vector<int64_t> sources;  // [U], ascending
  at::Tensor target_source;      // [M] int64
  at::Tensor target_token;       // [M] int64
  at::Tensor target_completion;  // [M] int64
  at::Tensor completion_length;  // [C], float32 or wider as the model
  at::Tensor target_weight;      // [M]; undefined: all one
};

// Throws Error that begins with `name` if a sequence of `length` tokens is longer than the model's
// positions.
void RequireFits(const model::PhiModel& model, int64_t length, const std::string& name);

// Collects completions of prompts. What they have in common goes through the model once: single tokens
// after one prompt, or after prompts that begin each other, are scored on one path.
class BatchBuilder {
 public:
  explicit BatchBuilder(const model::PhiModel& model);
  // Scores `completion` after `prompt`, neither of them empty; returns its index. `weights`: one a
  // token of the completion, or none.
  int64_t Add(std::span<const TokenId> prompt, std::span<const TokenId> completion,
              std::span<const float> weights = {});
  Batch Build();
  // Tokens of the forest that Build() would make, and nothing else of it.
  int64_t Nodes() { return forest_.Build(at::kCPU).tokens.size(0); }

 private:
  struct Target {
    int64_t sequence, column;
    TokenId token;
    int64_t completion;
    double weight;
  };
  const model::PhiModel& model_;
  model::ForestBuilder forest_;
  std::vector<Target> targets_;
  std::vector<double> lengths_;
  bool weighted_ = false;
};

// Whether gradients flow through the normaliser of the log-probabilities. Where a loss reads nothing
// but differences between tokens of one position, it cancels.
enum class Normaliser { kWithGradient, kConstant };

// Log-probability of each target (temperature 1, natural log): [M], float32 or wider, in the order in
// which they were added. The logits of a few positions at most are in memory at once, in the backward
// pass too.
at::Tensor TargetLogProbs(const model::PhiModel& model, const Batch& batch,
                          Normaliser normaliser = Normaliser::kWithGradient);

// Sum of targets `values` [M] per completion, by their weights: [C].
at::Tensor PerCompletion(const Batch& batch, const at::Tensor& values);

}  // namespace pivotal::dpo
