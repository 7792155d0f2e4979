// Apache-2.0.
#include "dpo/trainer.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "data/error.h"
#include "dpo/batch_plan.h"

namespace pivotal::dpo {
namespace {

void Require(bool holds, const char* field, const char* range, double value) {
  if (!holds) Fail("{} must be {}, got {}", field, range, value);
}

using Batches = std::vector<std::vector<int64_t>>;

// The run's state between steps.
class Loop {
 public:
  Loop(const model::PhiModel& model, const Objective& objective, const TrainOptions& options)
      : objective_(objective), options_(options), optimizer_(model, options.optimizer) {
    for (int64_t i = 0; i < objective.size(); ++i) {
      lengths_.push_back(objective.Length(i));
      mean_weight_ += objective.Weight(i) / static_cast<double>(objective.size());
    }
    const auto batches = static_cast<int64_t>(PlanEpoch(lengths_, options.batch_size, 0, 0).size());
    steps_per_epoch_ = (batches + options.gradient_accumulation - 1) / options.gradient_accumulation;
    log_.total_steps = steps_per_epoch_ * options.epochs;
    if (options.max_steps > 0) log_.total_steps = std::min(log_.total_steps, options.max_steps);
    warmup_ = static_cast<int64_t>(std::ceil(options.warmup_ratio * log_.total_steps));
  }

  const StepLog& Run(const StepSink& sink, Progress& progress) {
    progress.Begin("train", log_.total_steps, "steps");
    for (int64_t epoch = 0; log_.step < log_.total_steps; ++epoch) {
      const Batches batches = PlanEpoch(lengths_, options_.batch_size, options_.seed, epoch);
      for (std::size_t first = 0; first < batches.size() && log_.step < log_.total_steps;
           first += options_.gradient_accumulation) {
        if (progress.StopRequested())
          throw Interrupted(fmt::format("stopped after step {} of {}", log_.step, log_.total_steps));
        const std::size_t last =
            std::min<std::size_t>(batches.size(), first + options_.gradient_accumulation);
        Step(std::span(batches).subspan(first, last - first));
        sink(log_);
        progress.Update(log_.step, Detail());
      }
    }
    progress.End();
    return log_;
  }

 private:
  void Step(std::span<const std::vector<int64_t>> batches) {
    double weight = 0, expected_weight = 0;
    for (const auto& batch : batches) {
      for (int64_t i : batch) weight += objective_.Weight(i), log_.tokens += lengths_[i];
      expected_weight += mean_weight_ * static_cast<double>(batch.size());
    }
    log_.loss = 0;
    log_.metrics.clear();
    for (const auto& batch : batches) {
      const LossTerms terms = objective_.Compute(batch);
      log_.loss += terms.loss.item<double>() / weight;
      if (!std::isfinite(log_.loss)) FailAt("loss", log_.loss, batches);
      for (const auto& [name, value] : terms.metrics) log_.metrics[name] += value / weight;
      // A batch holds examples of similar lengths. Divided by its own weight, a batch of short
      // completions would count each of its tokens for more than a batch of long ones.
      (terms.loss / expected_weight).backward();
    }
    const double factor = ScheduleFactor(log_.step, warmup_, log_.total_steps,
                                         options_.min_learning_rate_ratio);
    log_.learning_rate = factor * options_.optimizer.learning_rate;
    log_.grad_norm = optimizer_.Step(factor);
    if (!std::isfinite(log_.grad_norm)) FailAt("gradient norm", log_.grad_norm, batches);
    ++log_.step;
    log_.epoch = static_cast<double>(log_.step) / static_cast<double>(steps_per_epoch_);
    log_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

  [[noreturn]] void FailAt(const char* what, double value,
                           std::span<const std::vector<int64_t>> batches) const {
    std::string names;
    for (const auto& batch : batches)
      for (int64_t i : batch) names += (names.empty() ? "" : ", ") + objective_.Name(i);
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
  std::vector<int64_t> lengths_;
  double mean_weight_ = 0;
  int64_t steps_per_epoch_ = 1, warmup_ = 0;
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
