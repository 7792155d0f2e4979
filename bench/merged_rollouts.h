// Apache-2.0. Very many rollouts of few prefixes, at the cost of those that differ.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "kernels/sample_row.h"
#include "model/phi_model.h"
#include "model/policy.h"

namespace pivotal::bench {

// (request, sampled tokens, how many of its rollouts are these).
using MergedSink =
    std::function<void(std::size_t request, std::span<const TokenId> tokens, int32_t count)>;

// Draws requests[i].count independent rollouts of each request, as model::RolloutEngine would, but
// rollouts that are equal so far share a row of the batch: a token that ten thousand of them draw
// costs one step. Not for models with LongRoPE. Returns the number of tokens decoded.
int64_t SampleMerged(const model::PhiModel& model, const kernels::SamplingParams& sampling,
                     uint64_t seed, std::span<const model::RolloutRequest> requests,
                     const MergedSink& sink);

}  // namespace pivotal::bench
