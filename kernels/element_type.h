// Apache-2.0. The types in which the elements of a tensor are stored. (In C++17, which nvcc reads.)
#pragma once

namespace pivotal::kernels {

// Sums are float32 for all types.
enum class ElementType { kFloat32, kBfloat16, kFloat16 };

}  // namespace pivotal::kernels
