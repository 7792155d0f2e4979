// Apache-2.0. The weights of a Phi decoder by role, with their names and shapes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/phi_config.h"

namespace pivotal::model {

class QuantisedMatrix;

// In all of these, a tensor stays undefined if the config has no such weight.

// A low-rank update that is added to a matrix: scale * B A (LoRA, arXiv 2106.09685).
struct LowRank {
  at::Tensor a, b;  // [r, in], [out, r]; undefined: no update
  double scale = 0;
};
struct Linear {
  at::Tensor weight, bias;  // [out, in], [out]
  LowRank update;
  std::shared_ptr<const QuantisedMatrix> quantised;  // in place of the weight; or null

  bool defined() const { return weight.defined() || quantised != nullptr; }
  int64_t out() const;
  int64_t in() const;
  // Returns the weight, in `type` if it is quantised.
  at::Tensor Whole(at::ScalarType type) const;
};
struct Norm {
  at::Tensor weight, bias;
};
struct Expert {
  Linear gate, up, down;
};
struct LayerWeights {
  Norm input_norm, post_norm;
  Linear qkv;                // with Qkv::kFused and kGrouped
  Linear query, key, value;  // with Qkv::kSeparate
  Norm query_norm, key_norm;
  Linear output;
  Linear up, down;  // a gated MLP has gate and up in one matrix
  Linear router;
  std::vector<Expert> experts;
};
struct Weights {
  at::Tensor embedding;  // [V, hidden]
  std::vector<LayerWeights> layers;
  Norm final_norm;
  Linear head;  // its weight is the embedding if the two are tied
};

// How transformers initialises a weight.
enum class Init { kNormal, kOne, kZero };

// Returns the weight of a name, e.g. "model.layers.0.self_attn.o_proj.weight" (transformers'
// names).
using WeightSource = std::function<at::Tensor(const std::string& name,
                                              const std::vector<int64_t>& shape, Init init)>;

// Returns the update of a linear layer, e.g. "model.layers.0.self_attn.o_proj".
using UpdateSource = std::function<LowRank(const std::string& layer)>;

// Returns the quantised weight [out, in] of a name; null for those that `source` has.
using QuantisedSource = std::function<std::shared_ptr<const QuantisedMatrix>(
    const std::string& name, int64_t out, int64_t in)>;

// Calls `source` once for every weight of a model with `config`; `updates`, if given, once for
// every linear layer of its decoder layers; and `quantised`, if given, before `source` for the
// weight of every linear layer.
Weights CollectWeights(const PhiConfig& config, const WeightSource& source,
                       const UpdateSource& updates = {}, const QuantisedSource& quantised = {});

struct LinearShape {
  std::string name;  // e.g. "model.layers.0.self_attn.o_proj"
  int64_t out, in;

  // Returns false for the router of experts, whose weight always has the model's type.
  bool CanBeQuantised() const { return !name.ends_with("block_sparse_moe.gate"); }
};
// Lists the linear layers of the decoder layers, including those of experts and their router.
std::vector<LinearShape> LinearLayers(const PhiConfig& config);

// Counts the numbers in all weights; a tied head counts once.
int64_t NumParameters(const PhiConfig& config);

}  // namespace pivotal::model
