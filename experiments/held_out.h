// Apache-2.0. What a model in training does on examples and problems that it isn't trained on.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/problem_set.h"
#include "experiments/train_settings.h"
#include "experiments/train_task.h"
#include "pts/oracles/oracle.h"

namespace pivotal::experiments {

class HeldOut {
 public:
  // Reads what `settings.held_out` names; `model`, which outlives it, is the reference as it is now, with
  // weights of the fingerprint `weights_sha256`.
  // Throws Error for bad files, or a metric that is not measured.
  HeldOut(const TrainSettings& settings, const LoadedModel& model,
          const std::string& weights_sha256, Progress& progress, dpo::Ranks& ranks);

  // "eval_loss" and "eval_rewards/margins", ... over the examples, "eval_accuracy" over the problems. Whole
  // on rank 0; each rank solves its share of the problems.
  std::map<std::string, double> Measure(Progress& progress) const;

 private:
  const TrainSettings& settings_;
  const LoadedModel& model_;
  dpo::Ranks& ranks_;
  std::unique_ptr<const TrainTask> task_;
  std::vector<data::Problem> problems_;  // this rank's
  int64_t problem_count_ = 0;            // of all ranks
  std::unique_ptr<const pts::Oracle> oracle_;
};

// True if `value` of a metric is better than `other`: less for a loss, more for all else.
bool IsBetter(const std::string& metric, double value, double other);

}  // namespace pivotal::experiments
