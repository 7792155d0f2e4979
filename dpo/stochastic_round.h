// Apache-2.0. Rounding that keeps small updates on average.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pivotal::dpo {

// `x` (float32) in bfloat16: each element becomes one of its two neighbours, with probabilities that
// make it right on average (arXiv 2010.06192). The draws are a pure function of seed, shape and kind
// of device.
at::Tensor StochasticRound(const at::Tensor& x, uint64_t seed);

}  // namespace pivotal::dpo
