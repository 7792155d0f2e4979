// Apache-2.0.
#include "experiments/rank_device.h"

#include <ATen/Context.h>

#include "data/error.h"
#include "model/checkpoint.h"

namespace pivotal::experiments {

int OwnGpu(const dpo::Ranks& ranks, int gpus) {
  if (ranks.neighbours() > gpus)
    Fail("{} ranks on a machine with {} GPUs: start one a GPU (mpirun -n {}); where CUDA_VISIBLE_DEVICES "
         "gives each rank its own, say --device cuda:0", ranks.neighbours(), gpus, gpus);
  return ranks.neighbour();
}

std::string RankDevice(const std::string& name, const dpo::Ranks& ranks) {
  const bool any = name == "auto" || name == "cuda";
  if (!any || ranks.neighbours() == 1 || !model::ParseDevice(name).is_cuda()) return name;
  return fmt::format("cuda:{}", OwnGpu(ranks, static_cast<int>(at::getNumGPUs())));
}

}  // namespace pivotal::experiments
