// Apache-2.0. Low-rank adapters (LoRA, arXiv 2106.09685), read and written in PEFT's format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/phi_model.h"
#include "model/weights.h"
#include "pivotal/training.h"

namespace pivotal::model {

struct Adapter {
  LoraOptions options;
  std::map<std::string, LowRank> updates;  // by layer, e.g. "model.layers.0.self_attn.o_proj"
};

// Makes an adapter without effect, as PEFT initialises it: A uniform in +-1/sqrt(in) (Kaiming with
// a = sqrt(5)), B zero. The values depend only on seed and layer. The tensors are on the model's
// device, in float32 (float64 if the model is). Throws Error for a module that fits no layer.
std::shared_ptr<const Adapter> NewAdapter(const PhiModel& model, const LoraOptions& options,
                                          uint64_t seed);

// Reads adapter_config.json and adapter_model.safetensors. Updates of queries, keys and values, or
// of gate and up, one by one (as a Llama names them) become one update of the merged layer, whose
// rank is their sum; all layers then have that rank, filled up with zeros, and the same scale.
// Throws Error that names the file and the key or tensor if the adapter does not fit `model`, is
// more than low-rank updates of linear layers (DoRA, trained biases, different ranks), was trained
// on changed weights (PiSSA), or holds NaN.
std::shared_ptr<const Adapter> LoadAdapter(const std::filesystem::path& folder,
                                           const PhiModel& model);

// Writes both files, as PEFT loads them. `base` is the folder of the adapter's model.
void SaveAdapter(const Adapter& adapter, const std::filesystem::path& base,
                 const std::filesystem::path& folder);

// Adds the model's adapter to its weights, and removes the adapter. Throws Error if weights are
// quantised.
void MergeAdapter(PhiModel& model);

// Returns a SHA-256 of both files of an adapter.
std::string AdapterFingerprint(const std::filesystem::path& folder);

}  // namespace pivotal::model
