// Apache-2.0. How fast a model's rollouts are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/progress.h"
#include "experiments/run_config.h"

namespace pivotal::experiments {

// Fixed work on random tokens: the end of a response is ignored, so that all lengths are as asked for.
struct RolloutBenchSettings {
  int32_t sequences = 64, prompt_tokens = 64, new_tokens = 64;  // of one prompt
  // Where `trunks` is not 0, in place of that: rollouts that leave the last three quarters of trunks at `leaves`
  // places each, `rollouts` a place, of 1 to 2 new_tokens tokens.
  int32_t trunks = 0, trunk_tokens = 300, leaves = 32, rollouts = 16;
  int32_t repeats = 3;
  bool compare = true;  // the log-probabilities of stored types
  // Throws Error that names the field.
  void Validate() const;
};

struct RolloutBenchRun {
  double seconds = 0;
  model::RolloutCounters counters;  // of this run
  double tokens_per_second() const { return static_cast<double>(counters.decoded_tokens) / seconds; }
};

struct RolloutBench {
  std::vector<RolloutBenchRun> runs;
  std::string isa;           // of the kernels on a CPU; else the device
  int threads = 1;
  int64_t weight_bytes = 0;  // as decoding reads them
  int64_t peak_rss = 0;      // bytes, of the whole process
  // |change| of the log-probability of sampled tokens against weights as the model has them; of stored types alone.
  double mean_change = 0, largest_change = 0;
  int64_t compared = 0;

  // The run in the middle.
  const RolloutBenchRun& Median() const;
};

// Each run begins without any prefix computed. The model is read once.
RolloutBench BenchRollouts(const LoadedModel& model, const SamplingSettings& sampling,
                           const RolloutBenchSettings& settings, Progress& progress);

// One JSON object.
std::string ToJson(const RolloutBench& bench, const RolloutBenchSettings& settings);

}  // namespace pivotal::experiments
