// Apache-2.0. Loads models from Hugging Face folders, and saves them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "model/phi_model.h"
#include "model/tensor_transfer.h"
#include "model/weight_files.h"
#include "pivotal/tokenizer.h"

namespace pivotal::model {

// Parses "auto" (CUDA if usable, else the CPU), "cpu", "cuda" or "cuda:N". Throws Error for other
// names and for a device that is not there.
at::Device ParseDevice(const std::string& name);

// Parses "float32", "bfloat16" or "float16". Throws Error for other names.
at::ScalarType ParseDType(const std::string& name);

// A loaded folder.
struct Checkpoint {
  std::filesystem::path folder;
  std::unique_ptr<PhiModel> model;
  std::unique_ptr<const Tokenizer> tokenizer;
};

// Reads config.json, the weights (as `dtype`, on `device`, those of linear layers stored as `base`
// says; see ReadWeights) and the tokenizer. If no generation_config.json names stop tokens, adds
// the tokenizer's end token and the family's end-of-turn tokens to those of config.json. Throws
// Error that names the file if something is missing, damaged or of another architecture, or if the
// tokenizer has more ids than the model.
Checkpoint LoadCheckpoint(const std::filesystem::path& folder, at::Device device,
                          at::ScalarType dtype, WeightUse use = WeightUse::kAny,
                          BaseWeights base = BaseWeights::kPlain, const ChooseWeights& choose = {});

// Makes a model with random weights as transformers initialises them: normal(0,
// initializer_range), norms one, biases zero.
std::unique_ptr<PhiModel> RandomModel(const PhiConfig& config, uint64_t seed);

// Weight files have at most this size by default, as those of save_pretrained.
inline constexpr int64_t kDefaultShardBytes = 5'000'000'000;

// Writes tensors into a folder: model.safetensors, or shards of at most `max_shard_bytes` with
// model.safetensors.index.json. A larger tensor has a shard of its own. `fetch`, if given, returns
// the tensors, of which `tensors` then give only shape and type.
void SaveTensors(const ParameterMap& tensors, const std::filesystem::path& folder,
                 int64_t max_shard_bytes = kDefaultShardBytes, const FetchTensor& fetch = {});
// Returns the tensors of a folder in their types: read-only, in the mapped files, and so in memory
// only once they are read.
ParameterMap LoadTensors(const std::filesystem::path& folder);

// Overwrites the model's weights with those of a folder; leaves out weights that have no memory.
// Throws Error if names or shapes differ, or a weight is NaN or infinite.
void LoadWeights(const std::filesystem::path& folder, PhiModel& model);

// Writes the weights only, as SaveTensors does. Throws Error for quantised weights.
void SaveWeights(const PhiModel& model, const std::filesystem::path& folder,
                 int64_t max_shard_bytes = kDefaultShardBytes, const FetchTensor& fetch = {});

// Writes a folder that transformers loads: the weights, and from `origin`, the folder that the
// model was loaded from, config.json, generation_config.json, tokenizer, chat template and code.
void SaveCheckpoint(const PhiModel& model, const std::filesystem::path& origin,
                    const std::filesystem::path& folder,
                    int64_t max_shard_bytes = kDefaultShardBytes, const FetchTensor& fetch = {});

// Returns the bytes that SaveCheckpoint writes, but for the headers of weight files.
int64_t SavedBytes(const PhiModel& model, const std::filesystem::path& origin);

// Returns the SHA-256 of a folder's weight file, or of the list of names and sums of its shards.
std::string WeightsFingerprint(const std::filesystem::path& folder);

}  // namespace pivotal::model
