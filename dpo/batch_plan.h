// Apache-2.0. Which examples share a batch, and in which order batches come.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/tokenizer.h"

namespace pivotal::dpo {

// Groups of one: 0..examples-1.
std::vector<std::vector<int64_t>> Alone(int64_t examples);

// Groups of sequences that begin one another: in each, every sequence begins the next.
std::vector<std::vector<int64_t>> Nested(std::span<const std::span<const TokenId>> sequences);

// An epoch over the examples of `groups`, cut into steps of `step_size` examples (the last may be
// smaller). Groups come in random order (a pure function of the arguments), and the examples of a
// group come one after another.
std::vector<std::vector<int64_t>> PlanEpoch(std::span<const std::vector<int64_t>> groups,
                                            int64_t step_size, uint64_t seed, int64_t epoch);

// The same without shuffling: steps of examples 0..examples-1 in their order.
std::vector<std::vector<int64_t>> PlanInOrder(int64_t examples, int64_t step_size);

}  // namespace pivotal::dpo
