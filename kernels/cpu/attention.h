// Apache-2.0. Scores, softmax and mixing of values for a tile of rows.
#pragma once


#include "kernels/cpu/matmul.h"
#include "kernels/cpu/rows.h"
#include "kernels/paged_attention.h"

namespace pivotal::kernels {
namespace {

// f(first block, blocks, tokens skipped in the first, position of its first token, tokens) for
// stretches of successive blocks that hold tokens [from, to) of the pieces.
template <typename F>
inline void ForRuns(const KvPiece* pieces, int32_t num_pieces, int64_t from, int64_t to, F f) {
  int64_t base = 0;
  for (int32_t i = 0; i < num_pieces && base < to; base += pieces[i++].count) {
    const int64_t end = Least(to - base, pieces[i].count);
    for (int64_t at = Most(from - base, 0); at < end;) {
      const int64_t first = at / kBlockTokens, skip = at % kBlockTokens;
      int64_t last = first;  // of the run
      while ((last + 1) * kBlockTokens < end && pieces[i].blocks[last + 1] == pieces[i].blocks[last] + 1) ++last;
      const int64_t next = Least(end, (last + 1) * kBlockTokens);
      f(pieces[i].blocks[first], last - first + 1, skip, base + at - skip, next - at);
      at = next;
    }
  }
}

// Tokens at the beginning that all rows have in the same blocks.
inline int64_t SharedTokens(const AttentionRow* rows, int64_t count) {
  int64_t shared = 0;
  for (int32_t i = 0;; ++i) {
    int64_t least = INT32_MAX;
    bool whole = true;
    for (int64_t r = 0; r < count; ++r) {
      if (i >= rows[r].num_pieces || rows[r].pieces[i].blocks != rows[0].pieces[i].blocks) return shared;
      whole = whole && rows[r].pieces[i].count == rows[0].pieces[i].count;
      least = Least(least, rows[r].pieces[i].count);
    }
    shared += least;
    if (!whole) return shared;
  }
}

class AttentionTile {
 public:
  explicit AttentionTile(const AttentionTask& task)
      : task_(task), shape_(*task.shape), group_(shape_.group()), dim_(shape_.head_dim),
        padded_(shape_.padded_dim()), queries_(task.count * group_),
        keys_(task.layer->keys + task.kv_head * task.layer->key_head_stride),
        values_(task.layer->values + task.kv_head * task.layer->value_head_stride) {
    int64_t longest = 0;
    for (int64_t r = 0; r < task.count; ++r) longest = Most(longest, task.rows[r].length);
    stride_ = (longest + 15) / 16 * 16 + 2 * kBlockTokens;
    out_ = task.workspace;
    scores_ = out_ + queries_ * padded_;
  }

  void Run() {
    const int64_t shared = task_.count > 1 ? SharedTokens(task_.rows, task_.count) : 0;
    int64_t start = INT64_MAX;
    for (int64_t r = 0; r < task_.count; ++r) start = Least(start, Start(r));
    const AttentionRow& any = task_.rows[0];
    if (start < shared) Score(any, start, shared, 0, queries_);
    for (int64_t r = 0; r < task_.count; ++r)
      Score(task_.rows[r], Most(shared, Start(r)), task_.rows[r].length, r * group_, group_);
    float sums[kMaxQueries];
    for (int64_t q = 0; q < queries_; ++q) {
      const int64_t r = q / group_;
      float* scores = scores_ + q * stride_;
      if (shape_.sparse_block > 0) StrikeOut(scores, task_.rows[r].length, task_.kv_head * group_ + q % group_);
      for (int64_t i = start / 16 * 16; i < Start(r) / 16 * 16; ++i) scores[i] = 0;  // of others' windows
      sums[q] = Softmax(scores, Start(r), task_.rows[r].length, shape_.scale);
    }
    Fill(out_, out_ + queries_ * padded_, 0.0f);
    if (start < shared) Mix(any, start, shared, 0, queries_);
    for (int64_t r = 0; r < task_.count; ++r)
      Mix(task_.rows[r], Most(shared, Start(r)), task_.rows[r].length, r * group_, group_);
    for (int64_t q = 0; q < queries_; ++q) {
      float* out = task_.rows[q / group_].out + (task_.kv_head * group_ + q % group_) * dim_;
      const float factor = 1.0f / sums[q];
      for (int64_t d = 0; d < dim_; ++d) out[d] = out_[q * padded_ + d] * factor;
    }
  }

 private:
  static constexpr int64_t kMaxQueries = 256;

  // The first key that row r sees.
  int64_t Start(int64_t r) const {
    const int64_t length = task_.rows[r].length;
    return shape_.window > 0 && length > shape_.window ? length - shape_.window : 0;
  }

  // Scores of queries [first, first + count) with the tokens [from, to) of `row`; whole blocks, so up to 15
  // before and after them too.
  void Score(const AttentionRow& row, int64_t from, int64_t to, int64_t first, int64_t count) {
    ForRuns(row.pieces, row.num_pieces, from, to,
            [&](int32_t block, int64_t blocks, int64_t, int64_t position, int64_t) {
              ForTiles(first, count, [&](int64_t q0, int64_t size) {
                const float* a[kTileRows] = {};
                float* c[kTileRows] = {};
                for (int64_t i = 0; i < size; ++i) {
                  const int64_t q = q0 + i;
                  a[i] = task_.rows[q / group_].query + (task_.kv_head * group_ + q % group_) * dim_;
                  c[i] = scores_ + q * stride_ + position;
                }
                Rows<false>(size, a, keys_ + block * dim_ * kBlockTokens, dim_ * kBlockTokens, blocks,
                            kBlockTokens, dim_, nullptr, c, false);
              });
            });
  }

  void Mix(const AttentionRow& row, int64_t from, int64_t to, int64_t first, int64_t count) {
    ForRuns(row.pieces, row.num_pieces, from, to,
            [&](int32_t block, int64_t, int64_t skip, int64_t position, int64_t tokens) {
              ForTiles(first, count, [&](int64_t q0, int64_t size) {
                const float* a[kTileRows] = {};
                float* c[kTileRows] = {};
                for (int64_t i = 0; i < size; ++i) {
                  a[i] = scores_ + (q0 + i) * stride_ + position + skip;
                  c[i] = out_ + (q0 + i) * padded_;
                }
                Rows<false>(size, a, values_ + (block * kBlockTokens + skip) * padded_, kPanel, padded_ / kPanel,
                            padded_, tokens, nullptr, c, true);
              });
            });
  }

  // -inf for the keys that a head's pattern leaves out.
  void StrikeOut(float* scores, int64_t length, int64_t head) {
    const int64_t query_block = (length - 1) / shape_.sparse_block;
    for (int64_t b = 0; b <= query_block; ++b) {
      if (query_block - b < shape_.sparse_local ||
          (b + head * shape_.sparse_head_step + 1) % shape_.sparse_stride == 0)
        continue;
      const int64_t end = Least(length, (b + 1) * shape_.sparse_block);
      Fill(scores + b * shape_.sparse_block, scores + end, -kInfinity);
    }
  }

  const AttentionTask& task_;
  const AttentionShape& shape_;
  int64_t group_, dim_, padded_, queries_, stride_ = 0;
  const float *keys_, *values_;
  float *out_ = nullptr, *scores_ = nullptr;
};

void Attend(const AttentionTask& task) { AttentionTile(task).Run(); }

}  // namespace
}  // namespace pivotal::kernels
