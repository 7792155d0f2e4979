// Apache-2.0.
#include "model/rope.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <algorithm>

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
      long_(Frequencies(config, config.rope.long_factor, options.device())) {}

RopeAngles Rope::Angles(const at::Tensor& positions, std::span<const int64_t> lengths) const {
  const auto is_long = [&](int64_t length) { return config_.IsLong(length); };
  const auto count = std::ranges::count_if(lengths, is_long);
  at::Tensor frequency = count > 0 ? long_ : short_;
  at::Tensor scale;
  if (count > 0 && count < static_cast<int64_t>(lengths.size())) {  // both kinds: a row each
    std::vector<int64_t> flags;
    for (int64_t length : lengths) flags.push_back(is_long(length) ? 1 : 0);
    const at::Tensor row = at::tensor(flags, at::TensorOptions(at::kLong))
                               .to(positions.device(), at::kBool).view({-1, 1, 1});
    frequency = at::where(row, long_, short_);
    scale = at::where(row, config_.long_scale, config_.short_scale).to(at::kFloat);
  }
  const at::Tensor angle = positions.to(at::kFloat).unsqueeze(-1) * frequency;  // [B, T, R/2]
  const auto finish = [&](at::Tensor values) {
    const double uniform = count > 0 ? config_.long_scale : config_.short_scale;
    if (scale.defined()) values = values * scale;
    else if (uniform != 1.0) values = values * uniform;
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
