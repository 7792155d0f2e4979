// Apache-2.0.
#include "dpo/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "data/error.h"
#include "dpo/stochastic_round.h"
#include "kernels/philox.h"

namespace pivotal::dpo {
namespace {

bool IsHalf(const at::Tensor& t) {
  return t.scalar_type() == at::kBFloat16 || t.scalar_type() == at::kHalf;
}

}  // namespace

AdamW::AdamW(const model::PhiModel& model, const OptimizerOptions& options)
    : options_(options), step_(at::zeros({}, model.options().dtype(at::kFloat))) {
  for (const auto& [name, tensor] : model.Trainable()) {
    Slot& slot = slots_.emplace_back();
    slot.name = name;
    slot.parameter = tensor;
    slot.parameter.requires_grad_(true);
    slot.weight_decay = tensor.dim() >= 2 ? options.weight_decay : 0.0;
    const at::Tensor value = tensor.detach();
    const bool half = IsHalf(value);
    const at::Tensor moments = at::zeros_like(value, half ? value.options().dtype(at::kFloat) : value.options());
    slot.first_moment = moments;
    slot.second_moment = moments.clone();
    if (!half) {
      slot.master = value;
    } else if (options.half_update == HalfUpdate::kMaster) {
      slot.master = value.to(at::kFloat);
    } else if (value.scalar_type() != at::kBFloat16) {
      Fail("stochastic rounding is for bfloat16 weights; {} is {}", name,
           c10::toString(value.scalar_type()));
    }
  }
}

AdamW::~AdamW() {
  for (Slot& slot : slots_) {
    slot.parameter.mutable_grad().reset();
    slot.parameter.requires_grad_(false);
  }
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

std::map<std::string, at::Tensor> AdamW::State() const {
  std::map<std::string, at::Tensor> state;
  for (const Slot& slot : slots_) {
    state["first_moment." + slot.name] = slot.first_moment;
    state["second_moment." + slot.name] = slot.second_moment;
    if (IsHalf(slot.parameter) && slot.master.defined()) state["master." + slot.name] = slot.master;
  }
  return state;
}

void AdamW::Restore(const std::map<std::string, at::Tensor>& state, int64_t steps) {
  const c10::NoGradGuard no_grad;
  for (auto& [name, tensor] : State()) {
    const auto it = state.find(name);
    if (it == state.end() || it->second.sizes() != tensor.sizes())
      Fail("the saved optimizer state is of other weights: {} does not fit", name);
    at::Tensor(tensor).copy_(it->second);
  }
  steps_ = steps;
  step_.fill_(steps);
}

double AdamW::Step(double factor) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> norms;
  for (const Slot& slot : slots_) {
    const at::Tensor& gradient = slot.parameter.grad();
    if (!gradient.defined()) continue;
    norms.push_back(at::linalg_vector_norm(gradient, 2, {}, false, slot.first_moment.scalar_type())
                        .to(at::kFloat));
  }
  const double norm =
      norms.empty() ? 0.0 : at::linalg_vector_norm(at::stack(norms)).item<double>();
  const bool finite = std::isfinite(norm);
  const double clip = options_.max_grad_norm > 0 && norm > options_.max_grad_norm
                          ? options_.max_grad_norm / norm : 1.0;
  if (finite) {
    step_.add_(1);
    ++steps_;
  }
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (finite) {
      at::Tensor gradient = slot.parameter.grad().defined()
                                ? slot.parameter.grad().to(slot.first_moment.scalar_type())
                                : at::zeros_like(slot.first_moment);
      if (clip < 1.0) gradient.mul_(clip);
      Update(slot, gradient, factor * options_.learning_rate,
             kernels::MixStream(kernels::MixStream(options_.rounding_seed, steps_), i));
    }
    slot.parameter.mutable_grad().reset();
  }
  return norm;
}

}  // namespace pivotal::dpo
