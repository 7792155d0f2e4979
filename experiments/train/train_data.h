// Apache-2.0. The data of a training run: examples with their objective, and held-out evaluation.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/pairs/pair_file.h"
#include "dpo/objective.h"
#include "dpo/ranks.h"
#include "experiments/settings/loading.h"
#include "experiments/train/train_settings.h"
#include "model/lora.h"
#include "pivotal/oracle.h"
#include "pivotal/problem.h"
#include "pivotal/progress.h"

namespace pivotal::experiments {

// Holds the examples of a data file and the objective on them. The objective refers to the vectors,
// so this object must not be copied or moved.
struct TrainTask {
  // One of these has the examples: pairs of a preference loss, single completions of KTO, those of
  // a policy gradient, or those of supervised fine-tuning.
  std::vector<PreferencePair> pairs;
  std::vector<UnpairedExample> unpaired;
  std::vector<AdvantageExample> advantages;
  std::vector<PromptCompletion> completions;
  std::unique_ptr<dpo::Objective> objective;
};

// Reads the examples of `file`, with an objective that can count tokens and no more: it has no
// reference, and the weights of `model` are not read. Throws Error for a bad file.
std::unique_ptr<const TrainTask> ReadExamples(const TrainSettings& settings,
                                              const std::filesystem::path& file,
                                              const LoadedModel& model);

// The models that a loss compares the trained one with.
struct ComparedModels {
  std::string weights_sha256;  // fingerprint of the weights of the model as it is now
  // The reference; null: the model as it is now, without an adapter.
  const dpo::FollowingReference* following = nullptr;
  // An adapter that training goes on with; null: it begins with none, or with one that has no
  // effect yet. The policy that sampled completions with advantages is the model with it, where the
  // data do not say.
  std::shared_ptr<const model::Adapter> adapter = nullptr;
};

// Reads the examples of `file` and makes their objective by `settings`. `model` has no adapter yet.
// Throws Error for a bad file, Interrupted on a stop request.
//
// The reference's log-probabilities are kept in <file>.reference.json if
// TrainSettings::reference_cache says so. They are computed again if weights, their type or the
// examples' tokens have changed, or if that file is damaged. A cache that cannot be written causes
// a warning only. Rank 0 reads and writes the cache for all ranks.
std::unique_ptr<const TrainTask> MakeTrainTask(const TrainSettings& settings,
                                               const std::filesystem::path& file,
                                               const LoadedModel& model,
                                               const ComparedModels& compared, Progress& progress,
                                               dpo::Ranks& ranks);

// Evaluates a model during training on examples and problems that it is not trained on.
class HeldOut {
 public:
  // Reads the files that `settings.held_out` names. `settings` and `model` must outlive this
  // object. `compared` is as for MakeTrainTask. Throws Error for a bad file, or if the metric that
  // chooses the best weights is not measured.
  HeldOut(const TrainSettings& settings, const LoadedModel& model, const ComparedModels& compared,
          Progress& progress, dpo::Ranks& ranks);

  // Returns "eval_loss", "eval_rewards/margins", ... over the held-out examples and "eval_accuracy"
  // over the held-out problems. Each rank computes its share; only rank 0 gets the complete result.
  // Throws Interrupted on a stop request.
  std::map<std::string, double> Measure(Progress& progress) const;

 private:
  // Throws Error if KTO on the held-out examples does not measure `metric`.
  void RequireKtoMetric(const std::string& metric) const;

  const TrainSettings& settings_;
  const LoadedModel& model_;
  dpo::Ranks& ranks_;
  std::unique_ptr<const TrainTask> task_;
  std::vector<Problem> problems_;  // the problems that this rank solves
  int64_t problem_count_ = 0;      // number of problems of all ranks
  int32_t max_new_tokens_ = 0;     // of a response
  std::unique_ptr<const Oracle> oracle_;
};

// Returns whether `value` of a metric is better than `other`: a smaller loss, a larger value of any
// other metric.
bool IsBetter(const std::string& metric, double value, double other);

}  // namespace pivotal::experiments
