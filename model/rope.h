// Apache-2.0. Rotary positions (arXiv 2104.09864), with LongRoPE's factors where a config has them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "model/phi_config.h"

namespace pivotal::model {

// Cosine and sine per position and rotated dimension, in the dtype of the model: [B or 1, T, 1, R]. Halves have
// the same frequencies; the sine of the first has its sign turned.
struct RopeAngles {
  at::Tensor cos, sin;
};

class Rope {
 public:
  Rope(const PhiConfig& config, const at::TensorOptions& options);

  // Angles of `positions` [B or 1, T] (int64). Row b belongs to a sequence of lengths[b] tokens (one
  // for all rows where positions has one row), by which LongRoPE chooses its factors.
  RopeAngles Angles(const at::Tensor& positions, std::span<const int64_t> lengths) const;
  // Row b is under the long factors where is_long[b] (bool, on the device of `positions`). Undefined: no row is.
  RopeAngles Angles(const at::Tensor& positions, const at::Tensor& is_long) const;

  // Rotates the first R dimensions of [B, T, heads, D]: (x1, x2) -> (x1 cos - x2 sin,
  // x2 cos + x1 sin), x1 and x2 the halves of R.
  at::Tensor Rotate(const at::Tensor& x, const RopeAngles& angles) const;

 private:
  // Of positions and frequencies, times `scale`: a number, or [B, 1, 1] where it is defined.
  RopeAngles Finish(const at::Tensor& positions, const at::Tensor& frequency, double scale, const at::Tensor& scales) const;

  RopeConfig config_;
  int64_t rotary_dim_;
  at::ScalarType dtype_;
  at::Tensor short_, long_;              // frequencies [R/2], float32
  at::Tensor short_scale_, long_scale_;  // scalars, float32
};

}  // namespace pivotal::model
