// Apache-2.0. Attention of one decoding step on a GPU: rows that share a trunk, each with a suffix of its own.
#pragma once

#include <cstdint>

#include "kernels/cuda/element_type.h"

namespace pivotal::kernels::cuda {

inline constexpr int64_t kMaxHeadDim = 128;

// Each row is a rollout: it sees the first `leave` tokens of the trunk, then its suffix, its own token the last of
// that. Keys and values lie as model::TensorDecoder has them, [places, kv_heads, head_dim], in blocks of
// kernels::kBlockTokens: token i of block b is at place 16 b + i. All pointers are the device's.
struct DecodeAttention {
  ElementType type = ElementType::kFloat32;  // of queries, keys, values and out
  int64_t rows = 0, heads = 1, kv_heads = 1, head_dim = 1;
  float scale = 1;     // of scores
  int64_t window = 0;  // a row sees this many of its last tokens; 0: all
  const void* queries = nullptr;  // [rows, heads, head_dim]
  const void* keys = nullptr;
  const void* values = nullptr;
  void* out = nullptr;  // [rows, heads, head_dim]; zeros for a row without tokens
  const int32_t* trunk_blocks = nullptr;  // [trunk_length / 16, rounded up]
  int64_t trunk_length = 0;
  const int32_t* leave = nullptr;           // [rows], 0..trunk_length
  const int32_t* suffix_blocks = nullptr;   // [rows, suffix_stride]; what a row has no tokens for isn't read
  int64_t suffix_stride = 0;                // blocks of the longest suffix, at least
  const int32_t* suffix_lengths = nullptr;  // [rows], 0..16 suffix_stride
  int64_t part_tokens = 256;                // of trunk or suffix that one block of threads goes through
  float* workspace = nullptr;               // DecodeAttentionWorkspace() floats
};

int64_t DecodeAttentionWorkspace(const DecodeAttention& task);

// A part of the trunk is read once for sixteen queries (rows times the heads that share keys), not once a row. Softmax
// goes along with the tokens (Milakov and Gimelshein, arXiv 1805.02867); parts are merged after that, as in flash
// decoding. The result of a row doesn't depend on its company, to the bit. Throws std::invalid_argument for a shape that it
// can't do, std::runtime_error if CUDA refuses the launch.
void LaunchDecodeAttention(const DecodeAttention& task, void* stream);

}  // namespace pivotal::kernels::cuda
