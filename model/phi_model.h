// Apache-2.0. The decoder: token ids in, hidden states and logits out.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>

#include "model/kv_cache.h"
#include "model/phi_config.h"
#include "model/rope.h"
#include "model/token_forest.h"
#include "model/weights.h"

namespace pivotal::model {

struct Adapter;  // model/lora.h

// Weights by transformers' names, e.g. "model.layers.0.self_attn.qkv_proj.weight".
using ParameterMap = std::map<std::string, at::Tensor>;

// Phi as transformers computes it (models/phi, phi3, phimoe; Phi-3-small as vLLM). Holds its weights
// by reference: an optimizer that updates them in place is seen at the next forward pass. Gradients
// flow if weights ask for them.
//
// LongRoPE chooses its factors by the length of the sequence that a row belongs to: `lengths`, one a
// row. transformers takes the longest row of a batch for all; here rows do not see one another.
class PhiModel {
 public:
  // Throws Error if a weight is missing, superfluous or of another shape than `config` says;
  // `source` names where the weights came from.
  PhiModel(PhiConfig config, ParameterMap parameters, const std::string& source);

  // Final hidden states [B, T, hidden] of `tokens` [B, T] (int64), causal, positions 0..T-1.
  at::Tensor Hidden(const at::Tensor& tokens) const;

  // What each layer adds up to for `tokens` [T]: a tensor [T, hidden] a layer, the last before its norm (transformers'
  // hidden_states, without the first, and the last but one step earlier).
  std::vector<at::Tensor> LayerOutputs(std::span<const TokenId> tokens) const;

  // Final hidden states [U, hidden] of the nodes `sources`, ascending, of a forest; all nodes if
  // `sources` is empty. The last layer is computed at the sources alone.
  at::Tensor Hidden(const TokenForest& forest, std::span<const int64_t> sources) const;

  // Final hidden states [B, T, hidden] with a past: row b continues sequence b of `past`. Token (b, t) stands at
  // `positions` [B, T]; its keys and values are written there, and it attends to positions up to
  // its own. Keys that were cached under short factors are wrong once a sequence is long:
  // recompute them (PhiConfig::rope.IsLong).
  at::Tensor Hidden(const at::Tensor& tokens, const at::Tensor& positions,
                    std::span<const int64_t> lengths, Past& past) const;

  // How a layer attends: its index, queries [B, T, heads, D], keys and values [B, T, KV heads, D] -> [B, T, heads * D].
  using Attention = std::function<at::Tensor(int64_t layer, const at::Tensor& query, const at::Tensor& key,
                                             const at::Tensor& value)>;
  // Final hidden states [B, T, hidden] of tokens whose past `attend` knows.
  at::Tensor Hidden(const at::Tensor& tokens, const RopeAngles& angles, const Attention& attend) const;

  // [..., hidden] -> [..., V].
  at::Tensor Logits(const at::Tensor& hidden) const;

  // Logit of `token` [M] at `hidden` [M, hidden]: [M], float32 or wider. The rest of the vocabulary is
  // not computed.
  at::Tensor LogitsOf(const at::Tensor& hidden, const at::Tensor& token) const;

  // Layers keep only their input for the backward pass, and run twice.
  void set_activation_checkpointing(bool on) { activation_checkpointing_ = on; }

  // Puts an adapter that was made for this model into effect; null: the weights alone. Weights are
  // as they were.
  void set_adapter(std::shared_ptr<const Adapter> adapter);
  const std::shared_ptr<const Adapter>& adapter() const { return adapter_; }

  // Weights of these names are not trained.
  void set_frozen(std::set<std::string> names) { frozen_ = std::move(names); }

  // What training changes: the adapter's matrices ("....o_proj.lora_A.weight") where there is one,
  // else the weights that are not frozen.
  ParameterMap Trainable() const;

  const PhiConfig& config() const { return config_; }
  const Rope& rope() const { return rope_; }
  const ParameterMap& parameters() const { return parameters_; }
  // The parameters by role, and the adapter's updates.
  const Weights& weights() const { return weights_; }
  // Device and dtype of the weights.
  at::TensorOptions options() const { return weights_.embedding.options().requires_grad(false); }

 private:
  struct Pass;  // what a forward pass knows beside its tokens
  struct Heads {
    at::Tensor query_key;  // [B, T, H + KV heads, D]: all queries, then all keys
    at::Tensor value;      // [B, T, KV heads, D]
  };
  at::Tensor Decode(const at::Tensor& tokens, const std::shared_ptr<const Pass>& pass) const;
  at::Tensor Hidden(const TokenForest& forest, std::span<const int64_t> sources,
                    std::vector<at::Tensor>* outputs) const;
  at::Tensor Layer(int64_t index, const at::Tensor& x, const Pass& pass) const;
  at::Tensor Normed(const Norm& norm, const at::Tensor& x) const;
  Heads Project(const at::Tensor& x, const LayerWeights& layer) const;

  PhiConfig config_;
  ParameterMap parameters_;
  std::shared_ptr<const Adapter> adapter_;
  std::set<std::string> frozen_;
  Weights weights_;
  Rope rope_;
  at::Tensor masked_tokens_;  // [M] int64; undefined: none
  bool activation_checkpointing_ = false;
};

}  // namespace pivotal::model
