// Apache-2.0. Which GPU is a rank's.
#pragma once

#include <string>

#include "dpo/ranks.h"

namespace pivotal::experiments {

// Index of the GPU of this rank, one of several on a machine with `gpus`. Throws Error if there are fewer GPUs
// than ranks.
int OwnGpu(const dpo::Ranks& ranks, int gpus);

// What `name` (model::ParseDevice) means for this rank: where it names GPUs and not one of them, each rank of a
// machine has its own.
std::string RankDevice(const std::string& name, const dpo::Ranks& ranks);

}  // namespace pivotal::experiments
