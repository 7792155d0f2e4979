// Apache-2.0. Measures how fast a model's rollouts are.
#pragma once

#include <cstdint>
#include <string>

#include "pivotal/model.h"
#include "pivotal/progress.h"

namespace pivotal::experiments {

// Fixed work on random tokens. No token ends a response, so every length is as asked for.
struct RolloutBenchSettings {
  // Rollouts of one prompt.
  int32_t sequences = 64, prompt_tokens = 64, new_tokens = 64;
  // Rollouts that leave trunks, in place of the one prompt: `rollouts` at each of `leaves` places
  // in the last three quarters of each trunk, of 1 to 2 new_tokens tokens. 0 trunks: one prompt.
  int32_t trunks = 0, trunk_tokens = 300, leaves = 32, rollouts = 16;
  int32_t repeats = 3;  // runs, of which the median is reported
  bool compare = true;  // measures how far a storage type moves log-probabilities
  int threads = 0;      // 0: as many as LibTorch takes
  bool json = false;    // reports one JSON object in place of lines for people

  // Throws Error that names the field.
  void Validate() const;
};

// Loads the model once, times each run without any prefix computed before, and returns the report.
std::string BenchRollouts(const ModelSettings& model, const SamplingSettings& sampling,
                          const RolloutBenchSettings& settings, Progress& progress);

}  // namespace pivotal::experiments
