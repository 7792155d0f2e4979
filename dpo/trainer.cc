// Apache-2.0.
#include "dpo/trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "data/error.h"
#include "dpo/batch_plan.h"
#include "dpo/require.h"
#include "dpo/step_share.h"

namespace pivotal::dpo {
namespace {

// Examples of each step of an epoch.
std::vector<std::vector<int64_t>> StepsOf(const Objective& objective,
                                          const std::vector<std::vector<int64_t>>& groups,
                                          const TrainOptions& options, int64_t epoch) {
  return options.order == DataOrder::kFile
             ? PlanInOrder(objective.size(), options.StepSize())
             : PlanEpoch(groups, options.StepSize(), options.seed, epoch);
}

// Those of each forward pass of a step.
std::vector<std::span<const int64_t>> Passes(std::span<const int64_t> step, int64_t batch_size) {
  std::vector<std::span<const int64_t>> passes;
  for (; !step.empty(); step = step.subspan(passes.back().size()))
    passes.push_back(step.first(std::min(static_cast<std::size_t>(batch_size), step.size())));
  return passes;
}

// Losses and metrics of passes, read together: where a GPU computes them, that waits for it once.
class Readings {
 public:
  void Add(const LossTerms& terms) {
    std::vector<at::Tensor> values = {terms.loss.detach().to(at::kDouble)};
    names_ = {"loss"};
    for (const auto& [name, value] : terms.metrics) {
      values.push_back(value.to(at::kDouble));
      names_.push_back(name);
    }
    passes_.push_back(at::stack(values));
  }
  // Over passes, by name; empty without any.
  std::map<std::string, double> Sums() {
    std::map<std::string, double> sums;
    if (passes_.empty()) return sums;
    values_ = at::stack(passes_).cpu();
    const at::Tensor totals = values_.sum(0);
    for (std::size_t i = 0; i < names_.size(); ++i) sums[names_[i]] = totals.const_data_ptr<double>()[i];
    return sums;
  }
  // Of a pass, after Sums().
  double Loss(std::size_t pass) const { return values_.const_data_ptr<double>()[pass * names_.size()]; }

 private:
  std::vector<std::string> names_;
  std::vector<at::Tensor> passes_;
  at::Tensor values_;  // [passes, names]
};

// Sums over ranks on rank 0. A rank whose share is empty has no names; rank 0's never is.
void SumOverRanks(std::map<std::string, double>& sums, Ranks& ranks) {
  if (ranks.size() == 1) return;
  const double count = ranks.Sum(ranks.rank() == 0 ? static_cast<double>(sums.size()) : 0.0);
  const at::Tensor values = at::zeros({static_cast<int64_t>(count)}, at::TensorOptions(at::kDouble));
  auto* value = values.data_ptr<double>();
  for (const auto& [name, share] : sums) *value++ = share;
  ranks.Reduce(values, 0);
  value = values.data_ptr<double>();
  for (auto& [name, sum] : sums) sum = *value++;
}

}  // namespace

std::vector<std::string> DataOrderNames() { return {"shuffled", "file"}; }

std::string_view DataOrderName(DataOrder order) {
  return order == DataOrder::kFile ? "file" : "shuffled";
}

DataOrder ParseDataOrder(const std::string& name) {
  for (auto order : {DataOrder::kShuffled, DataOrder::kFile})
    if (DataOrderName(order) == name) return order;
  Fail("order {}: expected shuffled or file", name);
}

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
  Require(warmup_steps >= 0, "warm-up steps", "0 (by the ratio) or larger",
          static_cast<double>(warmup_steps));
  Require(min_learning_rate_ratio >= 0 && min_learning_rate_ratio <= 1, "min learning rate ratio",
          "in [0, 1]", min_learning_rate_ratio);
}

Trainer::Trainer(const model::PhiModel& model, const Objective& objective,
                 const TrainOptions& options, Ranks& ranks)
    : objective_(objective), options_(options), ranks_(ranks),
      optimizer_(model, options.optimizer, ranks), groups_(objective.Groups()),
      group_of_(GroupOf(groups_)) {
  options.Validate();
  if (objective.size() == 0) Fail("nothing to train on: the data holds no example");
  steps_per_epoch_ = (objective.size() + options.StepSize() - 1) / options.StepSize();
  log_.total_steps = steps_per_epoch_ * options.epochs;
  if (options.max_steps > 0) log_.total_steps = std::min(log_.total_steps, options.max_steps);
  const auto by_ratio = static_cast<int64_t>(std::ceil(options.warmup_ratio * log_.total_steps));
  schedule_ = {options.schedule, options.warmup_steps > 0 ? options.warmup_steps : by_ratio,
               log_.total_steps, options.min_learning_rate_ratio};
}

const std::vector<int64_t>& Trainer::Examples(int64_t step) {
  if (const int64_t epoch = step / steps_per_epoch_; epoch != planned_epoch_) {
    plan_ = StepsOf(objective_, groups_, options_, epoch);
    planned_epoch_ = epoch;
  }
  return plan_[step % steps_per_epoch_];
}

const StepLog& Trainer::Step() {
  const auto start = std::chrono::steady_clock::now();
  const std::span<const int64_t> step = Examples(log_.step);
  const auto share = ShareOf(step, group_of_, ranks_.rank(), ranks_.size());
  const auto passes = Passes(share, options_.batch_size);
  Readings readings;
  for (const auto batch : passes) {
    const LossTerms terms = objective_.Compute(batch, step);
    readings.Add(terms);
    if (&batch.back() == &share.back()) optimizer_.BeginExchange();
    terms.loss.backward();
  }
  std::map<std::string, double> sums = readings.Sums();
  for (std::size_t i = 0; i < passes.size(); ++i)
    if (const double loss = readings.Loss(i); !std::isfinite(loss)) FailAt("loss", loss, passes[i]);
  const double factor = schedule_.Factor(log_.step);
  log_.learning_rate = factor * options_.optimizer.learning_rate;
  log_.grad_norm = optimizer_.Step(factor);
  if (!std::isfinite(log_.grad_norm)) FailAt("gradient norm", log_.grad_norm, step);
  SumOverRanks(sums, ranks_);
  log_.loss = sums["loss"];
  sums.erase("loss");
  log_.metrics = std::move(sums);
  for (int64_t i : step) log_.tokens += objective_.Length(i);
  ++log_.step;
  log_.examples += std::ssize(step);
  log_.epoch = static_cast<double>(log_.step) / static_cast<double>(steps_per_epoch_);
  log_.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return log_;
}

void Trainer::FailAt(const char* what, double value, std::span<const int64_t> examples) const {
  std::string names;
  for (int64_t i : examples) names += (names.empty() ? "" : ", ") + objective_.Name(i);
  Fail("step {}: the {} is {}; lower --learning-rate or look at {}", log_.step + 1, what, value,
       names);
}

TrainState Trainer::State() const {
  return {log_.step, log_.tokens, log_.examples, log_.seconds, optimizer_.State()};
}

void Trainer::Restore(const TrainState& state) {
  optimizer_.Restore(state.optimizer, state.step);
  log_.step = state.step;
  log_.tokens = state.tokens;
  log_.examples = state.examples;
  log_.seconds = state.seconds;
}

int64_t LargestPass(const Objective& objective, const TrainOptions& options) {
  int64_t largest = 0;
  for (const auto& step : StepsOf(objective, objective.Groups(), options, 0))
    for (const auto pass : Passes(step, options.batch_size))
      largest = std::max(largest, objective.PackedLength(pass));
  return largest;
}

std::map<std::string, double> Measure(const Objective& objective, int64_t batch,
                                      Progress& progress, Ranks& ranks) {
  const c10::NoGradGuard no_grad;
  const auto groups = objective.Groups();
  std::vector<int64_t> all;
  for (const auto& group : groups) all.insert(all.end(), group.begin(), group.end());
  const auto share = ShareOf(all, GroupOf(groups), ranks.rank(), ranks.size());
  std::map<std::string, double> sums;
  ranks.Together([&] {
    Readings readings;
    for (const auto pass : Passes(share, batch)) {
      if (progress.StopRequested()) throw Interrupted("stopped while measuring held-out examples");
      readings.Add(objective.Compute(pass, all));
    }
    sums = readings.Sums();
  });
  SumOverRanks(sums, ranks);
  return sums;
}

}  // namespace pivotal::dpo
