// Apache-2.0. How often a model solves a problem set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/progress.h"
#include "experiments/run_config.h"
#include "experiments/statistics.h"

namespace pivotal::experiments {

struct ProblemScore {
  std::string id;
  int32_t samples = 0, successes = 0;
  bool greedy = false;  // the verdict at temperature 0
  int32_t refusals = 0;  // of the samples; a refusal solves nothing
  bool greedy_refused = false;
  double Mean() const { return samples > 0 ? static_cast<double>(successes) / samples : 0.0; }
};

struct Accuracy {
  std::vector<ProblemScore> problems;  // in the file's order
  model::RolloutCounters counters;

  // Over problems: sampled accuracy, and accuracy at temperature 0.
  MeanInterval Sampled() const;
  MeanInterval Greedy() const;
  // Share of the samples that are no refusals, and of these the share that is right.
  MeanInterval Answered() const;
  MeanInterval RightOfAnswered() const;
};

struct EvalOptions {
  int32_t samples = 4;  // 0 or more: responses a problem under the sampling settings, beside one at temperature 0
  std::string refusal;  // a response with this text in it is a refusal; "": none is
};
// Throws Error for bad options.
Accuracy Evaluate(const LoadedModel& model, const std::vector<data::Problem>& problems,
                  const pts::Oracle& oracle, const SamplingSettings& sampling, const EvalOptions& options,
                  Progress& progress);

// after - before over the same problems, paired: sampled accuracy and at temperature 0.
struct AccuracyChange {
  MeanInterval sampled, greedy;
};
AccuracyChange Compare(const Accuracy& before, const Accuracy& after);

// One JSON object per problem: id, samples, successes, greedy, refusals, greedy_refused. Written aside and renamed.
void SaveScores(const Accuracy& accuracy, const std::filesystem::path& path);
// Reads them back, without counters; the last two keys may be absent. Throws Error that names file and line.
Accuracy LoadScores(const std::filesystem::path& path);

}  // namespace pivotal::experiments
