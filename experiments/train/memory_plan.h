// Apache-2.0. The memory plan: whether training fits into memory, checked before it begins.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "dpo/batch.h"
#include "experiments/train/train_settings.h"
#include "model/memory.h"
#include "model/phi_model.h"

namespace pivotal::experiments {

// Throws Error with a remedy if the model's weights alone need more than `free` bytes. Reads the
// model's config only, so it can be called before the weights are loaded.
// `ranks` processes divide the weights if the settings say so.
void RequireWeightsFit(const TrainSettings& settings, int64_t ranks, int64_t free);

// Returns the size of the largest forward pass under the given options.
using LargestPassOf = std::function<dpo::PassSize(const TrainOptions&)>;

// Returns what decides how much memory training with `settings` needs on each of `ranks`. Of
// `model`, which may have weights of another type or none, the trainable tensors are counted. If
// `settings` ask for an adapter that it lacks, one on all linear layers is assumed.
model::TrainingShape ShapeOf(const TrainSettings& settings, const model::PhiModel& model,
                             const dpo::PassSize& largest_pass, int64_t ranks = 1);

// Settings that need less memory than others.
struct LighterSettings {
  TrainSettings settings;
  std::string flags;  // the flags that differ, e.g. "--activation-checkpointing"
  model::TrainingFootprint plan;
};
// Tries changes of `settings`, those that cost least first: TrainSettings::fit lists them. Returns
// the first for whose total `fits` returns true, or nothing.
std::optional<LighterSettings> FirstThatFits(const TrainSettings& settings,
                                             const model::PhiModel& model,
                                             const LargestPassOf& largest_pass, int64_t ranks,
                                             const std::function<bool(int64_t)>& fits);

// Throws Error if training needs more than `free` bytes beside the weights, which are loaded; the
// message proposes flags that make it fit.
void RequireTrainingFits(const TrainSettings& settings, const model::PhiModel& model,
                         const LargestPassOf& largest_pass, int64_t ranks, int64_t free);

// Returns a text such as "weights 1.50 GiB, AdamW ..., in total ...".
std::string FootprintText(const model::TrainingFootprint& plan);

}  // namespace pivotal::experiments
