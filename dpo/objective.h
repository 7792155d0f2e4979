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
#include "model/phi_model.h"

namespace pivotal::dpo {

// Sums over the examples of a micro-batch; the trainer divides by weights.
struct LossTerms {
  at::Tensor loss;                        // scalar, with gradients
  std::map<std::string, double> metrics;  // under TRL's names, e.g. "rewards/margins"
};

// Examples 0..size()-1 and their loss under a model. Examples outlive the objective.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual int64_t size() const = 0;
  // Tokens that example i puts through the model; batches are made of similar lengths.
  virtual int64_t Length(int64_t example) const = 0;
  // What the loss is a mean over: pairs, or tokens of completions.
  virtual double Weight(int64_t example) const = 0;
  // For error messages.
  virtual std::string Name(int64_t example) const = 0;
  virtual LossTerms Compute(std::span<const int64_t> examples) const = 0;
};

// DPO with the sigmoid loss (dpo/loss.h). The reference is the model as it is now: its
// log-probabilities of all pairs are computed here, once, in batches of `batch`.
std::unique_ptr<Objective> MakeDpoObjective(const model::PhiModel& model,
                                            std::span<const data::PreferencePair> pairs,
                                            double beta, double rpo_alpha, int64_t batch,
                                            Progress& progress);

// Next-token loss on completions, a mean over their tokens.
std::unique_ptr<Objective> MakeSftObjective(const model::PhiModel& model,
                                            std::span<const data::PromptCompletion> examples);

}  // namespace pivotal::dpo
