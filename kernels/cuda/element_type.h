// Apache-2.0. How the elements of a tensor on a GPU are stored.
#pragma once

namespace pivotal::kernels::cuda {

// Products and sums are float32 for all.
enum class ElementType { kFloat32, kBfloat16, kFloat16 };

}  // namespace pivotal::kernels::cuda
