// Apache-2.0. Which keys a query attends to.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "model/phi_config.h"

namespace pivotal::model {

// Bool masks over keys at positions 0..length-1 for queries at `positions` [B, T] (int64).

// Up to its own position, within the sliding window: [B, 1, T, length].
at::Tensor CausalMask(const PhiConfig& config, const at::Tensor& positions, int64_t length);

// The same, thinned by head as Phi-3-small's block-sparse layers are: [B, H, T, length].
at::Tensor BlockSparseMask(const PhiConfig& config, const at::Tensor& positions, int64_t length);

}  // namespace pivotal::model
