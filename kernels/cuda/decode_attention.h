// Apache-2.0. Attention of one decoding step on a GPU, for rows whose sequences begin with the same
// blocks of tokens. (In C++17, which nvcc reads.)
#pragma once

#include <cstdint>

#include "kernels/element_type.h"

namespace pivotal::kernels::cuda {

inline constexpr int64_t kMaxHeadDim = 128;
// Largest number of queries (rows times query heads per KV head) of a tile.
inline constexpr int64_t kAttentionQueries = 64;
// Part lengths are multiples of this many tokens.
inline constexpr int64_t kAttentionChunk = 32;

// One part of a piece (kernels/paged_attention.h) that one row alone attends to.
struct AttentionSpan {
  int32_t row;
  int32_t blocks;    // index into DecodeAttention::blocks of the piece's first block
  int32_t from, to;  // tokens [from, to) of the piece, all of which the row attends to
  int32_t part;      // index of this part among the parts of the row
};

// One part of a piece that the queries of several neighbouring rows attend to. These rows have all
// pieces up to this one in common. Query q belongs to row q / group.
struct AttentionTile {
  int32_t first_query, last_query;  // [first, last), at most kAttentionQueries
  int32_t blocks;                   // as in AttentionSpan
  int32_t depth;                    // number of tokens of the sequence before the piece
  int32_t from, to;                 // tokens [from, to) of the piece; `from` is a multiple of 32
  // Index into DecodeAttention::counts: counts[counts + i] is the number of tokens of the piece
  // that belong to the i-th row of this tile. A row with at most `from` tokens has no such part.
  int32_t counts;
  int32_t part;  // index of this part among the parts of each of these rows
};

// One launch of attention. Keys and values lie as [slots, kv_heads, head_dim], in blocks of
// kernels::kBlockTokens: token i of block b is in slot 16 b + i. All pointers are to device memory.
// AttentionPlan makes spans, tiles, blocks, counts, lengths and part_ends, so that each row has at
// least one part. A launch depends only on the sizes given here, not on what the pointers hold, so
// that a recorded launch can be repeated.
struct DecodeAttention {
  ElementType type = ElementType::kFloat32;  // of queries, keys, values and out
  int64_t rows = 0, heads = 1, kv_heads = 1, head_dim = 1;
  float scale = 1;                // factor of scores
  int64_t window = 0;             // number of latest tokens that a row attends to; 0: all
  const void* queries = nullptr;  // [rows, heads, head_dim]
  const void* keys = nullptr;
  const void* values = nullptr;
  void* out = nullptr;                   // [rows, heads, head_dim]; zeros for a row without tokens
  const AttentionSpan* spans = nullptr;  // [max_spans], the first num_work[0] are computed
  const AttentionTile* tiles = nullptr;  // [max_tiles], the first num_work[1] are computed
  const int32_t* num_work = nullptr;     // [2]
  int64_t max_spans = 0, max_tiles = 0;  // tiles need a 16-bit type
  const int32_t* blocks = nullptr;
  const int32_t* counts = nullptr;
  const int32_t* lengths = nullptr;    // [rows] tokens of each sequence; read if window > 0
  const int32_t* part_ends = nullptr;  // [rows + 1] from 0: row r has parts [ends[r], ends[r + 1])
  float* workspace = nullptr;          // DecodeAttentionWorkspace() floats for each part
  unsigned* arrived = nullptr;         // [rows, heads] of zeros, which are zeros again afterwards
};

inline int64_t DecodeAttentionWorkspace(int64_t heads, int64_t head_dim) {
  return heads * (head_dim + 2);
}

// Computes attention in one launch. A warp computes the heads of a span that have a KV head in
// common, and reads each key and value once. A block of threads computes a tile: it reads each key
// and value once for up to 64 queries, multiplies by tensor cores, and fetches the next tokens
// meanwhile; weights are rounded to `type` before they multiply values, as in FlashAttention-2
// (arXiv 2307.08691). Both have an online softmax (Milakov and Gimelshein, arXiv 1805.02867). The
// warp that writes the last part of a row and head merges all of them, as in flash decoding, in the
// order of parts. So the order of additions is fixed; by spans alone the result of a row is the
// same to the bit in any company. Throws Error for an unsupported shape, and if CUDA refuses the
// launch.
void LaunchDecodeAttention(const DecodeAttention& task, void* stream);

}  // namespace pivotal::kernels::cuda
