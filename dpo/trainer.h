// Apache-2.0. The training loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "data/progress.h"
#include "dpo/objective.h"
#include "dpo/optimizer.h"
#include "dpo/schedule.h"

namespace pivotal::dpo {

// Groups of examples that share tokens in random order, or examples as the file has them.
enum class DataOrder { kShuffled, kFile };

struct TrainOptions {
  OptimizerOptions optimizer;
  int64_t epochs = 1;
  int64_t batch_size = 32;             // examples per forward pass
  int64_t gradient_accumulation = 1;   // forward passes per optimizer step
  int64_t max_steps = 0;               // 0: as many as the epochs hold
  ScheduleType schedule = ScheduleType::kCosine;
  double warmup_ratio = 0.1;           // share of the steps
  double min_learning_rate_ratio = 0;  // line and cosine end at this share of the peak
  DataOrder order = DataOrder::kShuffled;
  uint64_t seed = 1;                   // of the shuffled order
  // Throws Error that names the field and its range.
  void Validate() const;
};

// One optimizer step. `metrics` are means over the step's examples, under TRL's names.
struct StepLog {
  int64_t step = 0, total_steps = 0;  // step counts from 1
  double epoch = 0;
  double loss = 0, learning_rate = 0, grad_norm = 0;
  double seconds = 0;                 // since the start of training
  int64_t tokens = 0;                 // put through the model since the start
  std::map<std::string, double> metrics;
};

using StepSink = std::function<void(const StepLog&)>;

// Trains the weights of `model`, which `objective` was made for, in place; `sink` sees every step.
// Returns the last step's log. Throws Error that names step and examples if the loss or the
// gradient is not finite (weights stay as they were before that step), Interrupted between steps on
// a stop request (weights as of the last step).
StepLog Train(const model::PhiModel& model, const Objective& objective, const TrainOptions& options,
              const StepSink& sink, Progress& progress);

}  // namespace pivotal::dpo
