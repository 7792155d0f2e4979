// Apache-2.0. Training objectives: the loss of a model on examples (preference pairs, completions).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dpo/batch.h"
#include "dpo/following_reference.h"
#include "dpo/loss.h"
#include "dpo/ranks.h"
#include "model/phi_model.h"
#include "pivotal/pairs.h"
#include "pivotal/progress.h"

namespace pivotal::dpo {

// Holds the contribution of some examples to the mean loss and the mean metrics of an optimizer
// step.
struct LossTerms {
  at::Tensor loss;  // scalar, with gradients
  // Scalars without gradients, by TRL's names, e.g. "rewards/margins".
  std::map<std::string, at::Tensor> metrics;
};

// Computes the loss of a model on the examples 0..size()-1. Examples and model must outlive the
// objective.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual int64_t size() const = 0;
  // Returns groups of examples that are cheaper to compute together because they have tokens in
  // common. Each example is in exactly one group.
  virtual std::vector<std::vector<int64_t>> Groups() const = 0;
  // Returns how many tokens go through the model if `example` is computed alone.
  virtual int64_t Length(int64_t example) const = 0;
  // Returns the size of the pass that computes `examples` together: tokens that they have in common
  // count once.
  virtual PassSize SizeOf(std::span<const int64_t> examples) const = 0;
  // Returns a name of `example` for error messages.
  virtual std::string Name(int64_t example) const = 0;
  // Returns what the loss must know of all examples of a step before a part of it is computed, as
  // far as `share` of the step gives it; the sum over shares that make up the step is given to
  // Compute(). Float64, on the model's device, without gradients; undefined if it needs nothing.
  // `batch`: examples per forward pass.
  virtual at::Tensor Survey(std::span<const int64_t> share, int64_t batch) const {
    (void)share, (void)batch;
    return {};
  }
  // Computes the contribution of `examples` to the means over `step`, all examples of an optimizer
  // step. If subsets make up the step, their terms add up to the terms of the whole step.
  virtual LossTerms Compute(std::span<const int64_t> examples, std::span<const int64_t> step,
                            const at::Tensor& survey) const = 0;
  // Does both in one process.
  LossTerms Compute(std::span<const int64_t> examples, std::span<const int64_t> step) const {
    return Compute(examples, step, Survey(step, std::ssize(step)));
  }
};

// Computes the log-probabilities (natural log) of both sides of each pair under `model`: [P, 2]
// (chosen, rejected), float64, on the CPU. Each is a sum over the side's tokens, by the pair's
// weights. `batch`: pairs per forward pass. Each rank scores its share of the pairs. Throws
// Interrupted on a stop request.
at::Tensor ReferenceLogProbs(const model::PhiModel& model, std::span<const PreferencePair> pairs,
                             int64_t batch, Progress& progress, Ranks& ranks = Alone());

// Multiplies by `alpha` the weights of a side's tokens that lie beyond the length of the other side
// (LossOptions::ld_alpha). The reference must be scored with these weights, too.
void DiscountTails(std::span<PreferencePair> pairs, double alpha);

// Makes the objective of a preference loss (dpo/loss.h), a mean over pairs. `reference` is the
// result of ReferenceLogProbs() under the reference model, or undefined if the method has none.
// Throws Error if the options are invalid or a pair is longer than the model's positions.
//
// Pairs whose prompts are prefixes of one another go through the model together. If all sides are
// single tokens and the loss depends on log-probability differences only, the softmax normaliser
// cancels and gets no gradient.
std::unique_ptr<Objective> MakePreferenceObjective(const model::PhiModel& model,
                                                   std::span<const PreferencePair> pairs,
                                                   const LossOptions& options,
                                                   at::Tensor reference);
// Makes the same with a reference that follows the policy. Each forward pass computes its
// log-probabilities anew. `reference` must outlive the objective, and begin before it computes.
std::unique_ptr<Objective> MakePreferenceObjective(const model::PhiModel& model,
                                                   std::span<const PreferencePair> pairs,
                                                   const LossOptions& options,
                                                   const FollowingReference& reference);

// Makes the objective of supervised fine-tuning: the next-token loss, a mean over the tokens of
// completions. Throws Error if an example is longer than the model's positions.
std::unique_ptr<Objective> MakeSftObjective(const model::PhiModel& model,
                                            std::span<const PromptCompletion> examples);

}  // namespace pivotal::dpo
