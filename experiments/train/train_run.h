// Apache-2.0. From a model folder and a data file to a trained model folder.
#pragma once

#include <filesystem>
#include <optional>

#include "dpo/ranks.h"
#include "experiments/train/train_output.h"
#include "experiments/train/train_settings.h"
#include "pivotal/progress.h"
#include "pivotal/training.h"

namespace pivotal::experiments {

// True if training into `output` came to its end.
bool HoldsResult(const std::filesystem::path& output);

// Trains and writes `output`: the Hugging Face folder of the trained model, or a trained adapter
// alone (PEFT's files; the reference is the model without it), train.toml with every setting,
// log.jsonl with a line a step (loss, learning rate, rewards/chosen, rewards/rejected,
// rewards/margins, rewards/accuracies, ...) and a line an evaluation (eval_loss, ...), best-<step>
// with the weights of the best evaluation, checkpoint-<step>. Throws Error before anything is
// written if a setting, the data or the model is bad or the folder is not empty. On a stop request
// a checkpoint is written and Interrupted is thrown. If a file cannot be written, or an evaluation
// fails, a checkpoint is written if that can be done; the Error names the newest one.
//
// Several ranks make the steps together; rank 0 writes the files and knows the result. An Error on
// one rank leaves the others waiting: Ranks::Abandon().
TrainResult RunTraining(const TrainSettings& settings, const std::filesystem::path& output,
                        Progress& progress, dpo::Ranks& ranks = dpo::Alone());

// Goes on with a run from its newest whole checkpoint (from its start if it has none) under the
// settings of its train.toml, which are given back; on the CPU it ends as if it had never stopped,
// bit by bit. log.jsonl is cut back to the checkpoint. Throws Error if the run is finished, its
// data or the weights that it began with have changed, or no checkpoint is whole.
// `max_oracle_failures` takes the place of the setting.
TrainResult ResumeTraining(const std::filesystem::path& output, TrainSettings& settings,
                           Progress& progress, dpo::Ranks& ranks = dpo::Alone(),
                           std::optional<double> max_oracle_failures = {});

}  // namespace pivotal::experiments
