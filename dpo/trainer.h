// Apache-2.0. The training loop's steps: forward and backward passes, then an optimizer update.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dpo/objective.h"
#include "dpo/optimizer.h"
#include "dpo/schedule.h"
#include "pivotal/progress.h"
#include "pivotal/training.h"

namespace pivotal::dpo {

// Return all names ("shuffled", "file"), the name of a value, and the value of a name.
// ParseDataOrder throws Error that lists the names.
std::vector<std::string> DataOrderNames();
std::string_view DataOrderName(DataOrder order);
DataOrder ParseDataOrder(const std::string& name);

// Holds the state of training between two steps, without the weights. Fields are as in StepLog.
struct TrainState {
  int64_t step = 0, tokens = 0, examples = 0;
  double seconds = 0;
  OwnedTensors optimizer;                       // AdamW::State()
  std::map<std::string, at::Tensor> reference;  // FollowingReference::State(); empty without one
};

// Trains the weights of `model` in place, one step at a time:
//   while (!trainer.done()) trainer.Step();
// `objective` must have been made for `model`; both must outlive the trainer. `reference` is the
// objective's reference that follows the model, or null; it must have begun. The constructor throws
// Error if an option is out of its range or there are no examples.
//
// All ranks make the same steps. Each computes its share of a step's examples, in forward passes of
// at most `batch_size` examples. After a step the weights are the same on all ranks; the loss and
// the metrics over all examples are in rank 0's log only. After an Error on one rank the others
// wait for it; call Ranks::Abandon() to end them.
class Trainer {
 public:
  Trainer(const model::PhiModel& model, const Objective& objective, const TrainOptions& options,
          Ranks& ranks = Alone(), FollowingReference* reference = nullptr);

  int64_t total_steps() const { return log_.total_steps; }
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  const Schedule& schedule() const { return schedule_; }
  bool done() const { return log_.step == log_.total_steps; }
  // Returns the log of the latest step; it is all zeros before the first one.
  const StepLog& log() const { return log_; }

  // Makes the next optimizer step. Throws Error that names step and examples if the loss or the
  // gradient is not finite; the weights then stay as they were before the step.
  const StepLog& Step();

  // Returns the state of training. Its tensors are not copied; the next step changes them.
  TrainState State() const;
  // Continues after step `state.step` as if training had never stopped; the model must have the
  // weights of that moment. Throws Error if the state belongs to other weights.
  void Restore(const TrainState& state);

 private:
  const std::vector<int64_t>& Examples(int64_t step);
  [[noreturn]] void FailAt(const char* what, double value, std::span<const int64_t> examples) const;

  const model::PhiModel& model_;
  const Objective& objective_;
  TrainOptions options_;
  Ranks& ranks_;
  FollowingReference* reference_;
  AdamW optimizer_;
  std::vector<std::vector<int64_t>> groups_;
  std::vector<int64_t> group_of_;  // index into groups_, by example
  int64_t steps_per_epoch_ = 1;
  int64_t planned_epoch_ = -1;
  std::vector<std::vector<int64_t>> plan_;  // examples of each step of planned_epoch_
  Schedule schedule_;
  StepLog log_;
};

// Returns the number of optimizer steps that a Trainer makes.
int64_t TotalSteps(const Objective& objective, const TrainOptions& options);

// Returns the most tokens and the most targets of a forward pass of the first epoch on any of
// `ranks`.
PassSize LargestPass(const Objective& objective, const TrainOptions& options, int ranks = 1);

// Computes the loss ("loss") and the metrics of `objective`, which was made for `model`: means over
// all examples, without gradients. `batch`: examples per forward pass. Only rank 0 gets the
// complete result. Throws Interrupted on a stop request.
std::map<std::string, double> Measure(const model::PhiModel& model, const Objective& objective,
                                      int64_t batch, Progress& progress, Ranks& ranks = Alone());

}  // namespace pivotal::dpo
