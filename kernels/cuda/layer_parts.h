// Apache-2.0. What a decoder layer does on a GPU between its matrix products and attention, one
// launch each. (In C++17, which nvcc reads.)
#pragma once

#include <cstdint>

#include "kernels/cuda/decode_attention.h"

namespace pivotal::kernels::cuda {

// All pointers are to device memory. Elements have the type `type`, computations are in float32.
// All functions throw Error if CUDA refuses the launch.

// Adds `update` [rows, size] to `x` [rows, size], unless it is null, and writes the
// root-mean-square normalisation of the sum, times `weight` [size], to `out` [rows, size].
struct AddAndNorm {
  ElementType type = ElementType::kFloat32;
  int64_t rows = 0, size = 0;
  float epsilon = 0;
  void* x = nullptr;
  const void* update = nullptr;
  const void* weight = nullptr;
  void* out = nullptr;
};
void LaunchAddAndNorm(const AddAndNorm& task, void* stream);

// Takes apart `qkv` [rows, (heads + 2 kv_heads) head_dim]: queries, keys, values. Rotates the first
// `rotary_dim` elements of each query and key: (x1, x2) -> (x1 cos1 + x2 sin1, x2 cos2 + x1 sin2),
// where x1 and x2 are halves, and cos and sin [rows, rotary_dim] have a half for each. Writes the
// queries to `queries` [rows, heads, head_dim], keys and values to place slots[row] of `keys` and
// `values` [slots, kv_heads, head_dim]. No two rows but those of a slot that nobody reads may have
// the same slot.
struct RotateAndStore {
  ElementType type = ElementType::kFloat32;
  int64_t rows = 0, heads = 1, kv_heads = 1, head_dim = 1, rotary_dim = 0;
  const void* qkv = nullptr;
  const void* cos = nullptr;
  const void* sin = nullptr;
  const int64_t* slots = nullptr;
  int64_t unused_slot = -1;  // rows of this slot store nothing
  void* queries = nullptr;
  void* keys = nullptr;
  void* values = nullptr;
};
void LaunchRotateAndStore(const RotateAndStore& task, void* stream);

// Computes SwiGLU (arXiv 2002.05202): out[r, i] = silu(x[r, i]) x[r, size + i], of `x` [rows, 2
// size], to `out` [rows, size].
struct SwiGlu {
  ElementType type = ElementType::kFloat32;
  int64_t rows = 0, size = 0;
  const void* x = nullptr;
  void* out = nullptr;
};
void LaunchSwiGlu(const SwiGlu& task, void* stream);

// Replaces each negative token -1 - i among `tokens` [rows] by drawn[i], or by 0 where that is
// negative too: the mark of a draw that failed.
struct TakeDrawn {
  int64_t rows = 0;
  int64_t* tokens = nullptr;
  const int32_t* drawn = nullptr;
};
void LaunchTakeDrawn(const TakeDrawn& task, void* stream);

}  // namespace pivotal::kernels::cuda
