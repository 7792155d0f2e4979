// Apache-2.0. What is trained: examples in, a loss out.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/preference_pair.h"
#include "data/progress.h"
#include "dpo/loss.h"
#include "dpo/ranks.h"
#include "model/phi_model.h"

namespace pivotal::dpo {

// What some examples add to a step's mean loss and to its mean metrics.
struct LossTerms {
  at::Tensor loss;                            // scalar, with gradients
  std::map<std::string, at::Tensor> metrics;  // scalars without, under TRL's names, e.g. "rewards/margins"
};

// Examples 0..size()-1 and their loss under a model. Examples outlive the objective.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual int64_t size() const = 0;
  // Examples that are cheaper together, because they share tokens; each example is in one group.
  virtual std::vector<std::vector<int64_t>> Groups() const = 0;
  // Tokens that example i puts through the model on its own.
  virtual int64_t Length(int64_t example) const = 0;
  // Tokens that go through the model for `examples` together: what they share counts once.
  virtual int64_t PackedLength(std::span<const int64_t> examples) const = 0;
  // For error messages.
  virtual std::string Name(int64_t example) const = 0;
  // The share of `examples` in the mean over `step`, all examples of an optimizer step: the shares of
  // parts that make up a step add up to what the step gives at once.
  virtual LossTerms Compute(std::span<const int64_t> examples,
                            std::span<const int64_t> step) const = 0;
};

// Log-probabilities of both sides of each pair, chosen and rejected, summed over their tokens by the
// pair's weights: [P, 2], float64, on the CPU. `batch`: pairs per forward pass.
at::Tensor ReferenceLogProbs(const model::PhiModel& model,
                             std::span<const data::PreferencePair> pairs, int64_t batch,
                             Progress& progress);
// The same on all ranks, of which each computes a share.
at::Tensor ReferenceLogProbs(const model::PhiModel& model,
                             std::span<const data::PreferencePair> pairs, int64_t batch,
                             Progress& progress, Ranks& ranks);

// A preference loss (dpo/loss.h), a mean over pairs. `reference`: ReferenceLogProbs() of the reference
// model; undefined where the method has none. Pairs of one trunk go through the model together; where
// all sides are single tokens and the loss reads differences only, no gradient goes through the
// vocabulary.
std::unique_ptr<Objective> MakePreferenceObjective(const model::PhiModel& model,
                                                   std::span<const data::PreferencePair> pairs,
                                                   const LossOptions& options,
                                                   at::Tensor reference);

// Next-token loss on completions, a mean over their tokens.
std::unique_ptr<Objective> MakeSftObjective(const model::PhiModel& model,
                                            std::span<const data::PromptCompletion> examples);

}  // namespace pivotal::dpo
