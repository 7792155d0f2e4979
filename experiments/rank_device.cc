// Apache-2.0.
#include "experiments/rank_device.h"

#include <ATen/Context.h>

#include "data/error.h"
#include "model/checkpoint.h"

namespace pivotal::experiments {

int OwnGpu(Neighbour rank, int gpus) {
  if (rank.of > gpus)
    Fail("{} ranks on a machine with {} GPUs: start one a GPU (mpirun -n {}); where CUDA_VISIBLE_DEVICES "
         "gives each rank its own, say --device cuda:0", rank.of, gpus, gpus);
  return rank.number;
}

std::string RankDevice(const std::string& name, Neighbour rank) {
  const bool any = name == "auto" || name == "cuda";
  if (!any || rank.of == 1 || !model::ParseDevice(name).is_cuda()) return name;
  return fmt::format("cuda:{}", OwnGpu(rank, static_cast<int>(at::getNumGPUs())));
}

}  // namespace pivotal::experiments
