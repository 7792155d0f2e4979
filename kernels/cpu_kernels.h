// Apache-2.0. Kernels for a CPU: of decoding (matrix products, attention, norms, rotary embedding,
// activations, exponentials), of the optimizer, and of weights in 4 bits. They are compiled once
// per instruction set and chosen at run time.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/adamw8.h"
#include "kernels/packed_matrix.h"
#include "kernels/paged_attention.h"
#include "kernels/quantised.h"

namespace pivotal::kernels {

// Computes panels [first_panel, last_panel) of y = x W^T + bias for all rows of x.
struct MatmulTask {
  const float* x;  // [rows, x_stride]; the first weights->inputs() columns are read
  int64_t x_stride;
  int64_t rows;
  const PackedMatrix* weights;
  float* y;  // [rows, y_stride], y_stride >= weights->padded_outputs()
  int64_t y_stride;
  bool add = false;  // true: adds the result to y
  int64_t first_panel = 0, last_panel = 0;
};

// One query token and the keys it attends to: the tokens of its pieces, the last of which is the
// query token itself.
struct AttentionRow {
  const float* query;  // [heads, head_dim]
  float* out;          // [heads, head_dim]
  const KvPiece* pieces;
  int32_t num_pieces;
  int32_t length;  // tokens of all pieces
};

// Largest number of queries (rows times AttentionShape::group()) that a task computes together.
inline constexpr int64_t kTileQueries = 24;

// Computes attention of rows [0, count) for one KV head; count * group <= kTileQueries, or count is
// 1. Leading pieces in the same blocks are read once for all rows. The result of a row is the same
// to the bit in any company.
struct AttentionTask {
  const AttentionShape* shape;
  const KvLayer* layer;
  const AttentionRow* rows;
  int64_t count;
  int64_t kv_head;
  float* workspace;  // AttentionWorkspace() floats
};

// Returns the floats of workspace that a task needs whose rows have at most `length` tokens.
inline int64_t AttentionWorkspace(const AttentionShape& shape, int64_t length) {
  const int64_t queries = shape.group() > kTileQueries ? shape.group() : kTileQueries;
  return queries * ((length + 15) / 16 * 16 + 2 * kBlockTokens + shape.padded_dim() + 1);
}

// RMSNorm (arXiv 1910.07467), or LayerNorm (arXiv 1607.06450) if `centered`.
struct NormWeights {
  const float* weight = nullptr;  // [size]
  const float* bias = nullptr;    // [size], read by LayerNorm only
  int64_t size = 0;
  float epsilon = 1e-5f;
  bool centered = false;
};

enum class Activation {
  kSwiGlu,  // silu(gate) * linear (arXiv 2002.05202)
  kGelu,    // GELU in its tanh form (arXiv 1606.08415)
  kGegelu,  // of Phi-3-small: gate * sigmoid(1.702 gate) * (linear + 1), both clamped
};

// Applies an activation to a row in place. kGelu reads [size]. The gated ones read [2 size], gate
// before linear, and write the first half. Sixteen floats after the row are overwritten.
struct ActivationTask {
  Activation type = Activation::kSwiGlu;
  int64_t size = 0;
  float limit = 0;  // bound at which kGegelu clamps
};

// Number of exponentials that CpuKernels::row_exp adds up into one partial sum.
inline constexpr int64_t kSumChunk = 256;

enum class Isa { kPortable, kAvx2, kAvx512 };

// The kernels of one instruction set. AVX2 and AVX-512 give equal results to the bit; kPortable has
// no fused multiply-add, so that its results differ by rounding.
struct CpuKernels {
  Isa isa;
  void (*matmul)(const MatmulTask& task);
  void (*attend)(const AttentionTask& task);
  // Normalizes x [norm.size] into out [norm.size].
  void (*norm)(const float* x, const NormWeights& norm, float* out);
  // Rotates the pairs (head[i], head[half + i]) by angles given as cosine and sine, [half] each
  // (rotary position embedding, arXiv 2104.09864).
  void (*rotate)(float* head, const float* cos, const float* sin, int64_t half);
  void (*activate)(const ActivationTask& task, float* x);
  // Returns the largest element of `row`, or NaN if an element is NaN or +inf.
  float (*row_max)(const float* row, int64_t size);
  // Computes weights[i] = exp((row[i] - max) * scale), and in sums[c] the sum of
  // weights[c * kSumChunk..(c + 1) * kSumChunk).
  void (*row_exp)(const float* row, int64_t size, float max, float scale, float* weights,
                  float* sums);
  // Steps blocks [first_block, last_block) of the task's elements; equal to the bit in all
  // instruction sets.
  void (*adamw8)(const AdamW8Task& task, int64_t first_block, int64_t last_block);
  // Quantises blocks [first_block, last_block) of kNf4Block numbers, and turns blocks into numbers
  // again: rounded to `type`, at their places in `out` [from.size]. Equal to the bit in all
  // instruction sets.
  void (*quantise_nf4)(const Nf4Task& task, int64_t first_block, int64_t last_block);
  void (*dequantise_nf4)(const Nf4Codes& from, ElementType type, void* out, int64_t first_block,
                         int64_t last_block);
};

// Returns "portable", "avx2" or "avx512".
std::string_view IsaName(Isa isa);
// Returns the instruction sets that this CPU has, the widest last.
std::span<const Isa> SupportedIsas();
const CpuKernels& KernelsFor(Isa isa);
// Returns the kernels of the widest instruction set, or of the one that the environment variable
// PIVOTAL_ISA names. Throws Error if this CPU does not have that.
const CpuKernels& Kernels();

// The tables behind KernelsFor(), each defined by a file of kernels/cpu with its own compiler
// flags.
extern const CpuKernels kPortableKernels;
extern const CpuKernels kAvx2Kernels;
extern const CpuKernels kAvx512Kernels;

}  // namespace pivotal::kernels
