// Apache-2.0. Hugging Face folders to models and back.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "data/tokenizer.h"
#include "model/phi_model.h"

namespace pivotal::model {

// "auto" (CUDA where there is one), "cpu", "cuda", "cuda:N". Throws Error if there is no such device.
at::Device ParseDevice(const std::string& name);

// "float32", "bfloat16", "float16". Throws Error that lists the names.
at::ScalarType ParseDType(const std::string& name);

// A folder as commands use it.
struct Checkpoint {
  std::filesystem::path folder;
  std::unique_ptr<PhiModel> model;
  std::unique_ptr<const data::Tokenizer> tokenizer;
};

enum class WeightUse {
  kAny,      // weights are the model's own
  kRollouts  // on a CPU they stay in the mapped file, read-only and in the file's type, where `dtype` is as wide
};

// Reads config.json, the weights (converted to `dtype`, on `device`) and the tokenizer. Throws Error
// that names the file for anything missing, damaged, of another architecture, or a tokenizer with
// more ids than the model has rows. One tensor at a time is in memory twice. Where no
// generation_config.json names stop tokens, the tokenizer's end token and the family's end-of-turn
// tokens join those of config.json.
Checkpoint LoadCheckpoint(const std::filesystem::path& folder, at::Device device,
                          at::ScalarType dtype, WeightUse use = WeightUse::kAny);

// Weights drawn from normal(0, initializer_range) as transformers initialises them; norms are one,
// biases zero.
std::unique_ptr<PhiModel> RandomModel(const PhiConfig& config, uint64_t seed);

// As save_pretrained: files up to this size, with an index where there are several.
inline constexpr int64_t kDefaultShardBytes = 5'000'000'000;

// Tensors in the files of weights, see SaveWeights; read back on the CPU, in their types.
void SaveTensors(const ParameterMap& tensors, const std::filesystem::path& folder,
                 int64_t max_shard_bytes = kDefaultShardBytes);
ParameterMap LoadTensors(const std::filesystem::path& folder);

// Puts the weights of a folder in place of the model's. Throws Error if they are of another model.
void LoadWeights(const std::filesystem::path& folder, PhiModel& model);

// Writes the weights alone: model.safetensors, or shards of at most `max_shard_bytes` (a larger
// tensor has its own) and model.safetensors.index.json.
void SaveWeights(const PhiModel& model, const std::filesystem::path& folder,
                 int64_t max_shard_bytes = kDefaultShardBytes);

// Writes a folder that transformers loads: the weights, and what else `origin` (the folder that the
// model was loaded from) holds: config.json, tokenizer, generation_config.json, chat template, code.
void SaveCheckpoint(const PhiModel& model, const std::filesystem::path& origin,
                    const std::filesystem::path& folder,
                    int64_t max_shard_bytes = kDefaultShardBytes);

// SHA-256 of the weight file of a folder (of the list of names and sums where there are several).
std::string WeightsFingerprint(const std::filesystem::path& folder);

}  // namespace pivotal::model
