// Apache-2.0. A model's weights as decoding on the CPU reads them.
#pragma once

#include <vector>

#include "kernels/packed_matrix.h"
#include "kernels/row_tasks.h"
#include "kernels/thread_team.h"
#include "model/phi_config.h"
#include "model/weights.h"

namespace pivotal::model {

// float32 for types that decoding doesn't store.
kernels::WeightType WeightTypeOf(at::ScalarType type);

struct PackedNorm {
  kernels::AlignedArray<float> weight, bias;
  kernels::NormWeights task;
};

struct PackedMlp {
  kernels::PackedMatrix up;    // gate above linear where the MLP is gated
  kernels::PackedMatrix down;
};

struct PackedLayer {
  PackedNorm input_norm, post_norm, query_norm, key_norm;
  kernels::PackedMatrix qkv;   // all queries, then all keys, then all values
  kernels::PackedMatrix output;
  PackedMlp mlp;
  kernels::PackedMatrix router;
  std::vector<PackedMlp> experts;
};

// Adapters are added to the weights that they update. The embedding stays the model's tensor.
struct PackedWeights {
  at::Tensor embedding;  // [V, hidden]: float32, bfloat16 or float16
  std::vector<PackedLayer> layers;
  PackedNorm final_norm;
  kernels::PackedMatrix head;

  std::size_t bytes() const;  // of the matrices
};

PackedWeights Pack(const Weights& weights, const PhiConfig& config, kernels::WeightType type,
                   kernels::ThreadTeam& team);

}  // namespace pivotal::model
