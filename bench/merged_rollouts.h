// Apache-2.0. Samples very many rollouts of few prefixes, computing equal ones once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "model/phi_model.h"
#include "pivotal/policy.h"
#include "pivotal/sampling.h"

namespace pivotal::bench {

// Receives the sampled tokens of finished rollouts, and how many rollouts of the request equal
// them.
using MergedSink =
    std::function<void(std::size_t request, std::span<const TokenId> tokens, int32_t count)>;

// Samples requests[i].count independent rollouts of each request, as model::RolloutEngine does, but
// keeps rollouts that are equal so far in one row of the batch: a token that ten thousand of them
// draw is computed once. Does not support LongRoPE. Returns the number of decoded tokens.
int64_t SampleMerged(const model::PhiModel& model, const SamplingParams& sampling, uint64_t seed,
                     std::span<const RolloutRequest> requests, const MergedSink& sink);

}  // namespace pivotal::bench
