// Apache-2.0. Attention of many rows that share parts of their past, over keys and values in blocks.
#pragma once

#include <cstdint>

namespace pivotal::kernels {

// Tokens of a block.
inline constexpr int64_t kBlockTokens = 16;

struct AttentionShape {
  int64_t heads = 1, kv_heads = 1, head_dim = 1;
  float scale = 1;     // of scores
  int64_t window = 0;  // a row sees this many of its last keys; 0: all
  // Phi-3-small's block-sparse attention, see model::BlockSparseConfig; 0: dense.
  int64_t sparse_block = 0, sparse_local = 0, sparse_stride = 0, sparse_head_step = 0;

  int64_t group() const { return heads / kv_heads; }
  int64_t padded_dim() const { return (head_dim + 15) / 16 * 16; }
  // Floats of a block: of one KV head's keys, of its keys and values, of all.
  int64_t key_size() const { return head_dim * kBlockTokens; }
  int64_t head_size() const { return key_size() + padded_dim() * kBlockTokens; }
  int64_t block_size() const { return kv_heads * head_size(); }
};

// One layer's keys and values in blocks, [block][KV head]: keys [D][16], then values [16][padded D].
struct KvLayer {
  const AttentionShape* shape;
  float* data;

  float* keys(int64_t block, int64_t head) const {
    return data + block * shape->block_size() + head * shape->head_size();
  }
  float* values(int64_t block, int64_t head) const { return keys(block, head) + shape->key_size(); }
};

// The first `count` tokens of a stretch of a sequence, in blocks that it begins.
struct KvPiece {
  const int32_t* blocks;
  int32_t count;
};

// A row attends to the tokens of its pieces, `length` in all, its own the last of them.
struct AttentionRow {
  const float* query;  // [heads, head_dim]
  float* out;          // [heads, head_dim]
  const KvPiece* pieces;
  int32_t num_pieces;
  int32_t length;
};

// Queries (rows times group) that are computed together at most.
inline constexpr int64_t kTileQueries = 24;

// Rows [0, count) of one KV head; count * group <= kTileQueries, or count = 1. What they share at the
// beginning of their pieces (the same blocks) is read once for all. The result of a row doesn't depend
// on its company, to the bit. `workspace`: AttentionWorkspace() floats.
struct AttentionTask {
  const AttentionShape* shape;
  const KvLayer* layer;
  const AttentionRow* rows;
  int64_t count;
  int64_t kv_head;
  float* workspace;
};

// Floats for rows of at most `length` tokens.
inline int64_t AttentionWorkspace(const AttentionShape& shape, int64_t length) {
  const int64_t queries = shape.group() > kTileQueries ? shape.group() : kTileQueries;
  return queries * ((length + 15) / 16 * 16 + 2 * kBlockTokens + shape.padded_dim());
}

}  // namespace pivotal::kernels
