// Apache-2.0. Policy gradient on completions whose tokens have advantages: PPO's clipped ratio
// (arXiv 1707.06347) and a KL term to a reference (GRPO, 2402.03300).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>

#include "dpo/objective.h"
#include "dpo/ranks.h"
#include "model/phi_model.h"
#include "pivotal/pairs.h"
#include "pivotal/progress.h"

namespace pivotal::dpo {

// Computes the log-probability (natural log) of every token of the completions under `model`:
// [tokens of all completions, one after another], float64, on the CPU. Other arguments and errors
// are as for pairs.
at::Tensor ReferenceLogProbs(const model::PhiModel& model,
                             std::span<const AdvantageExample> examples, int64_t batch,
                             Progress& progress, Ranks& ranks = Alone());

// Returns the log-probabilities of all tokens under the policy that sampled them: those that the
// examples have, for the others those of `otherwise`, which is a result of ReferenceLogProbs().
// `otherwise` may be undefined if all examples have their own.
at::Tensor OldLogProbs(std::span<const AdvantageExample> examples, const at::Tensor& otherwise);

// Makes the objective of kPpo (dpo/loss.h, ComputeTokenLoss), a mean over the tokens of all
// completions of a step. `old` and `reference` are by token, as above; `reference` is not read if
// LossOptions::kl_weight is 0. Throws Error if the options are invalid, an example is longer than
// the model's positions, or the advantages of one are not as many as its tokens.
std::unique_ptr<Objective> MakePolicyObjective(const model::PhiModel& model,
                                               std::span<const AdvantageExample> examples,
                                               const LossOptions& options, at::Tensor old,
                                               at::Tensor reference);

}  // namespace pivotal::dpo
