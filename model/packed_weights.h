// Apache-2.0. A model's weights, packed for the CPU's kernels.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <vector>

#include "kernels/cpu_kernels.h"
#include "kernels/packed_matrix.h"
#include "kernels/thread_team.h"
#include "model/phi_config.h"
#include "model/weights.h"

namespace pivotal::model {

// Returns the storage type for weights of a tensor type; float32 if there is none for it.
kernels::WeightType WeightTypeOf(at::ScalarType type);

struct PackedNorm {
  kernels::AlignedArray<float> weight, bias;
  kernels::NormWeights task;
};

struct PackedMlp {
  kernels::PackedMatrix up;  // if gated, all outputs of the gate, then the linear ones
  kernels::PackedMatrix down;
};

struct PackedLayer {
  PackedNorm input_norm, post_norm, query_norm, key_norm;
  kernels::PackedMatrix qkv;  // all queries, then all keys, then all values
  kernels::PackedMatrix output;
  PackedMlp mlp;
  kernels::PackedMatrix router;
  std::vector<PackedMlp> experts;
};

// Adapters are merged into the matrices. The embedding stays the model's own tensor.
struct PackedWeights {
  at::Tensor embedding;  // [V, hidden]: float32, bfloat16 or float16
  std::vector<PackedLayer> layers;
  PackedNorm final_norm;
  kernels::PackedMatrix head;

  // Returns the memory of all packed matrices.
  std::size_t bytes() const;
};

PackedWeights Pack(const Weights& weights, const PhiConfig& config, kernels::WeightType type,
                   kernels::ThreadTeam& team);

}  // namespace pivotal::model
