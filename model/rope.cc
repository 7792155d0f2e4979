// Apache-2.0.
#include "model/rope.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <algorithm>

#include "model/to_device.h"

namespace pivotal::model {
namespace {

// 1 / (factor * theta^(2i/R)), in float32 as transformers computes it.
at::Tensor Frequencies(const PhiConfig& config, const std::vector<double>& factors,
                       at::Device device) {
  const auto options = at::TensorOptions(at::kFloat);
  const int64_t dim = config.rotary_dim();
  at::Tensor scaled =
      at::pow(config.rope.theta, at::arange(0, dim, 2, options) / static_cast<double>(dim));
  if (!factors.empty()) scaled = at::tensor(factors, options) * scaled;
  return (1.0 / scaled).to(device);
}

}  // namespace

Rope::Rope(const PhiConfig& config, const at::TensorOptions& options)
    : config_(config.rope),
      rotary_dim_(config.rotary_dim()),
      dtype_(c10::typeMetaToScalarType(options.dtype())),
      short_(Frequencies(config, config.rope.short_factor, options.device())),
      long_(Frequencies(config, config.rope.long_factor, options.device())),
      short_scale_(at::full({}, config.rope.short_scale, options.dtype(at::kFloat))),
      long_scale_(at::full({}, config.rope.long_scale, options.dtype(at::kFloat))) {}

RopeAngles Rope::Angles(const at::Tensor& positions, std::span<const int64_t> lengths) const {
  const auto is_long = [&](int64_t length) { return config_.IsLong(length); };
  const auto count = std::ranges::count_if(lengths, is_long);
  if (count == 0) return Angles(positions, at::Tensor());
  if (count == static_cast<int64_t>(lengths.size())) return Finish(positions, long_, config_.long_scale, {});
  std::vector<int64_t> flags;  // both kinds: a row each
  for (int64_t length : lengths) flags.push_back(is_long(length) ? 1 : 0);
  return Angles(positions, ToDevice(flags, positions.device()).to(at::kBool));
}

RopeAngles Rope::Angles(const at::Tensor& positions, const at::Tensor& is_long) const {
  if (!is_long.defined()) return Finish(positions, short_, config_.short_scale, {});
  const at::Tensor row = is_long.view({-1, 1, 1});
  return Finish(positions, at::where(row, long_, short_), 1, at::where(row, long_scale_, short_scale_));
}

RopeAngles Rope::Finish(const at::Tensor& positions, const at::Tensor& frequency, double scale,
                        const at::Tensor& scales) const {
  const at::Tensor angle = positions.to(at::kFloat).unsqueeze(-1) * frequency;  // [B, T, R/2]
  const auto finish = [&](at::Tensor values) {
    if (scales.defined()) values = values * scales;
    else if (scale != 1.0) values = values * scale;
    return values.to(dtype_).unsqueeze(2);
  };
  const at::Tensor cos = angle.cos(), sin = angle.sin();
  return {finish(at::cat({cos, cos}, -1)), finish(at::cat({-sin, sin}, -1))};
}

at::Tensor Rope::Rotate(const at::Tensor& x, const RopeAngles& angles) const {
  const auto rotate = [&](const at::Tensor& part) {
    return part * angles.cos + part.roll(rotary_dim_ / 2, -1) * angles.sin;
  };
  if (rotary_dim_ == x.size(-1)) return rotate(x);
  const auto parts = x.split_with_sizes({rotary_dim_, x.size(-1) - rotary_dim_}, -1);
  return at::cat({rotate(parts[0]), parts[1]}, -1);
}

}  // namespace pivotal::model
