// Apache-2.0.
#include "model/phi_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "data/error.h"
#include "model/attention_mask.h"
#include "model/mlp.h"

namespace pivotal::model {
namespace {

std::string ShapeText(at::IntArrayRef shape) {
  std::string text = "[";
  for (int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

// Hands out checked weights by name; one that nobody takes is an Error.
Weights TakeWeights(const PhiConfig& config, const ParameterMap& parameters,
                    const std::string& source) {
  config.Validate(source);
  std::size_t taken = 0;
  Weights weights = CollectWeights(
      config, [&](const std::string& name, const std::vector<int64_t>& shape, Init) {
        const auto it = parameters.find(name);
        if (it == parameters.end())
          Fail("{}: tensor \"{}\" is missing; the file does not fit config.json", source, name);
        if (it->second.sizes() != at::IntArrayRef(shape))
          Fail("{}: tensor \"{}\" has shape {}, config.json implies {}", source, name,
               ShapeText(it->second.sizes()), ShapeText(shape));
        ++taken;
        return it->second;
      });
  if (taken != parameters.size())
    Fail("{}: {} tensors, but config.json implies {}", source, parameters.size(), taken);
  return weights;
}

std::vector<int64_t> AllRows(const at::Tensor& tokens) {
  return std::vector<int64_t>(static_cast<std::size_t>(tokens.size(0)), tokens.size(1));
}

}  // namespace

PhiModel::PhiModel(PhiConfig config, ParameterMap parameters, const std::string& source)
    : config_(std::move(config)),
      parameters_(std::move(parameters)),
      weights_(TakeWeights(config_, parameters_, source)),
      rope_(config_, options()) {
  if (!config_.masked_tokens.empty())
    masked_tokens_ = at::tensor(config_.masked_tokens, at::TensorOptions(at::kLong)).to(options().device());
}

at::Tensor PhiModel::Hidden(const at::Tensor& tokens, std::span<const int64_t> lengths) const {
  Context context;
  context.length = tokens.size(1);
  context.positions = at::arange(context.length, tokens.options()).unsqueeze(0);
  const std::vector<int64_t> whole = lengths.empty() ? AllRows(tokens) : std::vector<int64_t>();
  const std::span<const int64_t> of_rows = lengths.empty() ? whole : lengths;
  // One row of positions serves all rows unless their factors differ.
  const bool first_long = config_.rope.IsLong(of_rows.front());
  const bool same = std::ranges::all_of(
      of_rows, [&](int64_t length) { return config_.rope.IsLong(length) == first_long; });
  context.angles = rope_.Angles(context.positions, same ? of_rows.first(1) : of_rows);
  if (config_.sliding_window > 0 && context.length > config_.sliding_window)
    context.mask = CausalMask(config_, context.positions, context.length);
  if (config_.block_sparse.block > 0)
    context.sparse_mask = BlockSparseMask(config_, context.positions, context.length);
  return Decode(tokens, context);
}

at::Tensor PhiModel::Hidden(const at::Tensor& tokens, const at::Tensor& positions,
                            std::span<const int64_t> lengths, KvCache& cache) const {
  Context context;
  context.length = *std::ranges::max_element(lengths);
  context.positions = positions;
  context.angles = rope_.Angles(positions, lengths);
  context.mask = CausalMask(config_, positions, context.length);
  if (config_.block_sparse.block > 0)
    context.sparse_mask = BlockSparseMask(config_, positions, context.length);
  context.cache = &cache;
  return Decode(tokens, context);
}

at::Tensor PhiModel::Logits(const at::Tensor& hidden) const {
  at::Tensor logits = Apply(weights_.head, hidden);
  if (config_.logit_divisor != 1.0) logits = logits / config_.logit_divisor;
  if (masked_tokens_.defined())
    logits = logits.index_fill(-1, masked_tokens_, -std::numeric_limits<double>::infinity());
  return logits;
}

at::Tensor PhiModel::Decode(const at::Tensor& tokens, const Context& context) const {
  at::Tensor x = at::embedding(weights_.embedding, tokens);
  if (config_.embedding_multiplier != 1.0) x = x * config_.embedding_multiplier;
  for (std::size_t i = 0; i < weights_.layers.size(); ++i) {
    const LayerWeights& layer = weights_.layers[i];
    const at::Tensor normed = Normed(layer.input_norm, x);
    const at::Tensor attended = Attention(normed, static_cast<int64_t>(i), context);
    if (config_.parallel) {
      x = attended + Mlp(normed, layer, config_) + x;
    } else {
      x = x + attended;
      x = x + Mlp(Normed(layer.post_norm, x), layer, config_);
    }
  }
  return Normed(weights_.final_norm, x);
}

at::Tensor PhiModel::Normed(const Norm& norm, const at::Tensor& x) const {
  const int64_t shape[] = {norm.weight.size(0)};
  if (config_.norm == PhiConfig::Norm::kRms)
    return at::rms_norm(x, shape, norm.weight, config_.norm_eps);
  return at::layer_norm(x, shape, norm.weight, norm.bias, config_.norm_eps);
}

PhiModel::Heads PhiModel::Project(const at::Tensor& x, const LayerWeights& layer) const {
  const int64_t batch = x.size(0), time = x.size(1), dim = config_.head_dim;
  const int64_t heads = config_.num_attention_heads, kv_heads = config_.num_key_value_heads;
  if (config_.qkv == PhiConfig::Qkv::kSeparate) {
    const auto project = [&](const Linear& linear) {
      return Apply(linear, x).view({batch, time, -1, dim});
    };
    at::Tensor query = project(layer.query), key = project(layer.key);
    if (config_.qk_norm) {
      query = Normed(layer.query_norm, query);
      key = Normed(layer.key_norm, key);
    }
    return {at::cat({query, key}, 2), project(layer.value)};
  }
  const at::Tensor qkv = Apply(layer.qkv, x);
  if (config_.qkv == PhiConfig::Qkv::kFused) {
    const at::Tensor split = qkv.view({batch, time, heads + 2 * kv_heads, dim});
    return {split.narrow(2, 0, heads + kv_heads), split.narrow(2, heads + kv_heads, kv_heads)};
  }
  const int64_t group = heads / kv_heads;  // each KV head: its queries, its key, its value
  const at::Tensor split = qkv.view({batch, time, kv_heads, group + 2, dim});
  const at::Tensor query = split.narrow(3, 0, group).reshape({batch, time, heads, dim});
  return {at::cat({query, split.select(3, group)}, 2), split.select(3, group + 1)};
}

at::Tensor PhiModel::Attention(const at::Tensor& x, int64_t layer, const Context& context) const {
  const LayerWeights& weights = weights_.layers[static_cast<std::size_t>(layer)];
  const int64_t batch = x.size(0), time = x.size(1), dim = config_.head_dim;
  const int64_t heads = config_.num_attention_heads, kv_heads = config_.num_key_value_heads;
  const int64_t group = heads / kv_heads;
  auto [query_key, value] = Project(x, weights);
  query_key = rope_.Rotate(query_key, context.angles);
  at::Tensor query = query_key.narrow(2, 0, heads), key = query_key.narrow(2, heads, kv_heads);
  if (context.cache != nullptr) {
    context.cache->Write(layer, key, value, context.positions);
    key = context.cache->Keys(layer, batch, context.length);
    value = context.cache->Values(layer, batch, context.length);
  }
  at::Tensor mask = config_.IsBlockSparse(layer) ? context.sparse_mask : context.mask;
  const bool causal = !mask.defined();
  const auto attend = [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    return at::scaled_dot_product_attention(
        q, k, v, causal ? std::nullopt : std::optional<at::Tensor>(mask), 0.0, causal,
        config_.attention_scale == 0 ? std::nullopt : std::optional<double>(config_.attention_scale));
  };
  at::Tensor out;
  if (time == 1) {
    // All query heads of a group read their keys at once: they stand in as the time dimension.
    if (!causal && mask.size(1) > 1) mask = mask.reshape({mask.size(0), kv_heads, group, -1});
    out = attend(query.reshape({batch, kv_heads, group, dim}), key.transpose(1, 2), value.transpose(1, 2));
    out = out.reshape({batch, 1, heads * dim});
  } else {
    const auto repeat = [&](const at::Tensor& t) {
      return group == 1 ? t : t.repeat_interleave(group, 2);
    };
    out = attend(query.transpose(1, 2), repeat(key).transpose(1, 2), repeat(value).transpose(1, 2));
    out = out.transpose(1, 2).reshape({batch, time, heads * dim});
  }
  return Apply(weights.output, out);
}

}  // namespace pivotal::model
