// Apache-2.0. The model card of a training run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "experiments/train/train_settings.h"
#include "pivotal/training.h"

namespace pivotal::experiments {

// What a run knows beside its settings.
struct TrainFacts {
  int64_t examples = 0;         // in the data file
  int64_t step = 0, steps = 0;  // that were made, and that the settings ask for
  int64_t warmup = 0;           // steps in which the learning rate rises
  BestEvaluation best;
};

// Returns README.md for the folder `output`, which holds log.jsonl: where the model comes from, how
// it was trained, what the log says, and the command. Of folders and files it has the names alone.
std::string TrainCard(const TrainSettings& settings, const TrainFacts& facts,
                      const std::filesystem::path& output);

}  // namespace pivotal::experiments
