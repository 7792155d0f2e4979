// Apache-2.0. Model folders: a description of one, and one with an adapter merged into its weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "pivotal/model.h"

namespace pivotal::experiments {

// Returns lines of text for people: shape, size and files of a model folder, and the memory that
// inference, full fine-tuning and LoRA of rank `lora_rank` need. config.json is enough; weights are
// read once if they are there, and Error is thrown if one is NaN or infinite.
std::string DescribeModel(const std::filesystem::path& folder, int64_t lora_rank);

// Writes the model with its adapter added to the weights, and a model card, into the folder
// `output`. Weight files are split at `max_shard_bytes`.
void SaveMergedModel(const ModelSettings& settings, const std::filesystem::path& output,
                     int64_t max_shard_bytes);

}  // namespace pivotal::experiments
