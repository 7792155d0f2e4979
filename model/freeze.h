// Apache-2.0. Which weights training leaves as they are.
#pragma once

#include <set>
#include <span>
#include <string>

#include "model/phi_model.h"

namespace pivotal::model {

// The names of the weights that `modules` choose. A module is the beginning of names, cut at a dot
// and without "model.": "embed_tokens", "layers.3.mlp", "lm_head"; or a range of layers with both
// ends, "layers.0-15". A tied output matrix goes with embed_tokens. Throws Error for a module that
// chooses nothing, and where nothing is left to train.
std::set<std::string> FrozenWeights(const PhiModel& model, std::span<const std::string> modules);

}  // namespace pivotal::model
