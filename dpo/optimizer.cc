// Apache-2.0.
#include "dpo/optimizer.h"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <cmath>

namespace pivotal::dpo {

AdamW::AdamW(const model::PhiModel& model, const OptimizerOptions& options) : options_(options) {
  decayed_.weight_decay = options.weight_decay;
  for (const auto& [name, parameter] : model.parameters()) {
    Group& group = parameter.dim() >= 2 ? decayed_ : plain_;
    at::Tensor handle = parameter;
    handle.requires_grad_(true);
    group.parameters.push_back(handle);
    group.first_moments.push_back(at::zeros_like(parameter));
    group.second_moments.push_back(at::zeros_like(parameter));
    group.steps.push_back(at::zeros({}, parameter.options().dtype(at::kFloat)));
  }
}

AdamW::~AdamW() {
  for (Group* group : {&decayed_, &plain_}) {
    for (at::Tensor& parameter : group->parameters) {
      parameter.mutable_grad().reset();
      parameter.requires_grad_(false);
    }
  }
}

std::vector<at::Tensor> AdamW::Gradients(const Group& group) const {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : group.parameters) {
    const at::Tensor& gradient = parameter.grad();
    gradients.push_back(gradient.defined() ? gradient : at::zeros_like(parameter));
  }
  return gradients;
}

double AdamW::Step(double factor) {
  const c10::NoGradGuard no_grad;
  Group* groups[] = {&decayed_, &plain_};
  std::vector<at::Tensor> gradients[2], norms;
  for (int i = 0; i < 2; ++i) {
    gradients[i] = Gradients(*groups[i]);
    for (at::Tensor& norm : at::_foreach_norm(gradients[i])) norms.push_back(norm.to(at::kFloat));
  }
  const double norm = at::linalg_vector_norm(at::stack(norms)).item<double>();
  if (std::isfinite(norm)) {
    const double clip = options_.max_grad_norm > 0 && norm > options_.max_grad_norm
                            ? options_.max_grad_norm / norm : 1.0;
    for (int i = 0; i < 2; ++i) {
      Group& group = *groups[i];
      if (clip < 1.0) at::_foreach_mul_(gradients[i], at::Scalar(clip));
      for (at::Tensor& step : group.steps) step.add_(1);
      at::_fused_adamw_(group.parameters, gradients[i], group.first_moments, group.second_moments,
                        {}, group.steps, factor * options_.learning_rate, options_.beta1,
                        options_.beta2, group.weight_decay, options_.epsilon, /*amsgrad=*/false,
                        /*maximize=*/false);
    }
  }
  for (Group* group : groups)
    for (at::Tensor& parameter : group->parameters) parameter.mutable_grad().reset();
  return norm;
}

}  // namespace pivotal::dpo
