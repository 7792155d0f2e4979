// Apache-2.0. Root-mean-square normalisation (arXiv 1910.07467).
#pragma once

#include <ATen/core/Tensor.h>

namespace pivotal::model {

// x [..., H] / sqrt(mean(x^2) + epsilon) * weight [H], as at::rms_norm to the bit. Where gradients are wanted
// on the CPU in float32 or wider, they come in a few operators in place of those of each step of it.
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon);

}  // namespace pivotal::model
