// Apache-2.0. Training, step by step.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/progress.h"
#include "dpo/objective.h"
#include "dpo/optimizer.h"
#include "dpo/schedule.h"

namespace pivotal::dpo {

// Groups of examples that share tokens in random order, or examples as the file has them.
enum class DataOrder { kShuffled, kFile };

// "shuffled", "file"
std::vector<std::string> DataOrderNames();
std::string_view DataOrderName(DataOrder order);
DataOrder ParseDataOrder(const std::string& name);  // throws Error that lists the names

struct TrainOptions {
  OptimizerOptions optimizer;
  int64_t epochs = 1;
  int64_t batch_size = 32;             // examples per forward pass
  int64_t gradient_accumulation = 1;   // forward passes per optimizer step
  int64_t max_steps = 0;               // 0: as many as the epochs hold
  ScheduleType schedule = ScheduleType::kCosine;
  double warmup_ratio = 0.1;           // share of the steps
  int64_t warmup_steps = 0;            // 0: by the ratio
  double min_learning_rate_ratio = 0;  // line and cosine end at this share of the peak
  DataOrder order = DataOrder::kShuffled;
  uint64_t seed = 1;                   // of the shuffled order
  int64_t StepSize() const { return batch_size * gradient_accumulation; }  // examples
  // Throws Error that names the field and its range.
  void Validate() const;
};

// One optimizer step. `metrics` are means over the step's examples, under TRL's names.
struct StepLog {
  int64_t step = 0, total_steps = 0;  // step counts from 1
  double epoch = 0;
  double loss = 0, learning_rate = 0, grad_norm = 0;
  double seconds = 0;                 // in steps since the start; not in what is done between them
  int64_t tokens = 0, examples = 0;   // put through the model since the start
  std::map<std::string, double> metrics;
};

// Where training stands between two steps, beside the weights.
struct TrainState {
  int64_t step = 0, tokens = 0, examples = 0;
  double seconds = 0;
  std::map<std::string, at::Tensor> optimizer;  // AdamW::State()
};

// Trains the weights of `model`, which `objective` was made for, in place, a step at a time:
//   while (!trainer.done()) trainer.Step();
// Both must outlive it. Throws Error if an option is out of its range or there is no example.
//
// Several ranks make the same steps, each on its share of a step's examples, in forward passes of at
// most `batch_size`. Weights are the same on all after each; the loss and metrics of rank 0's log are
// those of all shares. After an Error on one rank the others wait for it: Ranks::Abandon().
class Trainer {
 public:
  Trainer(const model::PhiModel& model, const Objective& objective, const TrainOptions& options,
          Ranks& ranks = Alone());

  int64_t total_steps() const { return log_.total_steps; }
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  bool done() const { return log_.step == log_.total_steps; }
  // Of the last step; all zero before the first.
  const StepLog& log() const { return log_; }

  // The next optimizer step. Throws Error that names step and examples if the loss or the gradient is
  // not finite; weights stay as they were before that step.
  const StepLog& Step();

  // Handles on the optimizer's tensors: the next step changes them. All ranks must ask; rank 0 gets the
  // whole.
  TrainState State() const;
  // Goes on after `state.step`, on weights of that moment, as if training had never stopped. Throws
  // Error if the state is of other weights.
  void Restore(const TrainState& state);

 private:
  const std::vector<int64_t>& Examples(int64_t step);
  [[noreturn]] void FailAt(const char* what, double value, std::span<const int64_t> examples) const;

  const Objective& objective_;
  TrainOptions options_;
  Ranks& ranks_;
  AdamW optimizer_;
  std::vector<std::vector<int64_t>> groups_;
  std::vector<int64_t> group_of_;  // an example
  int64_t steps_per_epoch_ = 1;
  int64_t planned_epoch_ = -1;
  std::vector<std::vector<int64_t>> plan_;  // of that epoch
  Schedule schedule_;
  StepLog log_;
};

// Tokens that the largest forward pass of the first epoch puts through the model.
int64_t LargestPass(const Objective& objective, const TrainOptions& options);

// Loss ("loss") and metrics over all examples, `batch` to a forward pass, without gradients; whole on
// rank 0. Throws Interrupted on a stop request.
std::map<std::string, double> Measure(const Objective& objective, int64_t batch, Progress& progress,
                                      Ranks& ranks = Alone());

}  // namespace pivotal::dpo
