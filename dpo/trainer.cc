// Apache-2.0.
#include "dpo/trainer.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "data/error.h"
#include "dpo/batch_plan.h"
#include "dpo/require.h"

namespace pivotal::dpo {
namespace {

// The run's state between steps.
class Loop {
 public:
  Loop(const model::PhiModel& model, const Objective& objective, const TrainOptions& options)
      : objective_(objective), options_(options), optimizer_(model, options.optimizer) {
    const int64_t step_size = StepSize();
    steps_per_epoch_ = (objective.size() + step_size - 1) / step_size;
    log_.total_steps = steps_per_epoch_ * options.epochs;
    if (options.max_steps > 0) log_.total_steps = std::min(log_.total_steps, options.max_steps);
    schedule_ = {options.schedule,
                 static_cast<int64_t>(std::ceil(options.warmup_ratio * log_.total_steps)),
                 log_.total_steps, options.min_learning_rate_ratio};
  }

  const StepLog& Run(const StepSink& sink, Progress& progress) {
    progress.Begin("train", log_.total_steps, "steps");
    for (int64_t epoch = 0; log_.step < log_.total_steps; ++epoch) {
      for (const std::vector<int64_t>& examples : Plan(epoch)) {
        if (log_.step == log_.total_steps) break;
        if (progress.StopRequested())
          throw Interrupted(fmt::format("stopped after step {} of {}", log_.step, log_.total_steps));
        Step(examples);
        sink(log_);
        progress.Update(log_.step, Detail());
      }
    }
    progress.End();
    return log_;
  }

 private:
  int64_t StepSize() const { return options_.batch_size * options_.gradient_accumulation; }

  std::vector<std::vector<int64_t>> Plan(int64_t epoch) const {
    return options_.order == DataOrder::kFile
               ? PlanInOrder(objective_.size(), StepSize())
               : PlanEpoch(groups_, StepSize(), options_.seed, epoch);
  }

  void Step(std::span<const int64_t> step) {
    log_.loss = 0;
    log_.metrics.clear();
    for (std::size_t first = 0; first < step.size(); first += options_.batch_size) {
      const auto batch =
          step.subspan(first, std::min<std::size_t>(options_.batch_size, step.size() - first));
      const LossTerms terms = objective_.Compute(batch, step);
      const double loss = terms.loss.item<double>();
      if (!std::isfinite(loss)) FailAt("loss", loss, batch);
      log_.loss += loss;
      for (const auto& [name, value] : terms.metrics) log_.metrics[name] += value;
      for (int64_t i : batch) log_.tokens += objective_.Length(i);
      terms.loss.backward();
    }
    const double factor = schedule_.Factor(log_.step);
    log_.learning_rate = factor * options_.optimizer.learning_rate;
    log_.grad_norm = optimizer_.Step(factor);
    if (!std::isfinite(log_.grad_norm)) FailAt("gradient norm", log_.grad_norm, step);
    ++log_.step;
    log_.epoch = static_cast<double>(log_.step) / static_cast<double>(steps_per_epoch_);
    log_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

  [[noreturn]] void FailAt(const char* what, double value,
                           std::span<const int64_t> examples) const {
    std::string names;
    for (int64_t i : examples) names += (names.empty() ? "" : ", ") + objective_.Name(i);
    Fail("step {}: the {} is {}; lower --learning-rate or look at {}", log_.step + 1, what, value,
         names);
  }

  std::string Detail() const {
    std::string text = fmt::format("loss {:.4f}", log_.loss);
    if (const auto it = log_.metrics.find("rewards/margins"); it != log_.metrics.end())
      text += fmt::format(", margin {:.3f}", it->second);
    return text + fmt::format(", {:.0f} tok/s", static_cast<double>(log_.tokens) / log_.seconds);
  }

  const Objective& objective_;
  const TrainOptions& options_;
  AdamW optimizer_;
  std::vector<std::vector<int64_t>> groups_ = objective_.Groups();
  int64_t steps_per_epoch_ = 1;
  Schedule schedule_;
  StepLog log_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

void TrainOptions::Validate() const {
  Require(optimizer.learning_rate > 0 && std::isfinite(optimizer.learning_rate), "learning rate",
          "above 0", optimizer.learning_rate);
  Require(optimizer.weight_decay >= 0, "weight decay", "0 or larger", optimizer.weight_decay);
  Require(optimizer.max_grad_norm >= 0, "max grad norm", "0 (off) or larger", optimizer.max_grad_norm);
  Require(epochs >= 1, "epochs", "at least 1", static_cast<double>(epochs));
  Require(batch_size >= 1, "batch size", "at least 1", static_cast<double>(batch_size));
  Require(gradient_accumulation >= 1, "gradient accumulation", "at least 1",
          static_cast<double>(gradient_accumulation));
  Require(max_steps >= 0, "max steps", "0 (off) or larger", static_cast<double>(max_steps));
  Require(warmup_ratio >= 0 && warmup_ratio < 1, "warm-up ratio", "in [0, 1)", warmup_ratio);
  Require(min_learning_rate_ratio >= 0 && min_learning_rate_ratio <= 1, "min learning rate ratio",
          "in [0, 1]", min_learning_rate_ratio);
}

StepLog Train(const model::PhiModel& model, const Objective& objective, const TrainOptions& options,
              const StepSink& sink, Progress& progress) {
  options.Validate();
  if (objective.size() == 0) Fail("nothing to train on: the data holds no example");
  return Loop(model, objective, options).Run(sink, progress);
}

}  // namespace pivotal::dpo
