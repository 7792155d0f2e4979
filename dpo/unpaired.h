// Apache-2.0. Training on single completions that are good or bad (KTO, arXiv 2402.01306).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dpo/following_reference.h"
#include "dpo/objective.h"
#include "dpo/ranks.h"
#include "model/phi_model.h"
#include "pivotal/pairs.h"
#include "pivotal/progress.h"

namespace pivotal::dpo {

// Examples, and for each one another example whose completion stands after its prompt in the KL
// term.
struct UnpairedData {
  std::span<const UnpairedExample> examples;
  std::vector<int64_t> mismatched;  // by example; empty if the loss has no KL term
};

// Chooses the mismatched completions as TRL does: within each block of `block` examples in the
// order of the file, an example is given the completion of the one before it, and the first that of
// the last. Differs from TRL in two things: an example with the same prompt is passed over while
// the block has one with another prompt, and a last block of one example belongs to the block
// before it. `block` is the number of examples of an optimizer step. Throws Error if the loss needs
// mismatched completions and there are fewer than two examples or `block` is 1.
UnpairedData MismatchCompletions(std::span<const UnpairedExample> examples,
                                 const LossOptions& options, int64_t block);

// Computes the log-probabilities under the reference model: [N, 2] (the completion, the mismatched
// one), or [N, 1] without a KL term; float64, on the CPU. Other arguments and errors are as for
// pairs.
at::Tensor ReferenceLogProbs(const model::PhiModel& model, const UnpairedData& data, int64_t batch,
                             Progress& progress, Ranks& ranks = Alone());

// Makes the objective of KTO, a mean over examples. The KL term of a step is the mean over its
// mismatched completions of log pi/ref, at least 0; it has no gradient. So all forward passes and
// ranks of a step share it, where TRL has one for each forward pass. A mismatched completion that
// is too long for the model's positions is cut. `reference` is the result of ReferenceLogProbs().
// Throws Error if the options are invalid or an example is longer than the model's positions.
std::unique_ptr<Objective> MakeUnpairedObjective(const model::PhiModel& model, UnpairedData data,
                                                 const LossOptions& options, at::Tensor reference);
// Makes the same with a reference that follows the policy.
std::unique_ptr<Objective> MakeUnpairedObjective(const model::PhiModel& model, UnpairedData data,
                                                 const LossOptions& options,
                                                 const FollowingReference& reference);

}  // namespace pivotal::dpo
