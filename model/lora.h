// Apache-2.0. Low-rank adapters (LoRA, arXiv 2106.09685) in the files of PEFT.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/phi_model.h"
#include "model/weights.h"

namespace pivotal::model {

struct LoraOptions {
  int64_t rank = 0;     // 0: no adapter
  double alpha = 16;
  bool rslora = false;  // scale alpha / sqrt(rank) (arXiv 2312.03732) in place of alpha / rank
  // Ends of the names of linear layers, as PEFT's target_modules ("qkv_proj", "self_attn.o_proj");
  // empty: all of the decoder layers.
  std::vector<std::string> modules = {};

  // Throws Error that names the field and its range.
  void Validate() const;
  double Scale() const;
};

struct Adapter {
  LoraOptions options;
  std::map<std::string, LowRank> updates;  // by linear layer, "model.layers.0.self_attn.o_proj"
};

// An adapter that changes nothing yet, as PEFT draws it: A uniform in +-1/sqrt(in) (Kaiming with
// a = sqrt(5)), B zero; a pure function of seed and layer. On the model's device, in float32 or the
// model's wider type. Throws Error for a module that fits no layer.
std::shared_ptr<const Adapter> NewAdapter(const PhiModel& model, const LoraOptions& options,
                                          uint64_t seed);

// Reads adapter_config.json and adapter_model.safetensors. Throws Error that names the file for what
// does not fit `model`, or an adapter that is more than low-rank updates of its linear layers (DoRA,
// trained biases, ranks that differ).
std::shared_ptr<const Adapter> LoadAdapter(const std::filesystem::path& folder,
                                           const PhiModel& model);

// Writes the two files, which PEFT loads. `base`: the folder of the model that it belongs to.
void SaveAdapter(const Adapter& adapter, const std::filesystem::path& base,
                 const std::filesystem::path& folder);

// Adds the model's adapter into its weights, and takes it off.
void MergeAdapter(PhiModel& model);

// SHA-256 that changes with either file.
std::string AdapterFingerprint(const std::filesystem::path& folder);

}  // namespace pivotal::model
