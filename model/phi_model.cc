// Apache-2.0.
#include "model/phi_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/layer_norm.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>
#include <utility>

#include "data/base/error.h"
#include "model/attention.h"
#include "model/lora.h"
#include "model/tensor_transfer.h"

namespace pivotal::model {
namespace {

std::string ShapeText(at::IntArrayRef shape) {
  std::string text = "[";
  for (int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

// Sorts the weights by role, checking names and shapes. A weight without a role is an Error.
Weights TakeWeights(const PhiConfig& config, const ParameterMap& parameters,
                    const QuantisedMap& quantised, const std::string& source,
                    const UpdateSource& updates) {
  config.Validate(source);
  std::set<std::string> taken;
  const auto check = [&](const std::string& name, at::IntArrayRef is, at::IntArrayRef should) {
    if (is != should)
      Fail("{}: tensor \"{}\" has shape {}, config.json implies {}", source, name, ShapeText(is),
           ShapeText(should));
    taken.insert(name);
  };
  Weights weights = CollectWeights(
      config,
      [&](const std::string& name, const std::vector<int64_t>& shape, Init) {
        const auto it = parameters.find(name);
        if (it == parameters.end())
          Fail("{}: tensor \"{}\" is missing; the file does not fit config.json", source, name);
        check(name, it->second.sizes(), shape);
        return it->second;
      },
      updates,
      [&](const std::string& name, int64_t out, int64_t in) {
        const auto it = quantised.find(name);
        if (it == quantised.end()) return std::shared_ptr<const QuantisedMatrix>();
        check(name, {it->second->rows(), it->second->columns()}, {out, in});
        return it->second;
      });
  const auto require_taken = [&](const auto& weights_by_name) {
    for (const auto& [name, weight] : weights_by_name)
      if (!taken.contains(name))
        Fail("{}: tensor \"{}\" has no place in the model that config.json describes", source,
             name);
  };
  require_taken(parameters);
  require_taken(quantised);
  return weights;
}

// Positions [1, N] of a forest's nodes, and the length of each node's sequence.
struct NodePositions {
  at::Tensor positions;
  std::vector<int64_t> lengths;
};

NodePositions PositionsOf(const TokenForest& forest) {
  std::vector<int64_t> positions, lengths;
  for (const auto& segment : forest.segments) {
    for (int64_t i = 0; i < segment.length; ++i) positions.push_back(segment.depth + i);
    lengths.insert(lengths.end(), segment.length, segment.sequence);
  }
  return {ToDevice(positions, forest.tokens.device()).unsqueeze(0), std::move(lengths)};
}

// Expands "layers.2-4" to "layers.2", "layers.3", "layers.4"; other modules stand for themselves.
std::vector<std::string> Expand(const std::string& module, int64_t layers) {
  constexpr std::string_view kLayers = "layers.";
  const auto dash = module.find('-');
  if (!module.starts_with(kLayers) || dash == std::string::npos) return {module};
  int64_t first = -1, last = -1;
  const char* text = module.data();
  const char* end = text + module.size();
  const auto low = std::from_chars(text + kLayers.size(), end, first);
  const auto high = std::from_chars(text + dash + 1, end, last);
  if (low.ptr != text + dash || high.ptr != end || first < 0 || last < first || last >= layers)
    Fail("--freeze {}: expected layers.A-B with 0 <= A <= B < {}", module, layers);
  std::vector<std::string> expanded;
  for (int64_t i = first; i <= last; ++i) expanded.push_back(fmt::format("layers.{}", i));
  return expanded;
}

}  // namespace

struct PhiModel::Pass {
  RopeAngles angles;
  Attention attend;
  at::Tensor sources;  // the tokens to compute the last layer for; undefined: all
  std::vector<at::Tensor>* outputs = nullptr;  // receives the output of each layer
};

PhiModel::PhiModel(PhiConfig config, ParameterMap parameters, const std::string& source,
                   QuantisedMap quantised)
    : config_(std::move(config)),
      parameters_(std::move(parameters)),
      quantised_(std::move(quantised)),
      weights_(TakeAll(source)),
      rope_(config_, options()),
      flash_(FlashKernel(config_, options())) {
  if (!config_.masked_tokens.empty())
    masked_tokens_ = ToDevice(config_.masked_tokens, options().device());
}

void PhiModel::set_adapter(std::shared_ptr<const Adapter> adapter) {
  adapter_ = std::move(adapter);
  weights_ = TakeAll("model");
}

Weights PhiModel::TakeAll(const std::string& source) const {
  return TakeWeights(config_, parameters_, quantised_, source, [this](const std::string& layer) {
    if (adapter_ == nullptr) return LowRank();
    const auto it = adapter_->updates.find(layer);
    return it == adapter_->updates.end() ? LowRank() : it->second;
  });
}

BaseWeights PhiModel::base_weights() const {
  return quantised_.empty() ? BaseWeights::kPlain : quantised_.begin()->second->format();
}

int64_t PhiModel::WeightBytes() const {
  int64_t bytes = 0;
  for (const auto& [name, weight] : parameters_) bytes += static_cast<int64_t>(weight.nbytes());
  for (const auto& [name, matrix] : quantised_) bytes += matrix->bytes();
  return bytes;
}

ParameterMap PhiModel::Trainable() const {
  ParameterMap trainable;
  if (adapter_ != nullptr) {
    for (const auto& [layer, update] : adapter_->updates) {
      trainable[layer + ".lora_A.weight"] = update.a;
      trainable[layer + ".lora_B.weight"] = update.b;
    }
    return trainable;
  }
  for (const auto& [name, weight] : parameters_)
    if (!frozen_.contains(name)) trainable[name] = weight;
  return trainable;
}

at::Tensor PhiModel::Hidden(const at::Tensor& tokens) const {
  return Hidden(TokenForest::Rows(tokens), {}).view({tokens.size(0), tokens.size(1), -1});
}

std::vector<at::Tensor> PhiModel::LayerOutputs(std::span<const TokenId> tokens) const {
  config_.CheckTokens(tokens);
  const std::vector<int64_t> ids(tokens.begin(), tokens.end());
  const at::Tensor row = ToDevice(ids, options().device()).unsqueeze(0);
  std::vector<at::Tensor> outputs;
  Hidden(TokenForest::Rows(row), {}, &outputs);
  return outputs;
}

at::Tensor PhiModel::Hidden(const TokenForest& forest, std::span<const int64_t> sources) const {
  return Hidden(forest, sources, nullptr);
}

at::Tensor PhiModel::Hidden(const TokenForest& forest, std::span<const int64_t> sources,
                            std::vector<at::Tensor>* outputs) const {
  const auto [positions, lengths] = PositionsOf(forest);
  const bool mixed =
      config_.rope.original_length > 0 && std::ranges::any_of(lengths, [&](int64_t length) {
        return config_.rope.IsLong(length) != config_.rope.IsLong(lengths.front());
      });
  const auto pass = std::make_shared<Pass>();
  if (mixed) {  // N rows of one token each
    const auto [cos, sin] = rope_.Angles(positions.t(), lengths);
    pass->angles = {cos.transpose(0, 1), sin.transpose(0, 1)};
  } else {
    pass->angles = rope_.Angles(positions, std::span(lengths).first(1));
  }
  pass->outputs = outputs;
  const auto attention = std::make_shared<ForestAttention>(config_, forest, sources, flash_);
  pass->sources = attention->sources();
  pass->attend = [attention](int64_t layer, const at::Tensor& query, const at::Tensor& key,
                             const at::Tensor& value) {
    return (*attention)(layer, query.squeeze(0), key.squeeze(0), value.squeeze(0)).unsqueeze(0);
  };
  return Decode(forest.tokens.unsqueeze(0), pass).squeeze(0);
}

at::Tensor PhiModel::Hidden(const at::Tensor& tokens, const RopeAngles& angles,
                            const Attention& attend) const {
  const auto pass = std::make_shared<Pass>();
  pass->angles = angles;
  pass->attend = attend;
  return Decode(tokens, pass);
}

at::Tensor PhiModel::Logits(const at::Tensor& hidden) const {
  at::Tensor logits = Apply(weights_.head, hidden);
  if (config_.logit_divisor != 1.0) logits = logits / config_.logit_divisor;
  if (masked_tokens_.defined())
    logits = logits.index_fill(-1, masked_tokens_, -std::numeric_limits<double>::infinity());
  return logits;
}

at::Tensor PhiModel::LogitsOf(const at::Tensor& hidden, const at::Tensor& token) const {
  const auto wide = [](const at::Tensor& t) {
    return t.scalar_type() == at::kDouble ? t : t.to(at::kFloat);
  };
  at::Tensor logits = (wide(hidden) * wide(weights_.head.weight.index_select(0, token))).sum(-1);
  if (weights_.head.bias.defined())
    logits = logits + wide(weights_.head.bias.index_select(0, token));
  if (config_.logit_divisor != 1.0) logits = logits / config_.logit_divisor;
  if (masked_tokens_.defined())
    logits = logits.masked_fill(token.unsqueeze(-1).eq(masked_tokens_).any(-1),
                                -std::numeric_limits<double>::infinity());
  return logits;
}

at::Tensor PhiModel::Decode(const at::Tensor& tokens,
                            const std::shared_ptr<const Pass>& pass) const {
  at::Tensor x = at::embedding(weights_.embedding, tokens);
  if (config_.embedding_multiplier != 1.0) x = x * config_.embedding_multiplier;
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    if (gate_ != nullptr) x = EnterLayer(*gate_, i, x);
    x = activation_checkpointing_
            ? Recompute([this, i, pass](const at::Tensor& input) { return Layer(i, input, *pass); },
                        x)
            : Layer(i, x, *pass);
    if (gate_ != nullptr) x = LeaveLayer(*gate_, i, x);
    if (pass->outputs != nullptr) pass->outputs->push_back(x.squeeze(0));
  }
  return Normed(weights_.final_norm, x);
}

at::Tensor PhiModel::Layer(int64_t index, const at::Tensor& x, const Pass& pass) const {
  const LayerWeights& layer = weights_.layers[static_cast<std::size_t>(index)];
  const int64_t heads = config_.num_attention_heads, kv_heads = config_.num_key_value_heads;
  at::Tensor residual = x, normed = Normed(layer.input_norm, x);
  const auto [query_key, value] = Project(normed, layer);
  const auto rotated = rope_.Rotate(query_key, pass.angles).split_with_sizes({heads, kv_heads}, 2);
  if (pass.sources.defined() && index + 1 == config_.num_hidden_layers) {
    residual = residual.index_select(1, pass.sources);
    if (config_.parallel) normed = normed.index_select(1, pass.sources);
  }
  const at::Tensor attended =
      Apply(layer.output, pass.attend(index, rotated[0], rotated[1], value));
  if (config_.parallel) return attended + Mlp(normed, layer, config_) + residual;
  residual = residual + attended;
  return residual + Mlp(Normed(layer.post_norm, residual), layer, config_);
}

at::Tensor PhiModel::Normed(const Norm& norm, const at::Tensor& x) const {
  if (config_.norm == PhiConfig::Norm::kRms) return RmsNorm(x, norm.weight, config_.norm_eps);
  return at::layer_norm(x, norm.weight.sizes(), norm.weight, norm.bias, config_.norm_eps);
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
    const auto parts = split.split_with_sizes({heads + kv_heads, kv_heads}, 2);
    return {parts[0], parts[1]};
  }
  const int64_t group = heads / kv_heads;  // each KV head has its queries, its key, its value
  const at::Tensor split = qkv.view({batch, time, kv_heads, group + 2, dim});
  const at::Tensor query = split.narrow(3, 0, group).reshape({batch, time, heads, dim});
  return {at::cat({query, split.select(3, group)}, 2), split.select(3, group + 1)};
}

std::set<std::string> FrozenWeights(const PhiModel& model, std::span<const std::string> modules) {
  std::set<std::string> frozen;
  for (const std::string& module : modules) {
    bool found = false;
    for (const std::string& part : Expand(module, model.config().num_hidden_layers)) {
      for (const auto& [name, weight] : model.parameters()) {
        if (!name.starts_with(part + ".") && !name.starts_with("model." + part + ".")) continue;
        frozen.insert(name);
        found = true;
      }
    }
    if (!found)
      Fail(
          "--freeze {}: no weight's name begins with this; e.g. embed_tokens, layers.0-{}, "
          "layers.0.mlp, lm_head",
          module, model.config().num_hidden_layers - 1);
  }
  if (frozen.size() == model.parameters().size()) Fail("--freeze leaves nothing to train");
  return frozen;
}

}  // namespace pivotal::model
