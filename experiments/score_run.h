// Apache-2.0. Log-probabilities of given completions.
#pragma once

#include <cstdint>
#include <filesystem>

#include "data/progress.h"
#include "experiments/run_config.h"

namespace pivotal::experiments {

struct ScoreSettings {
  ModelSettings model;
  std::filesystem::path input, output;
  int64_t batch_tokens = 4096;  // padded tokens that go through the model at once
};

// What was scored.
struct ScoreSummary {
  int64_t lines = 0, tokens = 0;
  double logprob = 0;  // sum over all completion tokens
};

// Each line of `input` (data::ReadPromptCompletion) is repeated in `output` with `completion_ids` and
// `logprobs`: natural log, one per completion token, temperature 1, each given all tokens before it.
// `output` is written aside and renamed. Throws Error with file and line.
ScoreSummary ScoreFile(const ScoreSettings& settings, Progress& progress);

}  // namespace pivotal::experiments
