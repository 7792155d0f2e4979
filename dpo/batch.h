// Apache-2.0. Packed batches: log-probabilities of completions, with common prefixes computed once.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/phi_model.h"
#include "pivotal/tokenizer.h"

namespace pivotal::dpo {

// Holds C completions packed into a token forest. A target is one completion token to score: target
// m is token `target_token[m]` of completion `target_completion[m]`, and the model predicts it from
// the hidden state at forest node `sources[target_source[m]]`.
struct Batch {
  model::TokenForest forest;
  std::vector<int64_t> sources;  // [U] nodes that predict a target, ascending, each once
  at::Tensor target_source;      // [M] int64, index into `sources`
  at::Tensor target_token;       // [M] int64
  at::Tensor target_completion;  // [M] int64, index of a completion
  at::Tensor completion_length;  // [C] tokens; float64 if the model's weights are, else float32
  at::Tensor target_weight;      // [M], of the type of completion_length; undefined: all are 1
};

// Throws Error that begins with `name` if `length` tokens are more than the model has positions.
void RequireFits(const model::PhiModel& model, int64_t length, const std::string& name);

// How much a forward pass computes.
struct PassSize {
  int64_t tokens = 0;   // that go through the model
  int64_t targets = 0;  // that are scored; the logits of at most so many positions are computed
};

// Packs prompts and completions into a Batch. Tokens that they have in common go through the model
// once: for example, single-token completions of one prompt and of its prefixes cost one prompt.
class BatchBuilder {
 public:
  explicit BatchBuilder(const model::PhiModel& model);
  // Adds `completion` after `prompt` and returns the completion's index. Neither may be empty.
  // `weights`: one for each token of the completion, or none at all.
  int64_t Add(std::span<const TokenId> prompt, std::span<const TokenId> completion,
              std::span<const float> weights = {});
  Batch Build();
  PassSize Size() {
    return {forest_.Build(at::kCPU).tokens.size(0), static_cast<int64_t>(targets_.size())};
  }

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

// Chooses whether gradients flow through the normaliser (the log-sum-exp over the vocabulary). It
// cancels in losses that depend only on differences between tokens at the same position.
enum class Normaliser { kWithGradient, kConstant };

// Computes the log-probability of each target (natural log, temperature 1): [M], float32 or wider,
// in the order in which the completions were added. Forward and backward pass hold the logits of a
// limited number of positions in memory at once. `log_sum_squares`, if given, receives the log of
// the sum of all tokens' squared probabilities at each target's position: [M], without gradient.
at::Tensor TargetLogProbs(const model::PhiModel& model, const Batch& batch,
                          Normaliser normaliser = Normaliser::kWithGradient,
                          at::Tensor* log_sum_squares = nullptr);

// Sums `values` [M] over the targets of each completion, times the targets' weights: [C].
at::Tensor PerCompletion(const Batch& batch, const at::Tensor& values);
// Returns the mean of `values` [M] over the tokens of each completion, without weights: [C].
at::Tensor MeanPerToken(const Batch& batch, const at::Tensor& values);

}  // namespace pivotal::dpo
