// Apache-2.0.
#include "model/layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/argsort.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "model/quantised_matrix.h"
#include "model/tensor_transfer.h"

namespace pivotal::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Phi-3-small's activation: even columns are the gate, odd columns are linear.
at::Tensor Gegelu(const at::Tensor& x, double limit) {
  const at::Tensor gate = x.slice(-1, 0, std::nullopt, 2).clamp_max(limit);
  const at::Tensor linear = x.slice(-1, 1, std::nullopt, 2).clamp(-limit, limit);
  return gate * at::sigmoid(1.702 * gate) * (linear + 1.0);
}

struct ExpertChoice {
  at::Tensor expert, weight;  // [N, 1]
};

// Chooses the expert with the highest of `scores` [N, experts]. Its weight is its softmax among the
// experts whose distance from it, relative to `original`, is at most twice `jitter`.
ExpertChoice BestExpert(const at::Tensor& scores, const at::Tensor& original, double jitter) {
  const auto [best, expert] = scores.detach().max(-1, /*keepdim=*/true);
  const at::Tensor distance = (best - original.detach()) / original.detach().abs().maximum(best);
  const at::Tensor near =
      scores.masked_fill(distance.gt(2 * jitter), -std::numeric_limits<double>::infinity());
  return {expert, at::softmax(near, -1).gather(-1, expert)};
}

at::Tensor Experts(const at::Tensor& x, const LayerWeights& layer, const PhiConfig& config) {
  const at::Tensor rows = x.reshape({-1, config.hidden_size});
  const at::Tensor scores = Apply(layer.router, rows);
  const ExpertChoice first = BestExpert(scores, scores, config.router_jitter);
  const at::Tensor others =
      scores.scatter(-1, first.expert, -std::numeric_limits<double>::infinity());
  const ExpertChoice second = BestExpert(others, scores, config.router_jitter);
  const at::Tensor chosen = at::cat({first.expert, second.expert}, -1);  // [N, 2]
  const at::Tensor weight = at::cat({first.weight, second.weight}, -1);
  // Places in `chosen`, those of each expert together. The program waits for a GPU once, for their
  // numbers.
  const at::Tensor places = at::argsort(chosen.flatten(), /*stable=*/true, 0, false);
  const auto count = std::ssize(layer.experts);
  const at::Tensor numbers =
      chosen.flatten().unsqueeze(0).eq(at::arange(count, chosen.options()).unsqueeze(1)).sum(1);
  const at::Tensor lengths = numbers.to(at::kCPU, at::kLong);
  const auto of_expert = places.split_with_sizes(
      at::IntArrayRef(lengths.const_data_ptr<int64_t>(), static_cast<std::size_t>(count)));
  at::Tensor out = at::zeros_like(rows);
  for (std::size_t i = 0; i < layer.experts.size(); ++i) {
    if (of_expert[i].numel() == 0) continue;
    const Expert& expert = layer.experts[i];
    const at::Tensor row = of_expert[i].floor_divide(2);
    const at::Tensor input = rows.index_select(0, row);
    const at::Tensor inner = at::silu(Apply(expert.gate, input)) * Apply(expert.up, input);
    const at::Tensor row_weight = weight.flatten().index_select(0, of_expert[i]).unsqueeze(-1);
    out = out.index_add(0, row, Apply(expert.down, inner) * row_weight);
  }
  return out.view_as(x);
}

// Returns the frequencies 1 / (factor * theta^(2i/R)), in float32 as transformers computes them.
at::Tensor Frequencies(const PhiConfig& config, const std::vector<double>& factors,
                       at::Device device) {
  const auto options = at::TensorOptions(at::kFloat);
  const int64_t dim = config.rotary_dim();
  at::Tensor scaled =
      at::pow(config.rope.theta, at::arange(0, dim, 2, options) / static_cast<double>(dim));
  if (!factors.empty()) scaled = at::tensor(factors, options) * scaled;
  return (1.0 / scaled).to(device);
}

// Returns the gradients of x and weight, and of epsilon none, for those that `context` needs. For
// u = x / sqrt(mean(x^2) + epsilon) and the gradient g of u * weight, the gradient of x is
// (g * weight - u * mean(g * weight * u)) / sqrt(mean(x^2) + epsilon). `scale` is one over that
// root.
variable_list RmsNormGradients(AutogradContext* context, const at::Tensor& gradient,
                               const at::Tensor& unit, const at::Tensor& scale,
                               const at::Tensor& weight) {
  const at::Tensor product = gradient * unit;
  variable_list input_gradients(3);
  if (context->needs_input_grad(0)) {
    const at::Tensor mean = at::matmul(product, weight).div_(unit.size(-1)).unsqueeze(-1);
    input_gradients[0] = (gradient * weight).addcmul_(unit, mean, -1).mul_(scale);
  }
  if (context->needs_input_grad(1)) input_gradients[1] = product.flatten(0, -2).sum(0);
  return input_gradients;
}

at::Tensor RmsScale(const at::Tensor& x, double epsilon) {
  return x.pow(2).mean(-1, /*keepdim=*/true).add_(epsilon).rsqrt_();
}

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon) {
    const at::Tensor scale = RmsScale(x, epsilon);
    const at::Tensor unit = x * scale;
    context->save_for_backward({unit, scale, weight});
    return unit * weight;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    return RmsNormGradients(context, gradients[0], saved[0], saved[1], saved[2]);
  }
};

// The same in 16 bits: computes in float32 and keeps nothing in it.
struct HalfRmsNormFunction : torch::autograd::Function<HalfRmsNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon) {
    context->save_for_backward({x, weight});
    context->saved_data["epsilon"] = epsilon;
    return at::rms_norm(x, weight.sizes(), weight, epsilon);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor x = saved[0].to(at::kFloat);
    const at::Tensor scale = RmsScale(x, context->saved_data["epsilon"].toDouble());
    variable_list wide = RmsNormGradients(context, gradients[0].to(at::kFloat), x * scale, scale,
                                          saved[1].to(at::kFloat));
    for (std::size_t i = 0; i < saved.size(); ++i)
      if (wide[i].defined()) wide[i] = wide[i].to(saved[i].scalar_type());
    return wide;
  }
};

at::Tensor Gated(const at::Tensor& x) {
  const auto halves = x.chunk(2, -1);
  return at::silu(halves[0]).mul_(halves[1]);
}

struct SwiGluFunction : torch::autograd::Function<SwiGluFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x) {
    context->save_for_backward({x});
    return Gated(x);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor x = context->get_saved_variables()[0];
    const auto halves = x.chunk(2, -1);
    at::Tensor gradient = at::empty_like(x);
    auto parts = gradient.chunk(2, -1);
    at::silu_backward_out(parts[0], gradients[0] * halves[1], halves[0]);
    at::mul_out(parts[1], gradients[0], at::silu(halves[0]));
    return {gradient};
  }
};

at::Tensor Rotated(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  at::Tensor out = x * cos;
  const auto xs = x.chunk(2, -1), sins = sin.chunk(2, -1);
  const auto outs = out.chunk(2, -1);
  outs[0].addcmul_(xs[1], sins[0]);
  outs[1].addcmul_(xs[0], sins[1]);
  return out;
}

// The gradient of a rotation is the rotation back.
struct RotateFunction : torch::autograd::Function<RotateFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cos,
                            const at::Tensor& sin) {
    context->save_for_backward({cos, sin});
    return Rotated(x, cos, sin);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    return {Rotated(gradients[0], saved[0], -saved[1]), at::Tensor(), at::Tensor()};
  }
};

// Returns whether a backward pass through `x` may come.
bool Recorded(const at::Tensor& x) { return at::GradMode::is_enabled() && x.requires_grad(); }

using TensorFunction = std::function<at::Tensor(const at::Tensor&)>;

// Carries `f` from the forward to the backward pass.
struct FunctionHolder : torch::CustomClassHolder {
  explicit FunctionHolder(TensorFunction f) : f(std::move(f)) {}
  TensorFunction f;
};

struct RecomputeFunction : torch::autograd::Function<RecomputeFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const c10::intrusive_ptr<FunctionHolder>& holder) {
    context->save_for_backward({x});
    context->saved_data["f"] = c10::IValue::make_capsule(holder);
    return holder->f(x);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto holder =
        c10::static_intrusive_pointer_cast<FunctionHolder>(context->saved_data["f"].toCapsule());
    const at::AutoGradMode with_grad(true);
    const at::Tensor x = context->get_saved_variables()[0].detach().requires_grad_(true);
    const at::Tensor y = holder->f(x);
    torch::autograd::backward({y}, {gradients[0]});
    return {x.grad(), at::Tensor()};
  }
};

}  // namespace

at::Tensor Product(const Linear& linear, const at::Tensor& x) {
  if (linear.quantised) return MultiplyQuantised(linear.quantised, x, linear.bias);
  return linear.bias.defined() ? at::linear(x, linear.weight, linear.bias)
                               : at::linear(x, linear.weight);
}

at::Tensor Apply(const Linear& linear, const at::Tensor& x) {
  const at::Tensor y = Product(linear, x);
  const auto& [a, b, scale] = linear.update;
  if (!a.defined()) return y;
  return (y + scale * at::linear(at::linear(x.to(a.scalar_type()), a), b)).to(y.scalar_type());
}

at::Tensor Mlp(const at::Tensor& x, const LayerWeights& layer, const PhiConfig& config) {
  switch (config.mlp) {
    case PhiConfig::Mlp::kSwiGlu: return Apply(layer.down, SwiGlu(Apply(layer.up, x)));
    case PhiConfig::Mlp::kGelu: return Apply(layer.down, at::gelu(Apply(layer.up, x), "tanh"));
    case PhiConfig::Mlp::kGegelu:
      return Apply(layer.down, Gegelu(Apply(layer.up, x), config.gegelu_limit));
    case PhiConfig::Mlp::kExperts: break;
  }
  return Experts(x, layer, config);
}

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  const bool wide = x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble;
  const bool wants = at::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
  if (x.is_cpu() && wants && x.dim() > 1)
    return wide ? RmsNormFunction::apply(x, weight, epsilon)
                : HalfRmsNormFunction::apply(x, weight, epsilon);
  return at::rms_norm(x, weight.sizes(), weight, epsilon);
}

at::Tensor SwiGlu(const at::Tensor& x) { return Recorded(x) ? SwiGluFunction::apply(x) : Gated(x); }

at::Tensor RotateHalves(const at::Tensor& x, const RopeAngles& angles) {
  return Recorded(x) ? RotateFunction::apply(x, angles.cos, angles.sin)
                     : Rotated(x, angles.cos, angles.sin);
}

Rope::Rope(const PhiConfig& config, const at::TensorOptions& options)
    : config_(config.rope),
      rotary_dim_(config.rotary_dim()),
      dtype_(c10::typeMetaToScalarType(options.dtype())),
      short_(Frequencies(config, config.rope.short_factor, options.device())),
      long_(Frequencies(config, config.rope.long_factor, options.device())),
      short_scale_(at::full({}, config.rope.short_scale, options.dtype(at::kFloat))),
      long_scale_(at::full({}, config.rope.long_scale, options.dtype(at::kFloat))) {}

RopeAngles Rope::Angles(const at::Tensor& positions, std::span<const int64_t> lengths) const {
  const auto is_long = [&](int64_t length) { return config_.IsLong(length); };
  const auto count = std::ranges::count_if(lengths, is_long);
  if (count == 0) return Angles(positions, at::Tensor());
  if (count == static_cast<int64_t>(lengths.size()))
    return Finish(positions, long_, config_.long_scale, {});
  std::vector<int64_t> flags;  // rows of both kinds
  for (int64_t length : lengths) flags.push_back(is_long(length) ? 1 : 0);
  return Angles(positions, ToDevice(flags, positions.device()).to(at::kBool));
}

RopeAngles Rope::Angles(const at::Tensor& positions, const at::Tensor& is_long) const {
  if (!is_long.defined()) return Finish(positions, short_, config_.short_scale, {});
  const at::Tensor row = is_long.view({-1, 1, 1});
  return Finish(positions, at::where(row, long_, short_), 1,
                at::where(row, long_scale_, short_scale_));
}

RopeAngles Rope::Finish(const at::Tensor& positions, const at::Tensor& frequency, double scale,
                        const at::Tensor& scales) const {
  const at::Tensor angle = positions.to(at::kFloat).unsqueeze(-1) * frequency;  // [B, T, R/2]
  const auto finish = [&](at::Tensor values) {
    if (scales.defined())
      values = values * scales;
    else if (scale != 1.0)
      values = values * scale;
    return values.to(dtype_).unsqueeze(2);
  };
  const at::Tensor cos = angle.cos(), sin = angle.sin();
  return {finish(at::cat({cos, cos}, -1)), finish(at::cat({-sin, sin}, -1))};
}

at::Tensor Rope::Rotate(const at::Tensor& x, const RopeAngles& angles) const {
  const auto rotate = [&](const at::Tensor& part) {
    if (part.is_cuda()) return RotateHalves(part, angles);
    return part * angles.cos + part.roll(rotary_dim_ / 2, -1) * angles.sin;
  };
  if (rotary_dim_ == x.size(-1)) return rotate(x);
  const auto parts = x.split_with_sizes({rotary_dim_, x.size(-1) - rotary_dim_}, -1);
  return at::cat({rotate(parts[0]), parts[1]}, -1);
}

at::Tensor Recompute(TensorFunction f, const at::Tensor& x) {
  if (!at::GradMode::is_enabled()) return f(x);
  // Weights inside f may require gradients even if x, from a frozen embedding, does not.
  const at::Tensor input = x.requires_grad() ? x : x.detach().requires_grad_(true);
  return RecomputeFunction::apply(input, c10::make_intrusive<FunctionHolder>(std::move(f)));
}

}  // namespace pivotal::model
