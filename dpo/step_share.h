// Apache-2.0. Which examples of a step are a rank's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pivotal::dpo {

// The examples of `step` that rank `rank` of `ranks` computes: consecutive ones, about as many on each
// rank, rank 0 never less than one. `group_of` [examples]: examples of one group stay together where this
// moves a boundary by at most a quarter of a share. The shares of all ranks make up the step.
std::span<const int64_t> ShareOf(std::span<const int64_t> step, std::span<const int64_t> group_of,
                                 int rank, int ranks);

// Index of each example's group. `groups` hold every example once.
std::vector<int64_t> GroupOf(std::span<const std::vector<int64_t>> groups);

}  // namespace pivotal::dpo
