// Apache-2.0.
#include "dpo/optimizer.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <utility>

#include "data/base/error.h"
#include "data/base/names.h"
#include "kernels/philox.h"
#include "model/memory.h"
#include "model/tensor_transfer.h"

namespace pivotal::dpo {
namespace {

constexpr auto kHalfUpdates = data::MakeNameTable<HalfUpdate>(
    "update of 16-bit weights",
    {{HalfUpdate::kMaster, "master"}, {HalfUpdate::kStochastic, "stochastic"}});

// Returns whether `t` is of a 16-bit type.
bool IsHalf(const at::Tensor& t) {
  return t.scalar_type() == at::kBFloat16 || t.scalar_type() == at::kHalf;
}

// Returns the type of optimizer state for `t`: float32 or wider.
at::ScalarType WideType(const at::Tensor& t) { return IsHalf(t) ? at::kFloat : t.scalar_type(); }

}  // namespace

std::vector<std::string> HalfUpdateNames() { return kHalfUpdates.Names(); }
std::string_view HalfUpdateName(HalfUpdate update) { return kHalfUpdates.Name(update); }
HalfUpdate ParseHalfUpdate(const std::string& name) { return kHalfUpdates.Parse(name); }

at::Tensor StochasticRound(const at::Tensor& x, uint64_t seed) {
  if (x.scalar_type() != at::kFloat) Fail("stochastic rounding needs a float32 tensor");
  at::Generator generator = at::globalContext().defaultGenerator(x.device()).clone();
  generator.set_current_seed(seed);
  // A bfloat16 is the upper 16 bits of a float32. Random noise in the lower 16 bits carries into
  // the upper ones with probability (lower bits) / 2^16, the fraction of the way to the next
  // bfloat16.
  const at::Tensor noise =
      at::randint(0, 1 << 16, x.sizes(), generator, x.options().dtype(at::kInt));
  const at::Tensor bits = x.view(at::kInt).add(noise).bitwise_and_(at::Scalar(-(1 << 16)));
  return bits.view(at::kFloat).to(at::kBFloat16);
}

std::vector<std::size_t> Runs(std::span<const int64_t> elements, int64_t limit) {
  std::vector<std::size_t> runs;
  int64_t sum = 0;
  for (int64_t count : elements) {
    if (runs.empty() || sum + count > limit) {
      runs.push_back(0);
      sum = 0;
    }
    ++runs.back();
    sum += count;
  }
  return runs;
}

AdamW::AdamW(const model::PhiModel& model, const OptimizerOptions& options, Ranks& ranks)
    : options_(options), ranks_(ranks), step_(at::zeros({}, model.options().dtype(at::kFloat))) {
  const model::ParameterMap trainable = model.Trainable();
  const std::vector<Bucket> buckets = PlanBuckets(trainable, ranks.size());
  std::map<std::string, int> owners;
  for (const Bucket& bucket : buckets)
    for (const std::string& name : bucket.names) owners[name] = bucket.owner;
  for (const auto& [name, tensor] : trainable) {
    Slot& slot = slots_.emplace_back();
    slot.name = name;
    slot.parameter = tensor;
    slot.parameter.requires_grad_(true);
    slot.owner = owners.at(name);
    slot.weight_decay = tensor.dim() >= 2 ? options.weight_decay : 0.0;
    if (Owns(slot)) MakeState(slot);
  }
  std::map<std::pair<at::ScalarType, double>, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < slots_.size(); ++i)
    if (Owns(slots_[i]))
      groups[{slots_[i].parameter.scalar_type(), slots_[i].weight_decay}].push_back(i);
  for (auto& [kind, slots] : groups) groups_.push_back(std::move(slots));
  exchange_ = std::make_unique<GradientExchange>(trainable, buckets, ranks);
}

AdamW::~AdamW() {
  exchange_.reset();
  for (Slot& slot : slots_) {
    slot.parameter.mutable_grad().reset();
    slot.parameter.requires_grad_(false);
  }
}

void AdamW::MakeState(Slot& slot) const {
  const at::Tensor value = slot.parameter.detach();
  const bool half = IsHalf(value);
  const at::Tensor moments = at::zeros_like(value, value.options().dtype(WideType(value)));
  slot.first_moment = moments;
  slot.second_moment = moments.clone();
  if (!half) {
    slot.master = value;
  } else if (options_.half_update == HalfUpdate::kMaster) {
    slot.master = value.to(at::kFloat);
  } else if (value.scalar_type() != at::kBFloat16) {
    Fail("stochastic rounding needs bfloat16 weights; {} is {}", slot.name,
         c10::toString(value.scalar_type()));
  }
}

template <typename F>
void AdamW::ForState(const Slot& slot, F f) const {
  f("first_moment." + slot.name, slot.first_moment);
  f("second_moment." + slot.name, slot.second_moment);
  if (IsHalf(slot.parameter) && options_.half_update == HalfUpdate::kMaster)
    f("master." + slot.name, slot.master);
}

std::map<std::string, at::Tensor> AdamW::State() const {
  std::map<std::string, at::Tensor> state;
  for (const Slot& slot : slots_) {
    ForState(slot, [&](const std::string& name, at::Tensor tensor) {
      if (!Owns(slot))
        tensor = at::empty(slot.parameter.sizes(),
                           slot.parameter.options().dtype(WideType(slot.parameter)));
      ranks_.Broadcast(tensor, slot.owner);
      if (Owns(slot) || ranks_.rank() == 0) state[name] = tensor;
    });
  }
  return state;
}

void AdamW::Restore(const std::map<std::string, at::Tensor>& state, int64_t steps) {
  const c10::NoGradGuard no_grad;
  for (const Slot& slot : slots_) {
    if (!Owns(slot)) continue;
    ForState(slot, [&](const std::string& name, at::Tensor tensor) {
      const auto it = state.find(name);
      if (it == state.end() || it->second.sizes() != tensor.sizes())
        Fail(
            "the saved optimizer state belongs to other weights: {} is missing or has another "
            "shape",
            name);
      tensor.copy_(it->second);
    });
  }
  CountSteps(steps);
}

void AdamW::CountSteps(int64_t steps) {
  steps_ = steps;
  step_.fill_(steps);
}

void AdamW::Update(std::span<const std::size_t> slots, const Change& change) {
  std::vector<at::Tensor> masters, gradients, first, second;
  for (std::size_t i : slots) {
    Slot& slot = slots_[i];
    const at::Tensor gradient = slot.parameter.grad();
    gradients.push_back(gradient.defined() ? gradient.to(slot.first_moment.scalar_type())
                                           : at::zeros_like(slot.first_moment));
    slot.parameter.mutable_grad().reset();
    masters.push_back(slot.master.defined() ? slot.master : slot.parameter.to(at::kFloat));
    first.push_back(slot.first_moment);
    second.push_back(slot.second_moment);
  }
  if (change.clip.defined()) at::_foreach_mul_(gradients, change.clip.to(first[0].scalar_type()));
  at::_fused_adamw_(masters, gradients, first, second, {}, std::vector(slots.size(), step_),
                    change.learning_rate, options_.beta1, options_.beta2,
                    slots_[slots[0]].weight_decay, options_.epsilon, /*amsgrad=*/false,
                    /*maximize=*/false, /*grad_scale=*/{}, /*found_inf=*/change.nothing);
  // What has not changed is rounded to what it was.
  if (!slots_[slots[0]].master.defined()) {
    const uint64_t seed = kernels::MixStream(options_.rounding_seed, steps_);
    for (std::size_t k = 0; k < slots.size(); ++k)
      slots_[slots[k]].parameter.copy_(
          StochasticRound(masters[k], kernels::MixStream(seed, slots[k])));
  } else if (IsHalf(slots_[slots[0]].parameter)) {
    std::vector<at::Tensor> parameters;
    for (std::size_t i : slots) parameters.push_back(slots_[i].parameter);
    at::_foreach_copy_(parameters, masters);
  }
}

at::Tensor AdamW::GradNorm(const at::Tensor& values) const {
  std::vector<at::Tensor> norms(slots_.size(), at::zeros_like(step_));
  for (const auto& group : groups_) {
    std::vector<std::size_t> slots;
    std::vector<at::Tensor> gradients;
    for (std::size_t i : group) {
      if (!slots_[i].parameter.grad().defined()) continue;
      slots.push_back(i);
      gradients.push_back(slots_[i].parameter.grad());
    }
    if (slots.empty()) continue;
    const auto found = at::_foreach_norm(gradients, 2, WideType(slots_[slots[0]].parameter));
    for (std::size_t k = 0; k < slots.size(); ++k) norms[slots[k]] = found[k].to(at::kFloat);
  }
  const at::Tensor all = at::stack(norms);
  // Zero times a loss that is not finite is not a number.
  if (values.defined()) all.select(0, 0).add_((values.select(1, 0) * 0).sum());
  ranks_.Sum(all);  // for each weight, only its owner has a norm above 0
  return at::linalg_vector_norm(all);
}

double AdamW::Step(double factor) {
  at::Tensor none;
  return Step(factor, none);
}

double AdamW::Step(double factor, at::Tensor& values) {
  const c10::NoGradGuard no_grad;
  exchange_->Finish();
  const at::Tensor norm = GradNorm(values), wide_norm = norm.to(at::kDouble);
  // Everything is decided on the device: it goes on with the update while the host waits for this.
  model::HostCopy numbers(values.defined() ? at::cat({wide_norm.view(1), values.flatten()})
                                           : wide_norm.view(1));
  Change change{factor * options_.learning_rate, {}, norm.isfinite().logical_not().to(at::kFloat)};
  if (options_.max_grad_norm > 0) {
    change.clip = (options_.max_grad_norm / wide_norm).clamp_max(1);
    // The CPU has this number already.
    if (norm.is_cpu() && change.clip.item<double>() == 1) change.clip.reset();
  }
  CountSteps(steps_ + 1);
  for (std::span<const std::size_t> group : groups_) {
    std::vector<int64_t> widened;
    for (std::size_t i : group)
      widened.push_back(IsHalf(slots_[i].parameter) ? slots_[i].parameter.numel() : 0);
    for (std::size_t count : Runs(widened, model::kWideElements)) {
      Update(group.first(count), change);
      group = group.subspan(count);
    }
  }
  for (Slot& slot : slots_) {
    slot.parameter.mutable_grad().reset();
    ranks_.Broadcast(slot.parameter, slot.owner);
  }
  const at::Tensor& read = numbers.Wait();
  if (values.defined()) values = read.slice(0, 1).view(values.sizes());
  const double result = read.const_data_ptr<double>()[0];
  if (!std::isfinite(result)) CountSteps(steps_ - 1);
  return result;
}

}  // namespace pivotal::dpo
