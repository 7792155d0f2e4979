// Apache-2.0. The kernels of decoding on a CPU, in the widest instruction set that it has.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/packed_matrix.h"
#include "kernels/paged_attention.h"
#include "kernels/row_tasks.h"

namespace pivotal::kernels {

enum class Isa { kPortable, kAvx2, kAvx512 };

// Results of the instruction sets that have fused products (AVX2, AVX-512) are equal to the bit; those of
// kPortable differ by rounding.
struct CpuKernels {
  Isa isa;
  // A share of a matrix product.
  void (*matmul)(const MatmulTask& task);
  // A tile of attention.
  void (*attend)(const AttentionTask& task);
  // x [norm.size] -> out [norm.size].
  void (*norm)(const float* x, const NormWeights& norm, float* out);
  // Rotates pairs (head[i], head[half + i]) by the angles whose cosine and sine are given, [half].
  void (*rotate)(float* head, const float* cos, const float* sin, int64_t half);
  void (*activate)(const ActivationTask& task, float* x);
  // The largest of `row`; NaN if one is NaN or +inf.
  float (*row_max)(const float* row, int64_t size);
  // weights[i] = exp((row[i] - max) * scale); sums[c]: that of chunk c of kSumChunk weights.
  void (*row_exp)(const float* row, int64_t size, float max, float scale, float* weights, float* sums);
};

// "avx2"
std::string_view IsaName(Isa isa);
// Those that this CPU has, the widest last.
std::span<const Isa> SupportedIsas();
const CpuKernels& KernelsFor(Isa isa);
// The widest, or the one that the environment variable PIVOTAL_ISA names. Throws std::invalid_argument if this
// CPU doesn't have that.
const CpuKernels& Kernels();

}  // namespace pivotal::kernels
