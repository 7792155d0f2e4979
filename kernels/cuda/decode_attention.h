// Apache-2.0. Attention of one decoding step on a GPU: rows whose sequences begin with the same stretches of tokens.
#pragma once

#include <cstdint>

#include "kernels/cuda/element_type.h"

namespace pivotal::kernels::cuda {

inline constexpr int64_t kMaxHeadDim = 128;
// Queries (rows times the heads that share keys) that go through the same tokens together, at most.
inline constexpr int64_t kAttentionQueries = 16;
// What parts of a piece are multiples of.
inline constexpr int64_t kAttentionChunk = 32;

// What one block of threads does: a part of a piece (kernels/paged_attention.h) for neighbouring queries, whose rows have
// all pieces up to this one in common. Query q is row q / group's.
struct AttentionShare {
  int32_t first_query, last_query;  // [first, last), at most kAttentionQueries
  int32_t blocks;                   // DecodeAttention::blocks[blocks] is the piece's first
  int32_t depth;                    // tokens of the sequence before the piece
  int32_t from, to;                 // tokens of the piece; `from` a multiple of kAttentionChunk
  int32_t counts;                   // counts[counts + i]: tokens of the piece that the i-th of these rows has
  int32_t part;                     // among the parts of each of these rows
};

// Keys and values lie as [places, kv_heads, head_dim], in blocks of kernels::kBlockTokens: token i of block b is at place
// 16 b + i. All pointers are the device's; what a launch does depends on sizes here alone, so that a recorded one can run
// again on other contents. model::AttentionPlan makes shares, blocks, counts and ends of parts.
struct DecodeAttention {
  ElementType type = ElementType::kFloat32;  // of queries, keys, values and out
  int64_t rows = 0, heads = 1, kv_heads = 1, head_dim = 1;
  float scale = 1;     // of scores
  int64_t window = 0;  // a row sees this many of its last tokens; 0: all
  const void* queries = nullptr;  // [rows, heads, head_dim]
  const void* keys = nullptr;
  const void* values = nullptr;
  void* out = nullptr;                       // [rows, heads, head_dim]; zeros for a row without parts
  const AttentionShare* shares = nullptr;    // [max_shares], of which num_shares[0] are done
  const int32_t* num_shares = nullptr;
  int64_t max_shares = 0;
  const int32_t* blocks = nullptr;
  const int32_t* counts = nullptr;
  const int32_t* lengths = nullptr;    // [rows], tokens of the sequence, for the window; else not read
  const int32_t* part_ends = nullptr;  // [rows + 1]: row r has parts part_ends[r]..part_ends[r + 1], from 0
  float* workspace = nullptr;          // DecodeAttentionWorkspace() floats for each part
};

inline int64_t DecodeAttentionWorkspace(int64_t heads, int64_t head_dim) { return heads * (head_dim + 2); }

// A part is read once for sixteen queries, not once a row. Softmax goes along with the tokens (Milakov and Gimelshein,
// arXiv 1805.02867); parts are merged after that, as in flash decoding. The result of a row depends on its own parts, not
// on its company, to the bit. Throws std::invalid_argument for a shape that it can't do, std::runtime_error if CUDA
// refuses the launch.
void LaunchDecodeAttention(const DecodeAttention& task, void* stream);

}  // namespace pivotal::kernels::cuda
