// Apache-2.0. The memory plan: whether training fits into memory, checked before it begins.
#pragma once

#include <cstdint>
#include <string>

#include "experiments/train/train_settings.h"
#include "model/memory.h"
#include "model/phi_model.h"

namespace pivotal::experiments {

// Throws Error with a remedy if the model's weights alone need more than `free` bytes. Reads the
// model's config only, so it can be called before the weights are loaded.
void RequireWeightsFit(const TrainSettings& settings, int64_t free);

// Returns what decides how much memory training needs on each of `ranks`. `tokens`: number of
// tokens in the largest forward pass.
model::TrainingShape ShapeOf(const TrainSettings& settings, const model::PhiModel& model,
                             int64_t tokens, int64_t ranks = 1);

// Throws Error if training needs more than `free` bytes beside the weights, which are loaded; the
// message proposes flags that make it fit. `longest`: number of tokens of the longest example.
void RequireTrainingFits(const model::PhiConfig& config, const model::TrainingShape& shape,
                         int64_t longest, int64_t free);

// Returns a text such as "weights 1.50 GiB, gradients ..., in total ...".
std::string FootprintText(const model::TrainingFootprint& plan);

}  // namespace pivotal::experiments
