// Apache-2.0. The decoder: token ids in, hidden states and logits out.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "model/kv_cache.h"
#include "model/phi_config.h"

namespace pivotal::model {

// Weights by transformers' names, e.g. "model.layers.0.self_attn.qkv_proj.weight".
using ParameterMap = std::map<std::string, at::Tensor>;

// Phi-3 (transformers, models/phi3/modeling_phi3.py). Holds its weights by reference: an optimizer
// that updates them in place is seen at the next forward pass. Gradients flow if weights ask for them.
class PhiModel {
 public:
  // Throws Error if a weight is missing, superfluous or of another shape than `config` says;
  // `source` names where the weights came from.
  PhiModel(PhiConfig config, ParameterMap parameters, const std::string& source);

  // Final hidden states [B, T, hidden] of `tokens` [B, T] (int64), causal, positions 0..T-1.
  // Rows may be padded on the right: what stands there changes nothing to its left.
  at::Tensor Hidden(const at::Tensor& tokens) const;

  // The same with a past: row b continues slot b of `cache`. Token (b, t) stands at
  // `positions` [B, T]; its keys and values are written there, and it attends to positions up to
  // its own. `length` is one past the largest position.
  at::Tensor Hidden(const at::Tensor& tokens, const at::Tensor& positions, int64_t length,
                    KvCache& cache) const;

  // [..., hidden] -> [..., V].
  at::Tensor Logits(const at::Tensor& hidden) const;

  const PhiConfig& config() const { return config_; }
  const ParameterMap& parameters() const { return parameters_; }
  // Device and dtype of the weights.
  at::TensorOptions options() const { return embedding_.options().requires_grad(false); }

 private:
  struct Layer {
    at::Tensor input_norm, qkv, output, post_norm, gate_up, down;
  };
  // What attention needs besides its input; one per forward pass.
  struct Context {
    at::Tensor cos, sin;   // [B or 1, T, 1, D/2]
    at::Tensor mask;       // bool, [B, 1, T, length]; undefined: plain causal
    at::Tensor positions;  // [B, T]
    int64_t length = 0;
    KvCache* cache = nullptr;
  };
  at::Tensor Decode(const at::Tensor& tokens, const Context& context) const;
  at::Tensor Attention(const at::Tensor& x, int64_t layer, const Context& context) const;
  at::Tensor Mlp(const at::Tensor& x, const Layer& layer) const;

  PhiConfig config_;
  ParameterMap parameters_;
  at::Tensor embedding_, final_norm_, head_;
  std::vector<Layer> layers_;
  at::Tensor cos_, sin_;  // [positions, D/2], float32
};

}  // namespace pivotal::model
