// Apache-2.0. Which examples share a batch, and in which order batches come.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pivotal::dpo {

// A shuffled epoch over `lengths.size()` examples in batches of `batch_size` (the last of a window
// may be smaller). Examples of a batch have similar lengths: each window of 32 shuffled batches is
// sorted by length, and its batches are shuffled again. A pure function of its arguments.
std::vector<std::vector<int64_t>> PlanEpoch(std::span<const int64_t> lengths, int64_t batch_size,
                                            uint64_t seed, int64_t epoch);

}  // namespace pivotal::dpo
