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

#include "data/base/error.h"
#include "data/base/names.h"
#include "dpo/sharded_weights.h"
#include "dpo/step_plan.h"

namespace pivotal::dpo {
namespace {

constexpr auto kOrders = data::MakeNameTable<DataOrder>(
    "order", {{DataOrder::kShuffled, "shuffled"}, {DataOrder::kFile, "file"}});

// Returns the examples of each step of an epoch.
std::vector<std::vector<int64_t>> StepsOf(const Objective& objective,
                                          const std::vector<std::vector<int64_t>>& groups,
                                          const TrainOptions& options, int64_t epoch) {
  return options.order == DataOrder::kFile
             ? PlanInOrder(objective.size(), options.StepSize())
             : PlanEpoch(groups, options.StepSize(), options.seed, epoch);
}

int64_t StepsPerEpoch(const Objective& objective, const TrainOptions& options) {
  return (objective.size() + options.StepSize() - 1) / options.StepSize();
}

// Cuts a step into forward passes of at most `batch_size` examples.
std::vector<std::span<const int64_t>> Passes(std::span<const int64_t> step, int64_t batch_size) {
  std::vector<std::span<const int64_t>> passes;
  for (; !step.empty(); step = step.subspan(passes.back().size()))
    passes.push_back(step.first(std::min(static_cast<std::size_t>(batch_size), step.size())));
  return passes;
}

// Collects the losses and metrics of forward passes, which stay where they were computed until they
// are read all at once.
class PassMetrics {
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
  // Returns all numbers [passes, n], a loss first in each row; undefined without passes.
  at::Tensor Values() const { return passes_.empty() ? at::Tensor() : at::stack(passes_); }
  // Returns the sum over passes of the loss ("loss") and of each metric; empty without passes.
  // `values`: Values() on the CPU.
  std::map<std::string, double> Sums(const at::Tensor& values) const {
    std::map<std::string, double> sums;
    if (passes_.empty()) return sums;
    const at::Tensor totals = values.sum(0);
    for (std::size_t i = 0; i < names_.size(); ++i)
      sums[names_[i]] = totals.const_data_ptr<double>()[i];
    return sums;
  }

 private:
  std::vector<std::string> names_;
  std::vector<at::Tensor> passes_;
};

// Replaces `sums` on rank 0 by their sums over ranks. A rank with an empty share has no names and
// adds zeros; rank 0's share is never empty.
void SumOverRanks(std::map<std::string, double>& sums, Ranks& ranks) {
  if (ranks.size() == 1) return;
  const double count = ranks.Sum(ranks.rank() == 0 ? static_cast<double>(sums.size()) : 0.0);
  const at::Tensor values =
      at::zeros({static_cast<int64_t>(count)}, at::TensorOptions(at::kDouble));
  auto* value = values.data_ptr<double>();
  for (const auto& [name, sum] : sums) *value++ = sum;
  ranks.Reduce(values, 0);
  value = values.data_ptr<double>();
  for (auto& [name, sum] : sums) sum = *value++;
}

}  // namespace

std::vector<std::string> DataOrderNames() { return kOrders.Names(); }
std::string_view DataOrderName(DataOrder order) { return kOrders.Name(order); }
DataOrder ParseDataOrder(const std::string& name) { return kOrders.Parse(name); }

Trainer::Trainer(const model::PhiModel& model, const Objective& objective,
                 const TrainOptions& options, Ranks& ranks, FollowingReference* reference)
    : model_(model),
      objective_(objective),
      options_(options),
      ranks_(ranks),
      reference_(reference),
      optimizer_(model, options.optimizer, ranks),
      groups_(objective.Groups()),
      group_of_(GroupOf(groups_)) {
  options.Validate();
  if (objective.size() == 0) Fail("nothing to train on: the data has no examples");
  steps_per_epoch_ = StepsPerEpoch(objective, options);
  log_.total_steps = TotalSteps(objective, options);
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
  const double factor = schedule_.Factor(log_.step);
  const at::Tensor survey = objective_.Survey(share, options_.batch_size);
  if (survey.defined()) ranks_.Sum(survey);
  PassMetrics metrics;
  ForEachPass(model_, std::ssize(passes), /*backward=*/true, [&](int64_t i) {
    const LossTerms terms = objective_.Compute(passes[static_cast<std::size_t>(i)], step, survey);
    metrics.Add(terms);
    if (i + 1 == std::ssize(passes)) optimizer_.BeginBackward(factor, terms.loss);
    terms.loss.backward();
  });
  log_.learning_rate = factor * options_.optimizer.learning_rate;
  at::Tensor values = metrics.Values();
  log_.grad_norm = optimizer_.Step(factor, values);
  for (std::size_t i = 0; i < passes.size(); ++i) {
    const double loss = values[static_cast<int64_t>(i)][0].item<double>();
    if (!std::isfinite(loss)) FailAt("loss", loss, passes[i]);
  }
  if (!std::isfinite(log_.grad_norm)) FailAt("gradient norm", log_.grad_norm, step);
  std::map<std::string, double> sums = metrics.Sums(values);
  SumOverRanks(sums, ranks_);
  log_.loss = sums["loss"];
  sums.erase("loss");
  log_.metrics = std::move(sums);
  for (int64_t i : step) log_.tokens += objective_.Length(i);
  ++log_.step;
  if (reference_ != nullptr) reference_->AfterStep(log_.step);
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
  TrainState state{log_.step, log_.tokens, log_.examples, log_.seconds, optimizer_.State(), {}};
  if (reference_ != nullptr) state.reference = reference_->State();
  return state;
}

void Trainer::Restore(const TrainState& state) {
  optimizer_.Restore(state.optimizer.tensors, state.step);
  if (reference_ != nullptr) reference_->Restore(state.reference);
  log_.step = state.step;
  log_.tokens = state.tokens;
  log_.examples = state.examples;
  log_.seconds = state.seconds;
}

int64_t TotalSteps(const Objective& objective, const TrainOptions& options) {
  const int64_t all = StepsPerEpoch(objective, options) * options.epochs;
  return options.max_steps > 0 ? std::min(all, options.max_steps) : all;
}

PassSize LargestPass(const Objective& objective, const TrainOptions& options, int ranks) {
  const auto groups = objective.Groups();
  const auto group_of = GroupOf(groups);
  PassSize largest;
  for (const auto& step : StepsOf(objective, groups, options, 0))
    for (int rank = 0; rank < ranks; ++rank)
      for (const auto pass : Passes(ShareOf(step, group_of, rank, ranks), options.batch_size)) {
        const PassSize size = objective.SizeOf(pass);
        largest.tokens = std::max(largest.tokens, size.tokens);
        largest.targets = std::max(largest.targets, size.targets);
      }
  return largest;
}

std::map<std::string, double> Measure(const model::PhiModel& model, const Objective& objective,
                                      int64_t batch, Progress& progress, Ranks& ranks) {
  const c10::NoGradGuard no_grad;
  const auto groups = objective.Groups();
  std::vector<int64_t> all;
  for (const auto& group : groups) all.insert(all.end(), group.begin(), group.end());
  const auto share = ShareOf(all, GroupOf(groups), ranks.rank(), ranks.size());
  std::map<std::string, double> sums;
  at::Tensor survey;
  ranks.Together([&] { survey = objective.Survey(share, batch); });
  if (survey.defined()) ranks.Sum(survey);
  ranks.Together([&] {
    PassMetrics metrics;
    const auto passes = Passes(share, batch);
    ForEachPass(model, std::ssize(passes), /*backward=*/false, [&](int64_t i) {
      if (progress.StopRequested()) throw Interrupted("stopped while measuring held-out examples");
      metrics.Add(objective.Compute(passes[static_cast<std::size_t>(i)], all, survey));
    });
    const at::Tensor values = metrics.Values();
    if (values.defined()) sums = metrics.Sums(values.cpu());
  });
  SumOverRanks(sums, ranks);
  return sums;
}

}  // namespace pivotal::dpo

namespace pivotal {

void TrainOptions::Validate() const {
  // The names of values that are none of their enums throw.
  dpo::DataOrderName(order);
  dpo::ScheduleName(schedule);
  dpo::HalfUpdateName(optimizer.half_update);
  dpo::OptimizerTypeName(optimizer.type);
  dpo::ClipByName(optimizer.clip_by);
  if (!(optimizer.learning_rate > 0 && std::isfinite(optimizer.learning_rate)))
    Fail("learning rate must be above 0, got {}", optimizer.learning_rate);
  for (const double beta : {optimizer.beta1, optimizer.beta2})
    if (!(beta >= 0 && beta < 1)) Fail("AdamW's betas must be in [0, 1), got {}", beta);
  if (!(optimizer.epsilon > 0)) Fail("AdamW's epsilon must be above 0, got {}", optimizer.epsilon);
  if (!(optimizer.weight_decay >= 0))
    Fail("weight decay must be 0 or larger, got {}", optimizer.weight_decay);
  if (!(optimizer.max_grad_norm >= 0))
    Fail("max grad norm must be 0 (off) or larger, got {}", optimizer.max_grad_norm);
  if (optimizer.fused_backward && gradient_accumulation > 1)
    Fail(
        "--fused-backward updates weights in each backward pass, so a step is one pass: take "
        "--gradient-accumulation 1 with a larger --batch-size, or leave it out");
  if (optimizer.fused_backward && optimizer.clip_by == ClipBy::kGlobal &&
      optimizer.max_grad_norm > 0)
    Fail(
        "--fused-backward updates weights before the norm of all gradients is known; take "
        "--clip-by tensor or previous, or --max-grad-norm 0");
  if (epochs < 1) Fail("epochs must be at least 1, got {}", epochs);
  if (batch_size < 1) Fail("batch size must be at least 1, got {}", batch_size);
  if (gradient_accumulation < 1)
    Fail("gradient accumulation must be at least 1, got {}", gradient_accumulation);
  if (max_steps < 0) Fail("max steps must be 0 (off) or larger, got {}", max_steps);
  if (!(warmup_ratio >= 0 && warmup_ratio < 1))
    Fail("warm-up ratio must be in [0, 1), got {}", warmup_ratio);
  if (warmup_steps < 0)
    Fail("warm-up steps must be 0 (by the ratio) or larger, got {}", warmup_steps);
  if (!(min_learning_rate_ratio >= 0 && min_learning_rate_ratio <= 1))
    Fail("min learning rate ratio must be in [0, 1], got {}", min_learning_rate_ratio);
}

}  // namespace pivotal
