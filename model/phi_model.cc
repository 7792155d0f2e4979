// Apache-2.0.
#include "model/phi_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>

#include <utility>

#include "data/error.h"

namespace pivotal::model {
namespace {

std::string ShapeText(at::IntArrayRef shape) {
  std::string text = "[";
  for (int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

// Hands out checked weights by name and notices those that nobody took.
class WeightTaker {
 public:
  WeightTaker(const ParameterMap& parameters, const std::string& source)
      : parameters_(parameters), source_(source) {}

  at::Tensor Take(const std::string& name, std::vector<int64_t> shape) {
    const auto it = parameters_.find(name);
    if (it == parameters_.end())
      Fail("{}: tensor \"{}\" is missing; the file does not fit config.json", source_, name);
    if (it->second.sizes() != at::IntArrayRef(shape))
      Fail("{}: tensor \"{}\" has shape {}, config.json implies {}", source_, name,
           ShapeText(it->second.sizes()), ShapeText(shape));
    ++taken_;
    return it->second;
  }

  void ExpectAllTaken() const {
    if (taken_ != parameters_.size())
      Fail("{}: {} tensors, but config.json implies {}", source_, parameters_.size(), taken_);
  }

 private:
  const ParameterMap& parameters_;
  const std::string& source_;
  std::size_t taken_ = 0;
};

// Rotates [B, T, heads, D]: (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin), halves of D.
at::Tensor Rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const auto halves = x.chunk(2, -1);
  return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1);
}

}  // namespace

PhiModel::PhiModel(PhiConfig config, ParameterMap parameters, const std::string& source)
    : config_(std::move(config)), parameters_(std::move(parameters)) {
  const int64_t hidden = config_.hidden_size, mlp = config_.intermediate_size;
  const int64_t qkv = (config_.num_attention_heads + 2 * config_.num_key_value_heads) *
                      config_.head_dim();
  WeightTaker weights(parameters_, source);
  embedding_ = weights.Take("model.embed_tokens.weight", {config_.vocab_size, hidden});
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    const std::string prefix = fmt::format("model.layers.{}.", i);
    layers_.push_back({weights.Take(prefix + "input_layernorm.weight", {hidden}),
                       weights.Take(prefix + "self_attn.qkv_proj.weight", {qkv, hidden}),
                       weights.Take(prefix + "self_attn.o_proj.weight", {hidden, hidden}),
                       weights.Take(prefix + "post_attention_layernorm.weight", {hidden}),
                       weights.Take(prefix + "mlp.gate_up_proj.weight", {2 * mlp, hidden}),
                       weights.Take(prefix + "mlp.down_proj.weight", {hidden, mlp})});
  }
  final_norm_ = weights.Take("model.norm.weight", {hidden});
  head_ = config_.tie_word_embeddings
              ? embedding_
              : weights.Take("lm_head.weight", {config_.vocab_size, hidden});
  weights.ExpectAllTaken();

  const at::TensorOptions table = options().dtype(at::kFloat);
  const at::Tensor exponent = at::arange(0, config_.head_dim(), 2, table) /
                              static_cast<double>(config_.head_dim());
  const at::Tensor frequency = 1.0 / at::pow(config_.rope_theta, exponent);
  const at::Tensor angle = at::outer(at::arange(config_.max_position_embeddings, table), frequency);
  cos_ = angle.cos().to(options().dtype());
  sin_ = angle.sin().to(options().dtype());
}

at::Tensor PhiModel::Hidden(const at::Tensor& tokens) const {
  const int64_t length = tokens.size(1);
  Context context;
  context.cos = cos_.narrow(0, 0, length).view({1, length, 1, -1});
  context.sin = sin_.narrow(0, 0, length).view({1, length, 1, -1});
  context.length = length;
  if (config_.sliding_window > 0 && length > config_.sliding_window) {
    const at::Tensor position = at::arange(length, tokens.options());
    const at::Tensor distance = position.unsqueeze(1) - position.unsqueeze(0);
    context.mask = (distance.ge(0) & distance.lt(config_.sliding_window)).view({1, 1, length, length});
  }
  return Decode(tokens, context);
}

at::Tensor PhiModel::Hidden(const at::Tensor& tokens, const at::Tensor& positions, int64_t length,
                            KvCache& cache) const {
  const auto rows = positions.sizes();
  Context context;
  context.cos = cos_.index_select(0, positions.flatten()).view({rows[0], rows[1], 1, -1});
  context.sin = sin_.index_select(0, positions.flatten()).view({rows[0], rows[1], 1, -1});
  const at::Tensor key = at::arange(length, positions.options()).view({1, 1, 1, length});
  const at::Tensor query = positions.view({rows[0], 1, rows[1], 1});
  context.mask = key.le(query);
  if (config_.sliding_window > 0)
    context.mask = context.mask & key.gt(query - config_.sliding_window);
  context.positions = positions;
  context.length = length;
  context.cache = &cache;
  return Decode(tokens, context);
}

at::Tensor PhiModel::Logits(const at::Tensor& hidden) const { return at::linear(hidden, head_); }

at::Tensor PhiModel::Decode(const at::Tensor& tokens, const Context& context) const {
  const int64_t shape[] = {config_.hidden_size};
  const double eps = config_.rms_norm_eps;
  at::Tensor x = at::embedding(embedding_, tokens);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    x = x + Attention(at::rms_norm(x, shape, layer.input_norm, eps), static_cast<int64_t>(i), context);
    x = x + Mlp(at::rms_norm(x, shape, layer.post_norm, eps), layer);
  }
  return at::rms_norm(x, shape, final_norm_, eps);
}

at::Tensor PhiModel::Attention(const at::Tensor& x, int64_t layer, const Context& context) const {
  const int64_t batch = x.size(0), time = x.size(1), dim = config_.head_dim();
  const int64_t heads = config_.num_attention_heads, kv_heads = config_.num_key_value_heads;
  const int64_t group = heads / kv_heads;
  const at::Tensor qkv =
      at::linear(x, layers_[layer].qkv).view({batch, time, heads + 2 * kv_heads, dim});
  const at::Tensor rotated = Rotate(qkv.narrow(2, 0, heads + kv_heads), context.cos, context.sin);
  at::Tensor query = rotated.narrow(2, 0, heads);
  at::Tensor key = rotated.narrow(2, heads, kv_heads);
  at::Tensor value = qkv.narrow(2, heads + kv_heads, kv_heads);
  if (context.cache != nullptr) {
    context.cache->Write(layer, key, value, context.positions);
    key = context.cache->Keys(layer, batch, context.length);
    value = context.cache->Values(layer, batch, context.length);
  }
  const bool causal = !context.mask.defined();
  const std::optional<at::Tensor> mask =
      causal ? std::nullopt : std::optional<at::Tensor>(context.mask);
  at::Tensor out;
  if (time == 1) {
    // All query heads of a group read their keys at once: they stand in as the time dimension.
    query = query.reshape({batch, kv_heads, group, dim});
    out = at::scaled_dot_product_attention(query, key.transpose(1, 2), value.transpose(1, 2), mask);
    out = out.reshape({batch, 1, heads * dim});
  } else {
    const auto repeat = [&](const at::Tensor& t) {
      return group == 1 ? t : t.repeat_interleave(group, 2);
    };
    out = at::scaled_dot_product_attention(query.transpose(1, 2), repeat(key).transpose(1, 2),
                                           repeat(value).transpose(1, 2), mask, 0.0, causal);
    out = out.transpose(1, 2).reshape({batch, time, heads * dim});
  }
  return at::linear(out, layers_[layer].output);
}

at::Tensor PhiModel::Mlp(const at::Tensor& x, const Layer& layer) const {
  const auto halves = at::linear(x, layer.gate_up).chunk(2, -1);
  return at::linear(at::silu(halves[0]) * halves[1], layer.down);
}

}  // namespace pivotal::model
