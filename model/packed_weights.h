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

// A linear layer. An adapter's update is merged into the matrix, but for a matrix in NF4, which
// keeps it beside: as a [r, in] and scale * b [out, r], in float32; both empty if there is none.
struct PackedLinear {
  kernels::PackedMatrix matrix;
  kernels::PackedMatrix update_a, update_b;

  std::size_t bytes() const { return matrix.bytes() + update_a.bytes() + update_b.bytes(); }
};

struct PackedMlp {
  PackedLinear up;  // if gated, all outputs of the gate, then the linear ones
  PackedLinear down;
};

struct PackedLayer {
  PackedNorm input_norm, post_norm, query_norm, key_norm;
  PackedLinear qkv;  // all queries, then all keys, then all values
  PackedLinear output;
  PackedMlp mlp;
  PackedLinear router;  // always in float32
  std::vector<PackedMlp> experts;
};

// The embedding stays the model's own tensor.
struct PackedWeights {
  at::Tensor embedding;  // [V, hidden]: float32, bfloat16 or float16
  std::vector<PackedLayer> layers;
  PackedNorm final_norm;
  PackedLinear head;

  // Returns the memory of all packed matrices.
  std::size_t bytes() const;
  // Returns the largest number of rows of an update_a, padding included; 0 if there are none.
  int64_t update_width() const;
};

// Packs the weights as `type`. NF4 is for decoder layers whose inputs are a multiple of
// kernels::kNf4Block: others are float32 of the numbers that NF4 gives, the head is of its own
// type.

PackedWeights Pack(const Weights& weights, const PhiConfig& config, kernels::WeightType type,
                   kernels::ThreadTeam& team);

}  // namespace pivotal::model
