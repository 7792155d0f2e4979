// Apache-2.0. The feed-forward half of a layer.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/phi_config.h"
#include "model/weights.h"

namespace pivotal::model {

// [..., hidden] -> [..., hidden], by config.mlp: SwiGLU (arXiv 2002.05202), GELU (tanh form), Phi-3-small's
// clamped gegelu, or two experts per token chosen as SparseMixer (arXiv 2310.00811) evaluates:
// without its noise, in training too.
at::Tensor Mlp(const at::Tensor& x, const LayerWeights& layer, const PhiConfig& config);

// x W^T + b, and the low-rank update, which is computed in its own type as PEFT does.
at::Tensor Apply(const Linear& linear, const at::Tensor& x);

}  // namespace pivotal::model
