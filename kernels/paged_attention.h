// Apache-2.0. Layout of keys and values in blocks of tokens (paged attention, arXiv 2309.06180), so
// that sequences can have blocks in common. (In C++17, which nvcc reads.)
#pragma once

#include <cstdint>

namespace pivotal::kernels {

// Tokens of a block.
inline constexpr int64_t kBlockTokens = 16;

struct AttentionShape {
  int64_t heads = 1, kv_heads = 1, head_dim = 1;
  float scale = 1;     // factor of attention scores
  int64_t window = 0;  // number of latest keys that a query attends to; 0: all
  // Block-sparse attention of Phi-3-small, see model::BlockSparseConfig; 0: dense.
  int64_t sparse_block = 0, sparse_local = 0, sparse_stride = 0, sparse_head_step = 0;

  // Query heads per KV head.
  int64_t group() const { return heads / kv_heads; }
  int64_t padded_dim() const { return (head_dim + 15) / 16 * 16; }
  // Floats of a block: the keys of one KV head, its keys and values, all KV heads.
  int64_t key_size() const { return head_dim * kBlockTokens; }
  int64_t head_size() const { return key_size() + padded_dim() * kBlockTokens; }
  int64_t block_size() const { return kv_heads * head_size(); }
};

// Keys and values of one layer, as [block][KV head]. Each head has its keys transposed,
// [head_dim][16], then its values, [16][padded_dim].
struct KvLayer {
  const AttentionShape* shape;
  float* data;

  float* keys(int64_t block, int64_t head) const {
    return data + block * shape->block_size() + head * shape->head_size();
  }
  float* values(int64_t block, int64_t head) const { return keys(block, head) + shape->key_size(); }
};

// A run of `count` successive tokens of a sequence, stored from the first token of blocks[0] on.
struct KvPiece {
  const int32_t* blocks;
  int32_t count;
};

}  // namespace pivotal::kernels
