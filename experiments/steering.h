// Apache-2.0. Hidden states at pivotal tokens, to steer a model by.
#pragma once

#include <cstdint>
#include <filesystem>

#include "data/progress.h"

namespace pivotal::experiments {

struct SteeringSummary {
  int64_t tokens = 0, pairs = 0, layers = 0;
};

// Writes JSON lines: for each pivotal token of the run and each layer, the output [hidden] of that layer for the token
// before it, {id, position, token, delta, layer, hidden}; then for each layer the mean over the pairs of the run (those of
// pts::BuildPairs under its gap) of its output after the accepted side less that after the rejected one, {layer, pairs,
// mean_difference}. Layers count from 0, as transformers' modules. Loads the run's model. Written aside and renamed.
SteeringSummary WriteSteering(const std::filesystem::path& run, const std::filesystem::path& output,
                              Progress& progress);

}  // namespace pivotal::experiments
