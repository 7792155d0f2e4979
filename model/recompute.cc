// Apache-2.0.
#include "model/recompute.h"

#include <ATen/core/ivalue.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace pivotal::model {
namespace {

using Function = std::function<at::Tensor(const at::Tensor&)>;

struct Holder : torch::CustomClassHolder {
  explicit Holder(Function f) : f(std::move(f)) {}
  Function f;
};

struct RecomputeFunction : torch::autograd::Function<RecomputeFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const c10::intrusive_ptr<Holder>& holder) {
    context->save_for_backward({x});
    context->saved_data["f"] = c10::IValue::make_capsule(holder);
    return holder->f(x);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto holder =
        c10::static_intrusive_pointer_cast<Holder>(context->saved_data["f"].toCapsule());
    const at::AutoGradMode with_grad(true);
    const at::Tensor x = context->get_saved_variables()[0].detach().requires_grad_(true);
    const at::Tensor y = holder->f(x);
    torch::autograd::backward({y}, {gradients[0]});
    return {x.grad(), at::Tensor()};
  }
};

}  // namespace

at::Tensor Recompute(Function f, const at::Tensor& x) {
  if (!at::GradMode::is_enabled()) return f(x);
  // Weights inside f want gradients even where x, a frozen embedding, does not.
  const at::Tensor input = x.requires_grad() ? x : x.detach().requires_grad_(true);
  return RecomputeFunction::apply(input, c10::make_intrusive<Holder>(std::move(f)));
}

}  // namespace pivotal::model
