// Apache-2.0. Model folders: a description of one, and one with an adapter merged into its weights.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>

#include "model/memory.h"
#include "model/phi_config.h"
#include "pivotal/model.h"

namespace pivotal::experiments {

// What there is to say of a model folder.
struct ModelDescription {
  model::PhiConfig config;
  int64_t weight_bytes = 0, weight_files = 0;  // 0: the folder has no weights
  std::string weight_type;                     // of the first tensor, as safetensors names it
  int64_t lora_rank = 0;
  // Memory that inference, full fine-tuning and LoRA of rank `lora_rank` need, in float32 and in a
  // type of 16 bits.
  std::array<model::Footprint, 2> memory;
};

// Describes a model folder. config.json is enough; weights are read once if they are there, and
// Error is thrown if one is NaN or infinite.
ModelDescription DescribeModel(const std::filesystem::path& folder, int64_t lora_rank);
// Returns the description as lines of text for people.
std::string DescriptionText(const ModelDescription& description);
// Returns it as one JSON object (data/FORMATS.md).
std::string DescriptionJson(const ModelDescription& description);

// Writes the model with its adapter added to the weights, and a model card, into the folder
// `output`. Weight files are split at `max_shard_bytes`.
void SaveMergedModel(const ModelSettings& settings, const std::filesystem::path& output,
                     int64_t max_shard_bytes);

}  // namespace pivotal::experiments
