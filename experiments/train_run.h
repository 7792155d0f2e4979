// Apache-2.0. From a model folder and a data file to a trained model folder.
#pragma once

#include <filesystem>
#include <string>

#include "data/progress.h"
#include "dpo/trainer.h"
#include "experiments/run_config.h"
#include "model/lora.h"

namespace pivotal::experiments {

struct TrainSettings {
  ModelSettings model;
  std::filesystem::path data;  // pairs, or prompt/completion lines (sft)
  bool sft = false;            // next-token loss on completions instead of a preference loss
  dpo::LossOptions loss;
  dpo::TrainOptions options;
  model::LoraOptions lora;          // of rank 0: all weights are trained, or the adapter of `model`
  bool merge = false;               // write the trained adapter's weights added to the model's
  std::vector<std::string> freeze;  // model::FrozenWeights; without an adapter only
  bool activation_checkpointing = false;
  int64_t max_shard_bytes = model::kDefaultShardBytes;  // larger weight files are split
};

// Trains and writes `output`: the Hugging Face folder of the trained model, or a trained adapter alone
// (PEFT's files; the reference is the model without it), train.toml with every setting, log.jsonl
// with a line a step (loss, learning rate, rewards/chosen, rewards/rejected, rewards/margins,
// rewards/accuracies, ...). Throws Error before anything is written if a setting,
// the data or the model is bad or the folder is not empty. On a stop request the weights so far go
// to output/interrupted and Interrupted is thrown.
dpo::StepLog RunTraining(const TrainSettings& settings, const std::filesystem::path& output,
                         Progress& progress);

}  // namespace pivotal::experiments
