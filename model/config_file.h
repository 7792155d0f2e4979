// Apache-2.0. Reads and writes config.json and generation_config.json of a Hugging Face folder.
#pragma once

#include <filesystem>
#include <string>

#include "model/phi_config.h"

namespace pivotal::model {

// Reads config.json as written by transformers 4 (`rope_theta`, `rope_scaling`) or 5
// (`rope_parameters`). The class is that of `architectures`, or where there are none that of
// `model_type`. Absent keys have transformers' defaults. Stop tokens come from
// generation_config.json if it names any. Throws Error for another architecture, a bad value, or an
// unsupported key that would change the result.
PhiConfig LoadPhiConfig(const std::filesystem::path& folder);

// Writes config.json for a new model, in transformers 4's form, which transformers 5 reads too.
// Throws Error unless the model is a Phi3ForCausalLM without LongRoPE or partial rotation.
void SavePhiConfig(const PhiConfig& config, const std::filesystem::path& folder);

// Copies config.json, which was read as `config`, from `origin` to `folder`, with the type of the
// weights saved there (e.g. "float32"). Phi-3-vision becomes Phi3ForCausalLM, since only its text
// model is saved, and so does LlamaForCausalLM, whose weights are saved as those of a Phi-3.
// `tie_word_embeddings` is written as `config` has it.
void CopyPhiConfig(const PhiConfig& config, const std::filesystem::path& origin,
                   const std::string& dtype, const std::filesystem::path& folder);

}  // namespace pivotal::model
