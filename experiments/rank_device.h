// Apache-2.0. Which GPU is a rank's.
#pragma once

#include <string>

namespace pivotal::experiments {

// A rank among those of its machine.
struct Neighbour {
  int number = 0, of = 1;
};

// Index of the GPU of a rank, one of several on a machine with `gpus`. Throws Error if there are fewer GPUs than ranks.
int OwnGpu(Neighbour rank, int gpus);

// What `name` (model::ParseDevice) means for this rank: where it names GPUs and not one of them, each rank of a
// machine has its own.
std::string RankDevice(const std::string& name, Neighbour rank);

}  // namespace pivotal::experiments
