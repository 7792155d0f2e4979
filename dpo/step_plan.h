// Apache-2.0. Step plans: which examples each optimizer step holds, and which of them a rank
// computes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pivotal/tokenizer.h"

namespace pivotal::dpo {

// Returns groups of one example each: {0}, {1}, ..., {examples - 1}.
std::vector<std::vector<int64_t>> SingleGroups(int64_t examples);

// Groups sequences by prefix: within a group, each sequence is a prefix of the next one (or equal
// to it). Returns indices into `sequences`; each index is in exactly one group.
std::vector<std::vector<int64_t>> PrefixGroups(std::span<const std::span<const TokenId>> sequences);

// Returns the group index of each example. `groups` hold every example exactly once.
std::vector<int64_t> GroupOf(std::span<const std::vector<int64_t>> groups);

// Plans one shuffled epoch: the examples of each step. A step has `step_size` examples; the last
// one may have fewer. Groups come in random order, the examples of a group consecutively. The
// result is a pure function of the arguments.
std::vector<std::vector<int64_t>> PlanEpoch(std::span<const std::vector<int64_t>> groups,
                                            int64_t step_size, uint64_t seed, int64_t epoch);

// Plans one epoch without shuffling: steps of examples 0, 1, ..., examples - 1 in this order.
std::vector<std::vector<int64_t>> PlanInOrder(int64_t examples, int64_t step_size);

// Returns the share of rank `rank` of `ranks`: the consecutive examples of `step` that it computes.
// The shares of all ranks together are the step. They have about equal size, and rank 0's share is
// never empty. Examples of one group (`group_of`, by example) stay on one rank where that moves a
// boundary between shares by at most a quarter of a share.
std::span<const int64_t> ShareOf(std::span<const int64_t> step, std::span<const int64_t> group_of,
                                 int rank, int ranks);

}  // namespace pivotal::dpo
