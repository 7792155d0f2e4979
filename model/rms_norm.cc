// Apache-2.0.
#include "model/rms_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/rms_norm.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

namespace pivotal::model {
namespace {

using torch::autograd::variable_list;

// With u = x / sqrt(mean(x^2) + epsilon) and gradient g of u * weight, x has that of
// (g * weight - u * mean(g * weight * u)) / sqrt(mean(x^2) + epsilon).
struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, double epsilon) {
    const at::Tensor scale = x.pow(2).mean(-1, /*keepdim=*/true).add_(epsilon).rsqrt_();
    const at::Tensor unit = x * scale;
    context->save_for_backward({unit, scale, weight});
    return unit * weight;
  }
  static variable_list backward(torch::autograd::AutogradContext* context,
                                const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &unit = saved[0], &scale = saved[1], &weight = saved[2];
    const at::Tensor product = gradients[0] * unit;
    variable_list of(3);
    if (context->needs_input_grad(0)) {
      const at::Tensor mean = at::matmul(product, weight).div_(unit.size(-1)).unsqueeze(-1);
      of[0] = (gradients[0] * weight).addcmul_(unit, mean, -1).mul_(scale);
    }
    if (context->needs_input_grad(1)) of[1] = product.flatten(0, -2).sum(0);
    return of;
  }
};

}  // namespace

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  const bool wide = x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble;
  const bool wants = c10::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
  if (x.is_cpu() && wide && wants && x.dim() > 1) return RmsNormFunction::apply(x, weight, epsilon);
  return at::rms_norm(x, weight.sizes(), weight, epsilon);
}

}  // namespace pivotal::model
