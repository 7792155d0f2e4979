// Apache-2.0. Whether training fits into memory, asked before it begins.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/train_settings.h"
#include "model/footprint.h"
#include "model/phi_model.h"

namespace pivotal::experiments {

// Throws Error with a remedy if the weights alone are larger than the memory that is free; before they
// are loaded.
void RequireWeightsFit(const TrainSettings& settings, int64_t free);

// What is trained, `tokens` going through the model at once on each of `ranks`.
model::TrainingShape ShapeOf(const TrainSettings& settings, const model::PhiModel& model,
                             int64_t tokens, int64_t ranks = 1);

// Throws Error with what would fit instead if training, of which the weights are loaded, needs more than
// `free` bytes. `alone`: tokens of the longest example.
void RequireFits(const model::PhiConfig& config, const model::TrainingShape& shape, int64_t alone,
                 int64_t free);

// "weights 1.50 GiB, gradients ..., in all ..."
std::string Text(const model::TrainingFootprint& plan);

}  // namespace pivotal::experiments
