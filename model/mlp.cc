// Apache-2.0.
#include "model/mlp.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros_like.h>

#include <limits>

namespace pivotal::model {
namespace {

// Even columns gate, odd columns are linear, as Phi-3-small's weights are laid out.
at::Tensor Gegelu(const at::Tensor& x, double limit) {
  const at::Tensor gate = x.slice(-1, 0, std::nullopt, 2).clamp_max(limit);
  const at::Tensor linear = x.slice(-1, 1, std::nullopt, 2).clamp(-limit, limit);
  return gate * at::sigmoid(1.702 * gate) * (linear + 1.0);
}

struct Choice {
  at::Tensor expert, weight;  // [N, 1]
};

// The expert with the highest of `scores` [N, experts], weighed by its softmax among those experts
// that come within twice `jitter` of it, relative to `original`.
Choice Best(const at::Tensor& scores, const at::Tensor& original, double jitter) {
  const auto [best, expert] = scores.detach().max(-1, /*keepdim=*/true);
  const at::Tensor distance = (best - original.detach()) / original.detach().abs().maximum(best);
  const at::Tensor near = scores.masked_fill(distance.gt(2 * jitter),
                                             -std::numeric_limits<double>::infinity());
  return {expert, at::softmax(near, -1).gather(-1, expert)};
}

at::Tensor Experts(const at::Tensor& x, const LayerWeights& layer, const PhiConfig& config) {
  const at::Tensor rows = x.reshape({-1, config.hidden_size});
  const at::Tensor scores = Apply(layer.router, rows);
  const Choice first = Best(scores, scores, config.router_jitter);
  const at::Tensor others =
      scores.scatter(-1, first.expert, -std::numeric_limits<double>::infinity());
  const Choice second = Best(others, scores, config.router_jitter);
  const at::Tensor chosen = at::cat({first.expert, second.expert}, -1);  // [N, 2]
  const at::Tensor weight = at::cat({first.weight, second.weight}, -1);
  at::Tensor out = at::zeros_like(rows);
  for (std::size_t i = 0; i < layer.experts.size(); ++i) {
    const auto where = chosen.eq(static_cast<int64_t>(i)).nonzero().unbind(-1);  // row, 0 or 1
    if (where[0].numel() == 0) continue;
    const Expert& expert = layer.experts[i];
    const at::Tensor input = rows.index_select(0, where[0]);
    const at::Tensor inner = at::silu(Apply(expert.gate, input)) * Apply(expert.up, input);
    const at::Tensor share =
        weight.flatten().index_select(0, where[0] * 2 + where[1]).unsqueeze(-1);
    out = out.index_add(0, where[0], Apply(expert.down, inner) * share);
  }
  return out.view_as(x);
}

}  // namespace

at::Tensor Apply(const Linear& linear, const at::Tensor& x) {
  const at::Tensor y = linear.bias.defined() ? at::linear(x, linear.weight, linear.bias)
                                             : at::linear(x, linear.weight);
  const auto& [a, b, scale] = linear.update;
  if (!a.defined()) return y;
  return (y + scale * at::linear(at::linear(x.to(a.scalar_type()), a), b)).to(y.scalar_type());
}

at::Tensor Mlp(const at::Tensor& x, const LayerWeights& layer, const PhiConfig& config) {
  switch (config.mlp) {
    case PhiConfig::Mlp::kSwiGlu: {
      const auto halves = Apply(layer.up, x).chunk(2, -1);
      return Apply(layer.down, at::silu(halves[0]) * halves[1]);
    }
    case PhiConfig::Mlp::kGelu:
      return Apply(layer.down, at::gelu(Apply(layer.up, x), "tanh"));
    case PhiConfig::Mlp::kGegelu:
      return Apply(layer.down, Gegelu(Apply(layer.up, x), config.gegelu_limit));
    case PhiConfig::Mlp::kExperts: break;
  }
  return Experts(x, layer, config);
}

}  // namespace pivotal::model
