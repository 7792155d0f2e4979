// Apache-2.0.
#include "dpo/optimizer.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "data/base/error.h"
#include "data/base/names.h"
#include "kernels/philox.h"

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

void AdamW::Update(Slot& slot, const at::Tensor& gradient, double learning_rate,
                   uint64_t rounding_seed) {
  const at::Tensor master = slot.master.defined() ? slot.master : slot.parameter.to(at::kFloat);
  at::_fused_adamw_({master}, {gradient}, {slot.first_moment}, {slot.second_moment}, {}, {step_},
                    learning_rate, options_.beta1, options_.beta2, slot.weight_decay,
                    options_.epsilon, /*amsgrad=*/false, /*maximize=*/false);
  if (!slot.master.defined()) {
    slot.parameter.copy_(StochasticRound(master, rounding_seed));
  } else if (IsHalf(slot.parameter)) {
    slot.parameter.copy_(master);
  }
}

double AdamW::GradNorm() const {
  std::vector<at::Tensor> norms;
  for (const Slot& slot : slots_) {
    const at::Tensor& gradient = slot.parameter.grad();
    norms.push_back(gradient.defined() ? at::linalg_vector_norm(gradient, 2, {}, false,
                                                                slot.first_moment.scalar_type())
                                             .to(at::kFloat)
                                       : at::zeros_like(step_));
  }
  const at::Tensor all = at::stack(norms);
  ranks_.Sum(all);  // for each weight, only its owner has a norm above 0
  return at::linalg_vector_norm(all).item<double>();
}

double AdamW::Step(double factor) {
  const c10::NoGradGuard no_grad;
  exchange_->Finish();
  const double norm = GradNorm();
  const bool finite = std::isfinite(norm);
  const double clip = options_.max_grad_norm > 0 && norm > options_.max_grad_norm
                          ? options_.max_grad_norm / norm
                          : 1.0;
  if (finite) CountSteps(steps_ + 1);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (finite && Owns(slot)) {
      at::Tensor gradient = slot.parameter.grad().defined()
                                ? slot.parameter.grad().to(slot.first_moment.scalar_type())
                                : at::zeros_like(slot.first_moment);
      if (clip < 1.0) gradient.mul_(clip);
      Update(slot, gradient, factor * options_.learning_rate,
             kernels::MixStream(kernels::MixStream(options_.rounding_seed, steps_), i));
    }
    slot.parameter.mutable_grad().reset();
  }
  if (finite)
    for (const Slot& slot : slots_) ranks_.Broadcast(slot.parameter, slot.owner);
  return norm;
}

}  // namespace pivotal::dpo
