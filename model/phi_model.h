// Apache-2.0. The Phi decoder: token ids in, hidden states and logits out.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/layers.h"
#include "model/phi_config.h"
#include "model/quantised_matrix.h"
#include "model/ragged_attention.h"
#include "model/token_forest.h"
#include "model/weight_gate.h"
#include "model/weights.h"
#include "pivotal/tokenizer.h"

namespace pivotal::model {

struct Adapter;  // model/lora.h

// Weights by transformers' names, e.g. "model.layers.0.self_attn.qkv_proj.weight".
using ParameterMap = std::map<std::string, at::Tensor>;

// Computes Phi as transformers does (models/phi, phi3, phimoe), and Phi-3-small as vLLM does. The
// model shares its weights: a forward pass sees what an optimizer changed in place. Gradients flow
// to weights that require them.
//
// LongRoPE chooses its factors by the length of each row's own sequence, where transformers takes
// the longest row of a batch for all rows.
class PhiModel {
 public:
  // Throws Error if a weight is missing, superfluous or has another shape than `config` implies.
  // `source` names the origin of the weights in messages. Weights of linear layers may be in
  // `quantised` instead of `parameters`.
  PhiModel(PhiConfig config, ParameterMap parameters, const std::string& source,
           QuantisedMap quantised = {});

  // Returns final hidden states [B, T, hidden] of `tokens` [B, T] (int64), causal, at positions
  // 0..T-1.
  at::Tensor Hidden(const at::Tensor& tokens) const;

  // Returns the output of each layer for `tokens` [T]: one tensor [T, hidden] a layer, before the
  // final norm. These are transformers' hidden_states 1, 2, ..., the last one not normalised.
  std::vector<at::Tensor> LayerOutputs(std::span<const TokenId> tokens) const;

  // Returns final hidden states [U, hidden] of the nodes `sources` (ascending) of a forest, or of
  // all nodes if `sources` is empty. The last layer is computed only for the sources.
  at::Tensor Hidden(const TokenForest& forest, std::span<const int64_t> sources) const;

  // Attention of one layer: its index, queries [B, T, heads, D], keys and values [B, T, KV heads,
  // D] -> [B, T, heads * D].
  using Attention = std::function<at::Tensor(int64_t layer, const at::Tensor& query,
                                             const at::Tensor& key, const at::Tensor& value)>;
  // Returns final hidden states [B, T, hidden] of `tokens` [B, T], rotated by `angles`. `attend`
  // adds the past: it stores keys and values, and attends to earlier ones.
  at::Tensor Hidden(const at::Tensor& tokens, const RopeAngles& angles,
                    const Attention& attend) const;

  // Computes [..., hidden] -> [..., V].
  at::Tensor Logits(const at::Tensor& hidden) const;

  // Returns the logit of `token` [M] at `hidden` [M, hidden]: [M], float32 or wider. Other logits
  // are not computed.
  at::Tensor LogitsOf(const at::Tensor& hidden, const at::Tensor& token) const;

  // Activation checkpointing: layers keep only their input for the backward pass, and run twice.
  void set_activation_checkpointing(bool on) { activation_checkpointing_ = on; }

  // Lets `gate` bring the weights of layers into memory before a pass uses them; null: they are
  // there. It must outlive the model, or be removed.
  void set_gate(WeightGate* gate) { gate_ = gate; }
  WeightGate* gate() const { return gate_; }

  // Adds an adapter made for this model to every forward pass; null removes it. The weights stay
  // unchanged.
  void set_adapter(std::shared_ptr<const Adapter> adapter);
  const std::shared_ptr<const Adapter>& adapter() const { return adapter_; }

  // Excludes the weights of these names from training.
  void set_frozen(std::set<std::string> names) { frozen_ = std::move(names); }

  // Returns the tensors that training changes: the adapter's matrices ("....o_proj.lora_A.weight")
  // if there is an adapter, else the weights that are not frozen.
  ParameterMap Trainable() const;

  const PhiConfig& config() const { return config_; }
  const Rope& rope() const { return rope_; }
  // Flash attention for the model's device and type; null where it cannot serve (FlashKernel).
  const RaggedKernel& flash() const { return flash_; }
  const ParameterMap& parameters() const { return parameters_; }
  // The weights that are not among the parameters.
  const QuantisedMap& quantised() const { return quantised_; }
  // How the weights of linear layers are stored.
  BaseWeights base_weights() const;
  // Returns the bytes of all weights, adapters left out.
  int64_t WeightBytes() const;
  // The parameters by role, with the adapter's updates.
  const Weights& weights() const { return weights_; }
  // Device and type of the weights.
  at::TensorOptions options() const { return weights_.embedding.options().requires_grad(false); }

 private:
  struct Pass;  // the settings of a forward pass
  struct Heads {
    at::Tensor query_key;  // [B, T, H + KV heads, D]: all queries, then all keys
    at::Tensor value;      // [B, T, KV heads, D]
  };
  at::Tensor Decode(const at::Tensor& tokens, const std::shared_ptr<const Pass>& pass) const;
  at::Tensor Hidden(const TokenForest& forest, std::span<const int64_t> sources,
                    std::vector<at::Tensor>* outputs) const;
  at::Tensor Layer(int64_t index, const at::Tensor& x, const Pass& pass) const;
  at::Tensor Normed(const Norm& norm, const at::Tensor& x) const;
  // Sorts the weights by role, with the adapter's updates.
  Weights TakeAll(const std::string& source) const;
  Heads Project(const at::Tensor& x, const LayerWeights& layer) const;

  PhiConfig config_;
  ParameterMap parameters_;
  QuantisedMap quantised_;
  std::shared_ptr<const Adapter> adapter_;
  std::set<std::string> frozen_;
  Weights weights_;
  Rope rope_;
  RaggedKernel flash_;
  at::Tensor masked_tokens_;  // [M] int64, never predicted; undefined if there are none
  bool activation_checkpointing_ = false;
  WeightGate* gate_ = nullptr;
};

// Returns the names of the weights in `modules`, for set_frozen. A module is the beginning of
// weights' names, up to a dot, without "model.": "embed_tokens", "layers.3.mlp", "lm_head"; or a
// range of layers, ends included: "layers.0-15". A tied output matrix belongs to embed_tokens.
// Throws Error for a module without weights, and if no weight is left to train.
std::set<std::string> FrozenWeights(const PhiModel& model, std::span<const std::string> modules);

}  // namespace pivotal::model
