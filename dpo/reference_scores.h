// Apache-2.0. Log-probabilities of completions under a model, for a reference that stays as it is.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "dpo/ranks.h"
#include "model/phi_model.h"
#include "pivotal/progress.h"
#include "pivotal/tokenizer.h"

namespace pivotal::dpo {

struct Continuation {
  std::span<const TokenId> prompt, completion;
  std::span<const float> weights;  // of the completion's tokens; empty: all are 1
};

// Computes the log-probabilities (natural log) of continuations under `model`: [N, sides], float64,
// on the CPU. Each is a sum over the completion's tokens, by their weights. An example is `sides`
// continuations of one prompt, one after another. `batch`: examples per forward pass; `unit` names
// examples for `progress` ("pairs"). Throws Interrupted on a stop request.
at::Tensor ScoreContinuations(const model::PhiModel& model,
                              std::span<const Continuation> continuations, int64_t sides,
                              int64_t batch, const char* unit, Progress& progress);
// Computes the same on all ranks; each rank scores its share of the examples.
at::Tensor ScoreContinuations(const model::PhiModel& model,
                              std::span<const Continuation> continuations, int64_t sides,
                              int64_t batch, const char* unit, Progress& progress, Ranks& ranks);

// Computes the log-probability of every token of the completions under `model`, without weights:
// [tokens of all completions, one after another], float64, on the CPU. Each rank scores its share
// of the completions. Other arguments and errors are as above.
at::Tensor ScoreTokens(const model::PhiModel& model, std::span<const Continuation> continuations,
                       int64_t batch, const char* unit, Progress& progress, Ranks& ranks);

}  // namespace pivotal::dpo
