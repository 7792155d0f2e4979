// Apache-2.0. Every setting of a training run, and train.toml, which keeps them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "dpo/loss.h"
#include "dpo/trainer.h"
#include "experiments/run_config.h"
#include "model/checkpoint.h"
#include "model/lora.h"

namespace pivotal::experiments {

// What is measured during training, beside it.
struct HeldOutSettings {
  std::filesystem::path data;  // examples of the same kind as those trained on; "": none
  ProblemSettings problems;    // solved at temperature 0; no file: none
  int32_t max_new_tokens = 256;
  int64_t every = 0;           // steps; 0: after each epoch
  std::string metric;          // that makes one evaluation better than another; "": the first of
                               // eval_accuracy and eval_loss that is measured
  int64_t patience = 0;        // end after so many evaluations without a better one; 0: never

  bool any() const { return !data.empty() || !problems.file.empty(); }
  // `metric`, or what stands for "".
  std::string Metric() const;
  // Throws Error that names the field and its range.
  void Validate() const;
};

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
  bool ignore_memory_plan = false;  // begin although it should not fit
  bool reference_cache = true;      // keep the reference's log-probabilities beside the pairs
  HeldOutSettings held_out;
  int64_t save_steps = 0;           // a checkpoint every so many steps; 0: only on a stop request
  int64_t keep = 2;                 // checkpoints that stay, the newest
  int64_t max_shard_bytes = model::kDefaultShardBytes;  // larger weight files are split

  // True if an adapter is trained, not the weights.
  bool Adapts() const { return lora.rank > 0 || !model.adapter.empty(); }
  // True if an adapter is all that is written.
  bool WritesAdapter() const { return Adapts() && !merge; }
  // Throws Error that names the field and its range.
  void Validate() const;
};

// What training starts from; checked again before it goes on.
struct TrainInputs {
  std::string weights_sha256, data_sha256;
  std::string adapter_sha256;  // "": none
};
TrainInputs InputsOf(const TrainSettings& settings);

// RUN/train.toml. Throws Error that names the file and the line or setting. `ranks`, the number that the
// run is started with, is for its reader: it may go on with another.
void SaveTrainSettings(const TrainSettings& settings, const TrainInputs& inputs, int ranks,
                       const std::filesystem::path& run);
TrainSettings LoadTrainSettings(const std::filesystem::path& run, TrainInputs& inputs);

// As those of run_config.h, by the names of train.toml; the text is without the paths of model and data.
void ApplySettings(const SettingsFile& file, TrainSettings& settings);
std::string SettingsText(const TrainSettings& settings);

}  // namespace pivotal::experiments
