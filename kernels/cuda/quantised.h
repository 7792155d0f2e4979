// Apache-2.0. Matrices in 4 and 8 bits on a GPU. (In C++17, which nvcc reads.)
#pragma once

#include <cstdint>

#include "kernels/quantised.h"

namespace pivotal::kernels::cuda {

// All pointers are to device memory. All functions throw Error if CUDA refuses the launch.

// Writes the numbers of `from`, rounded to `type`, to `out` [from.size], or [rows, columns].
void LaunchDequantise(const Nf4Codes& from, ElementType type, void* out, void* stream);
void LaunchDequantise(const Int8Codes& from, ElementType type, void* out, void* stream);

// Computes out[r, n] = sum_k x[r, k] w[n, k] + bias[n] for few rows, from the codes of w [outputs,
// inputs]. The numbers of w are not rounded to `type`; sums are float32.
struct FewRowsProduct {
  static constexpr int64_t kMaxRows = 8;
  // Returns whether the kernels can compute it.
  static bool Supports(int64_t rows, int64_t inputs) {
    return rows >= 1 && rows <= kMaxRows && inputs % kNf4Block == 0;
  }

  ElementType type = ElementType::kFloat32;  // of x, bias and out
  int64_t rows = 0, outputs = 0, inputs = 0;
  const void* x = nullptr;     // [rows, inputs], aligned to 16 bytes
  const void* bias = nullptr;  // [outputs], or null
  void* out = nullptr;         // [rows, outputs]
};
void LaunchFewRowsProduct(const FewRowsProduct& task, const Nf4Codes& w, void* stream);
void LaunchFewRowsProduct(const FewRowsProduct& task, const Int8Codes& w, void* stream);

}  // namespace pivotal::kernels::cuda
