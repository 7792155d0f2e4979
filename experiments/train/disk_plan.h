// Apache-2.0. The disk plan: whether the files of a training run fit on the disk, checked before it
// begins.
#pragma once

#include <cstdint>
#include <filesystem>

#include "experiments/train/train_settings.h"
#include "model/phi_model.h"

namespace pivotal::experiments {

// What a run writes, in bytes.
struct DiskPlan {
  int64_t result = 0;      // the trained model or adapter
  int64_t checkpoint = 0;  // one checkpoint
  int64_t best = 0;        // the weights of one evaluation
  // How many of them the disk must hold at once beside those that are there. A new one is whole
  // before an old one is removed.
  int64_t checkpoints = 0, bests = 0;
  int64_t Total() const { return result + checkpoints * checkpoint + bests * best; }
};

// `steps` is the number of steps that are left. `output` may hold files of the run already.
DiskPlan DiskPlanOf(const TrainSettings& settings, const model::PhiModel& model, int64_t steps,
                    const std::filesystem::path& output);

// Throws Error with a remedy if the disk of `output` has less room than the plan needs. `output`
// need not exist.
void RequireDiskFits(const DiskPlan& plan, const std::filesystem::path& output);

}  // namespace pivotal::experiments
