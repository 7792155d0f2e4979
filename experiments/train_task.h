// Apache-2.0. A data file as an objective of training.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "data/pair_file.h"
#include "data/progress.h"
#include "dpo/objective.h"
#include "experiments/train_settings.h"

namespace pivotal::experiments {

// Examples, and the loss over them; stays where it is.
struct TrainTask {
  std::vector<data::PreferencePair> pairs;
  std::vector<data::PromptCompletion> completions;
  std::unique_ptr<dpo::Objective> objective;
};

// The examples of `file` under the loss of `settings`. The reference is `model` as it is now, whose
// weights have the fingerprint `weights_sha256`.
std::unique_ptr<const TrainTask> MakeTrainTask(const TrainSettings& settings,
                                               const std::filesystem::path& file,
                                               const LoadedModel& model,
                                               const std::string& weights_sha256, Progress& progress,
                                               dpo::Ranks& ranks);

}  // namespace pivotal::experiments
