// Apache-2.0. The weights of a Phi decoder by role. One place knows their names and shapes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/phi_config.h"

namespace pivotal::model {

// Roles that a config does not have stay undefined tensors.
// Added to a matrix: scale * B A (arXiv 2106.09685).
struct LowRank {
  at::Tensor a, b;  // [r, in], [out, r]; undefined: nothing is added
  double scale = 0;
};
struct Linear {
  at::Tensor weight, bias;  // [out, in], [out]
  LowRank update;
};
struct Norm {
  at::Tensor weight, bias;
};
struct Expert {
  Linear gate, up, down;
};
struct LayerWeights {
  Norm input_norm, post_norm;
  Linear qkv;                 // Qkv::kFused, kGrouped
  Linear query, key, value;   // Qkv::kSeparate
  Norm query_norm, key_norm;
  Linear output;
  Linear up, down;            // up: gate and up in one matrix where the MLP is gated
  Linear router;
  std::vector<Expert> experts;
};
struct Weights {
  at::Tensor embedding;  // [V, hidden]
  std::vector<LayerWeights> layers;
  Norm final_norm;
  Linear head;           // weight: the embedding where the two are tied
};

enum class Init { kNormal, kOne, kZero };

// Gives the tensor of that name (transformers' names, e.g. "model.layers.0.self_attn.o_proj.weight").
using WeightSource =
    std::function<at::Tensor(const std::string& name, const std::vector<int64_t>& shape, Init init)>;

// Gives what is added to the linear layer of that name ("model.layers.0.self_attn.o_proj").
using UpdateSource = std::function<LowRank(const std::string& layer)>;

// Asks `source` once for every weight of a model with `config`, and `updates`, where there is one,
// once for every linear layer of its decoder layers.
Weights CollectWeights(const PhiConfig& config, const WeightSource& source,
                       const UpdateSource& updates = {});

// The linear layers of the decoder layers, those of experts and their router among them.
struct LinearShape {
  std::string name;  // "model.layers.0.self_attn.o_proj"
  int64_t out, in;
};
std::vector<LinearShape> LinearLayers(const PhiConfig& config);

// Sums over all weights; a tied head counts once.
int64_t NumParameters(const PhiConfig& config);

}  // namespace pivotal::model
