// Apache-2.0.
#include "model/weights.h"

#include <fmt/format.h>

#include "model/quantised_matrix.h"

namespace pivotal::model {
namespace {

class Collector {
 public:
  Collector(const PhiConfig& config, const WeightSource& source, const UpdateSource& updates,
            const QuantisedSource& quantised)
      : c_(config), source_(source), updates_(updates), quantised_(quantised) {}

  Weights Collect() const {
    Weights weights;
    weights.embedding = Get("model.embed_tokens.weight", {c_.vocab_size, c_.hidden_size});
    for (int64_t i = 0; i < c_.num_hidden_layers; ++i)
      weights.layers.push_back(Layer(fmt::format("model.layers.{}.", i)));
    weights.final_norm =
        GetNorm(old_names() ? "model.final_layernorm" : "model.norm", c_.hidden_size);
    if (!c_.tie_word_embeddings)
      weights.head.weight = Get("lm_head.weight", {c_.vocab_size, c_.hidden_size});
    else
      weights.head.weight = weights.embedding;
    if (c_.head_bias) weights.head.bias = Get("lm_head.bias", {c_.vocab_size}, Init::kZero);
    return weights;
  }

 private:
  // Phi-1 to Phi-2 and Phi-3-small name two modules as GPT-NeoX does.
  bool old_names() const {
    return c_.architecture == Architecture::kPhi || c_.architecture == Architecture::kPhi3Small;
  }

  at::Tensor Get(const std::string& name, const std::vector<int64_t>& shape,
                 Init init = Init::kNormal) const {
    return source_(name, shape, init);
  }
  Linear GetLinear(const std::string& name, int64_t out, int64_t in, bool bias) const {
    Linear linear;
    if (quantised_) linear.quantised = quantised_(name + ".weight", out, in);
    if (!linear.quantised) linear.weight = Get(name + ".weight", {out, in});
    if (bias) linear.bias = Get(name + ".bias", {out}, Init::kZero);
    if (updates_) linear.update = updates_(name);
    return linear;
  }
  Norm GetNorm(const std::string& name, int64_t size) const {
    Norm norm;
    norm.weight = Get(name + ".weight", {size}, Init::kOne);
    if (c_.norm == PhiConfig::Norm::kLayer) norm.bias = Get(name + ".bias", {size}, Init::kZero);
    return norm;
  }

  LayerWeights Layer(const std::string& prefix) const {
    LayerWeights layer;
    layer.input_norm = GetNorm(prefix + "input_layernorm", c_.hidden_size);
    if (!c_.parallel)
      layer.post_norm = GetNorm(prefix + "post_attention_layernorm", c_.hidden_size);
    Attention(prefix + "self_attn.", layer);
    Mlp(prefix, layer);
    return layer;
  }

  void Attention(const std::string& prefix, LayerWeights& layer) const {
    const int64_t hidden = c_.hidden_size;
    const int64_t q = c_.num_attention_heads * c_.head_dim,
                  kv = c_.num_key_value_heads * c_.head_dim;
    const auto linear = [&](const char* name, int64_t out, int64_t in) {
      return GetLinear(prefix + name, out, in, c_.attention_bias);
    };
    switch (c_.qkv) {
      case PhiConfig::Qkv::kFused: layer.qkv = linear("qkv_proj", q + 2 * kv, hidden); break;
      case PhiConfig::Qkv::kGrouped:
        layer.qkv = linear("query_key_value", q + 2 * kv, hidden);
        break;
      case PhiConfig::Qkv::kSeparate:
        layer.query = linear("q_proj", q, hidden);
        layer.key = linear("k_proj", kv, hidden);
        layer.value = linear("v_proj", kv, hidden);
        break;
    }
    if (c_.qk_norm) {
      layer.query_norm = GetNorm(prefix + "q_layernorm", c_.head_dim);
      layer.key_norm = GetNorm(prefix + "k_layernorm", c_.head_dim);
    }
    layer.output = linear(old_names() ? "dense" : "o_proj", hidden, q);
  }

  void Mlp(const std::string& prefix, LayerWeights& layer) const {
    const int64_t hidden = c_.hidden_size, inner = c_.intermediate_size;
    const auto both = [&](const char* up, const char* down, int64_t width) {
      layer.up = GetLinear(prefix + "mlp." + up, width, hidden, c_.mlp_bias);
      layer.down = GetLinear(prefix + "mlp." + down, hidden, inner, c_.mlp_bias);
    };
    switch (c_.mlp) {
      case PhiConfig::Mlp::kSwiGlu: return both("gate_up_proj", "down_proj", 2 * inner);
      case PhiConfig::Mlp::kGelu: return both("fc1", "fc2", inner);
      case PhiConfig::Mlp::kGegelu: return both("up_proj", "down_proj", 2 * inner);
      case PhiConfig::Mlp::kExperts: break;
    }
    const std::string moe = prefix + "block_sparse_moe.";
    layer.router = GetLinear(moe + "gate", c_.num_experts, hidden, false);
    for (int64_t i = 0; i < c_.num_experts; ++i) {
      const std::string expert = fmt::format("{}experts.{}.", moe, i);
      layer.experts.push_back({GetLinear(expert + "w1", inner, hidden, false),
                               GetLinear(expert + "w3", inner, hidden, false),
                               GetLinear(expert + "w2", hidden, inner, false)});
    }
  }

  const PhiConfig& c_;
  const WeightSource& source_;
  const UpdateSource& updates_;
  const QuantisedSource& quantised_;
};

}  // namespace

int64_t Linear::out() const { return quantised ? quantised->rows() : weight.size(0); }

int64_t Linear::in() const { return quantised ? quantised->columns() : weight.size(1); }

at::Tensor Linear::Whole(at::ScalarType type) const {
  return quantised ? quantised->Numbers(type) : weight.detach();
}

Weights CollectWeights(const PhiConfig& config, const WeightSource& source,
                       const UpdateSource& updates, const QuantisedSource& quantised) {
  return Collector(config, source, updates, quantised).Collect();
}

std::vector<LinearShape> LinearLayers(const PhiConfig& config) {
  std::vector<LinearShape> layers;
  std::vector<int64_t> last;  // shape of the latest matrix: a layer's weight precedes its update
  CollectWeights(
      config,
      [&](const std::string&, const std::vector<int64_t>& shape, Init) {
        if (shape.size() == 2) last = shape;
        return at::Tensor();
      },
      [&](const std::string& name) {
        layers.push_back({name, last[0], last[1]});
        return LowRank();
      });
  return layers;
}

int64_t NumParameters(const PhiConfig& config) {
  int64_t total = 0;
  CollectWeights(config, [&](const std::string&, const std::vector<int64_t>& shape, Init) {
    int64_t size = 1;
    for (int64_t dim : shape) size *= dim;
    total += size;
    return at::Tensor();
  });
  return total;
}

}  // namespace pivotal::model
