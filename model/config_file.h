// Apache-2.0. config.json and generation_config.json of a Hugging Face folder.
#pragma once

#include <filesystem>

#include "model/phi_config.h"

namespace pivotal::model {

// Reads config.json as transformers 4 (`rope_theta`, `rope_scaling`) or 5 (`rope_parameters`)
// writes it; absent keys have transformers' defaults. Throws Error for another architecture, a key
// that would change the result and is not supported, or a bad value. `eos_token_ids` come from
// generation_config.json where that names them.
PhiConfig LoadPhiConfig(const std::filesystem::path& folder);

// Writes config.json in transformers 4's form, which transformers 5 reads too. Only for a model
// that no folder describes yet: throws Error unless it is a Phi3ForCausalLM with plain positions.
void SavePhiConfig(const PhiConfig& config, const std::filesystem::path& folder);

// Copies config.json of `origin` to `folder`, with the dtype of the weights that go with it (e.g.
// "float32"). What was read as Phi-3-vision's text model is a Phi3ForCausalLM from then on.
void CopyPhiConfig(const std::filesystem::path& origin, const std::string& dtype,
                   const std::filesystem::path& folder);

}  // namespace pivotal::model
