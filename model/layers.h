// Apache-2.0. The parts of a decoder layer as LibTorch operators; attention.h has attention.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>

#include "model/phi_config.h"
#include "model/weights.h"

namespace pivotal::model {

// Computes x W^T + bias.
at::Tensor Product(const Linear& linear, const at::Tensor& x);

// Computes x W^T + bias, plus the low-rank update, which is computed in its own type as PEFT does.
at::Tensor Apply(const Linear& linear, const at::Tensor& x);

// Computes the feed-forward part, [..., hidden] -> [..., hidden]. config.mlp selects SwiGLU (arXiv
// 2002.05202), GELU (tanh form), Phi-3-small's clamped gegelu, or two experts a token, chosen as
// SparseMixer (arXiv 2310.00811) chooses them in evaluation: without noise, in training too.
at::Tensor Mlp(const at::Tensor& x, const LayerWeights& layer, const PhiConfig& config);

// Computes root-mean-square normalisation (arXiv 1910.07467): x [..., H] / sqrt(mean(x^2) +
// epsilon)
// * weight [H]. Values equal at::rms_norm to the bit; on a GPU that is one fused kernel, and so is
// its backward pass. On the CPU the backward pass takes fewer operators than LibTorch's, and in 16
// bits keeps only x for it, where LibTorch keeps several tensors in float32.
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon);

// Computes silu(gate) * up of x [..., 2 I], which holds gate, then up -> [..., I]. Keeps only x for
// the backward pass. Values and gradients equal those of LibTorch's operators to the bit.
at::Tensor SwiGlu(const at::Tensor& x);

// Cosine and sine by position and rotated dimension, in the model's type: [B or 1, T, 1, R]. Both
// halves of R have the same frequencies; the first half of `sin` is negated.
struct RopeAngles {
  at::Tensor cos, sin;
};

// Rotates [B, T, heads, R] as Rope::Rotate does, in half as many passes over memory. Rounds less,
// so that bits differ; used on GPUs.
at::Tensor RotateHalves(const at::Tensor& x, const RopeAngles& angles);

// Rotary positions (arXiv 2104.09864), with LongRoPE's factors where a config has them.
class Rope {
 public:
  Rope(const PhiConfig& config, const at::TensorOptions& options);

  // Returns the angles of `positions` [B or 1, T] (int64). lengths[b] is the length of row b's
  // sequence, by which LongRoPE chooses its factors. One length serves all rows if `positions` has
  // one row.
  RopeAngles Angles(const at::Tensor& positions, std::span<const int64_t> lengths) const;
  // Returns the same, where row b has the long factors if is_long[b] (bool, on the device of
  // `positions`). An undefined tensor means that no row has.
  RopeAngles Angles(const at::Tensor& positions, const at::Tensor& is_long) const;

  // Rotates the first R dimensions of [B, T, heads, D]: (x1, x2) -> (x1 cos - x2 sin,
  // x2 cos + x1 sin), where x1 and x2 are the halves of R.
  at::Tensor Rotate(const at::Tensor& x, const RopeAngles& angles) const;

 private:
  // Multiplies cosine and sine by `scales` [B, 1, 1] if defined, else by `scale`.
  RopeAngles Finish(const at::Tensor& positions, const at::Tensor& frequency, double scale,
                    const at::Tensor& scales) const;

  RopeConfig config_;
  int64_t rotary_dim_;
  at::ScalarType dtype_;
  at::Tensor short_, long_;              // frequencies [R/2], float32
  at::Tensor short_scale_, long_scale_;  // scalars, float32
};

// Activation checkpointing (arXiv 1604.06174): returns f(x) and keeps only x for the backward pass,
// which calls f again. `f` must give the same result both times. It may use weights that require
// gradients. The graph keeps `f` alive.
at::Tensor Recompute(std::function<at::Tensor(const at::Tensor&)> f, const at::Tensor& x);

}  // namespace pivotal::model
