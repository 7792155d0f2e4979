// Apache-2.0. Attention of a tile of rows: scores, softmax, and the weighted sum of values.
#pragma once

#include "kernels/cpu/matmul.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu_kernels.h"
#include "kernels/paged_attention.h"

namespace pivotal::kernels {
namespace {

// Successive tokens of one piece: `count` of them, stored in `blocks` from token `skip` of the
// first block on. The first has position `position` in its sequence.
struct Stretch {
  const int32_t* blocks;
  int64_t skip, position, count;
};

// Calls f(stretch) for each piece that holds some of the tokens [from, to) of a row.
template <typename F>
inline void ForStretches(const AttentionRow& row, int64_t from, int64_t to, F f) {
  int64_t base = 0;
  for (int32_t i = 0; i < row.num_pieces && base < to; base += row.pieces[i++].count) {
    const int64_t first = Max(from - base, 0), last = Min(to - base, row.pieces[i].count);
    if (first < last)
      f(Stretch{row.pieces[i].blocks + first / kBlockTokens, first % kBlockTokens, base + first,
                last - first});
  }
}

// Adds sum_t weights[m][t] value[t][16 p + n] to out[m][16 p + n] for M queries, P panels and n <
// 16, over the tokens t of a stretch. value_at(block) points to the values of the block's first
// token, from the first panel on; the next token's are `step` floats further.
template <int M, int P, typename ValueAt>
inline void MixTile(const Stretch& stretch, const float* const* weights, ValueAt value_at,
                    int64_t step, float* const* out) {
  Vec sum[M][P][kPanelVecs];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
      for (int v = 0; v < kPanelVecs; ++v) sum[m][p][v] = Load(out[m] + p * kPanel + v * kLanes);
  const int32_t* block = stretch.blocks;
  for (int64_t t = 0, skip = stretch.skip; t < stretch.count; skip = 0, ++block) {
    const float* value = value_at(*block) + skip * step;
    const int64_t end = Min(stretch.count, t + kBlockTokens - skip);
    for (; t < end; ++t, value += step) {
      Vec values[P][kPanelVecs];
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
        for (int v = 0; v < kPanelVecs; ++v) values[p][v] = Load(value + p * kPanel + v * kLanes);
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m) {
        const Vec weight = Broadcast(weights[m][t]);
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
          for (int v = 0; v < kPanelVecs; ++v)
            sum[m][p][v] = Fma(weight, values[p][v], sum[m][p][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
      for (int v = 0; v < kPanelVecs; ++v) Store(out[m] + p * kPanel + v * kLanes, sum[m][p][v]);
}

// Does what MixTile does for 1..kTileRows queries and all panels of `padded` values.
template <int M = kTileRows, typename ValueAt>
void MixRows(int64_t rows, const Stretch& stretch, const float* const* weights, ValueAt value_at,
             int64_t padded, float* const* out) {
  if constexpr (M > 1) {
    if (rows < M) {
      MixRows<M - 1>(rows, stretch, weights, value_at, padded, out);
      return;
    }
  }
  int64_t at = 0;
  const auto take = [&]<int P>() {
    for (; at + P * kPanel <= padded; at += P * kPanel) {
      float* to[M];
      for (int m = 0; m < M; ++m) to[m] = out[m] + at;
      MixTile<M, P>(
          stretch, weights, [&](int32_t block) { return value_at(block) + at; }, padded, to);
    }
  };
  constexpr int P = kTilePanels<M>;
  take.template operator()<P>();
  if constexpr (P > 2) take.template operator()<2>();
  if constexpr (P > 1) take.template operator()<1>();
}

// Returns the number of leading tokens that all rows have in the same blocks.
inline int64_t SharedTokens(const AttentionRow* rows, int64_t count) {
  int64_t shared = 0;
  for (int32_t i = 0;; ++i) {
    int64_t least = INT32_MAX;
    bool whole = true;
    for (int64_t r = 0; r < count; ++r) {
      if (i >= rows[r].num_pieces || rows[r].pieces[i].blocks != rows[0].pieces[i].blocks)
        return shared;
      whole = whole && rows[r].pieces[i].count == rows[0].pieces[i].count;
      least = Min(least, rows[r].pieces[i].count);
    }
    shared += least;
    if (!whole) return shared;
  }
}

class AttentionTile {
 public:
  explicit AttentionTile(const AttentionTask& task)
      : task_(task),
        shape_(*task.shape),
        group_(shape_.group()),
        dim_(shape_.head_dim),
        padded_(shape_.padded_dim()),
        queries_(task.count * group_) {
    int64_t longest = 0;
    for (int64_t r = 0; r < task.count; ++r) longest = Max(longest, task.rows[r].length);
    stride_ = (longest + 15) / 16 * 16 + 2 * kBlockTokens;
    out_ = task.workspace;
    scores_ = out_ + queries_ * padded_;
    sums_ = scores_ + queries_ * stride_;
  }

  void Run() {
    const int64_t shared = task_.count > 1 ? SharedTokens(task_.rows, task_.count) : 0;
    int64_t start = INT64_MAX;
    for (int64_t r = 0; r < task_.count; ++r) start = Min(start, Start(r));
    const AttentionRow& any = task_.rows[0];
    const auto fetch_keys = [&](int64_t r) { Fetch(r, shared, 0, shape_.key_size()); };
    const auto fetch_values = [&](int64_t r) {
      Fetch(r, shared, shape_.key_size(), shape_.head_size());
    };
    fetch_keys(0);
    if (start < shared) Score(any, start, shared, 0, queries_);
    for (int64_t r = 0; r < task_.count; ++r) {
      fetch_keys(r + 1);
      Score(task_.rows[r], Max(shared, Start(r)), task_.rows[r].length, r * group_, group_);
    }
    fetch_values(0);
    for (int64_t q = 0; q < queries_; ++q) {
      const int64_t r = q / group_;
      float* scores = scores_ + q * stride_;
      if (shape_.sparse_block > 0)
        MaskSparse(scores, task_.rows[r].length, task_.kv_head * group_ + q % group_);
      for (int64_t i = start / 16 * 16; i < Start(r) / 16 * 16; ++i)
        scores[i] = 0;  // keys of other rows, before the window of row r
      sums_[q] = Softmax(scores, Start(r), task_.rows[r].length, shape_.scale);
    }
    Fill(out_, out_ + queries_ * padded_, 0.0f);
    if (start < shared) Mix(any, start, shared, 0, queries_);
    for (int64_t r = 0; r < task_.count; ++r) {
      fetch_values(r + 1);
      Mix(task_.rows[r], Max(shared, Start(r)), task_.rows[r].length, r * group_, group_);
    }
    for (int64_t q = 0; q < queries_; ++q) {
      float* out = task_.rows[q / group_].out + (task_.kv_head * group_ + q % group_) * dim_;
      const float factor = 1.0f / sums_[q];
      for (int64_t d = 0; d < dim_; ++d) out[d] = out_[q * padded_ + d] * factor;
    }
  }

 private:
  // Returns the position of the first key that row r attends to.
  int64_t Start(int64_t r) const {
    const int64_t length = task_.rows[r].length;
    return shape_.window > 0 && length > shape_.window ? length - shape_.window : 0;
  }

  // Prefetches floats [first, last) of this head's part of the blocks that only row r reads. These
  // blocks are few and far from those of the next row, so that reading them waits for memory.
  void Fetch(int64_t r, int64_t shared, int64_t first, int64_t last) const {
    if (r >= task_.count) return;
    int64_t blocks = 8;  // as many as leave room in the first-level cache
    const AttentionRow& row = task_.rows[r];
    ForStretches(row, Max(shared, Start(r)), row.length, [&](const Stretch& s) {
      const int64_t count = Min(blocks, (s.skip + s.count + kBlockTokens - 1) / kBlockTokens);
      for (int64_t i = 0; i < count; ++i) {
        const float* keys = task_.layer->keys(s.blocks[i], task_.kv_head);
        for (int64_t at = first; at < last; at += 16) __builtin_prefetch(keys + at);
      }
      blocks -= count;
    });
  }

  // Computes the scores of queries [first, first + count) with the tokens [from, to) of `row`.
  // Blocks are scored whole, so up to 15 scores before and after are written too.
  void Score(const AttentionRow& row, int64_t from, int64_t to, int64_t first, int64_t count) {
    ForStretches(row, from, to, [&](const Stretch& s) {
      ForTiles(first, count, [&](int64_t q0, int64_t size) {
        const float* a[kTileRows] = {};
        float* c[kTileRows] = {};
        for (int64_t i = 0; i < size; ++i) {
          const int64_t q = q0 + i;
          a[i] = task_.rows[q / group_].query + (task_.kv_head * group_ + q % group_) * dim_;
          c[i] = scores_ + q * stride_ + s.position - s.skip;
        }
        const auto keys = [&](int64_t i) -> const float* {
          return task_.layer->keys(s.blocks[i], task_.kv_head);
        };
        static_assert(kBlockTokens == kPanel);
        Rows<Scaled::kNot>(size, a, keys, (s.skip + s.count + kBlockTokens - 1) / kBlockTokens,
                           dim_, nullptr, 0, c, false);
      });
    });
  }

  // Adds the weighted values of the tokens [from, to) of `row` to the outputs of queries
  // [first, first + count).
  void Mix(const AttentionRow& row, int64_t from, int64_t to, int64_t first, int64_t count) {
    ForStretches(row, from, to, [&](const Stretch& s) {
      ForTiles(first, count, [&](int64_t q0, int64_t size) {
        const float* a[kTileRows] = {};
        float* c[kTileRows] = {};
        for (int64_t i = 0; i < size; ++i) {
          a[i] = scores_ + (q0 + i) * stride_ + s.position;
          c[i] = out_ + (q0 + i) * padded_;
        }
        const auto values = [&](int32_t block) -> const float* {
          return task_.layer->values(block, task_.kv_head);
        };
        MixRows(size, s, a, values, padded_, c);
      });
    });
  }

  // Sets the scores of the keys that the block-sparse pattern of a head leaves out to -inf.
  void MaskSparse(float* scores, int64_t length, int64_t head) {
    const int64_t query_block = (length - 1) / shape_.sparse_block;
    for (int64_t b = 0; b <= query_block; ++b) {
      if (query_block - b < shape_.sparse_local ||
          (b + head * shape_.sparse_head_step + 1) % shape_.sparse_stride == 0)
        continue;
      const int64_t end = Min(length, (b + 1) * shape_.sparse_block);
      Fill(scores + b * shape_.sparse_block, scores + end, -kInfinity);
    }
  }

  const AttentionTask& task_;
  const AttentionShape& shape_;
  int64_t group_, dim_, padded_, queries_, stride_ = 0;
  // For each query: the weighted sum of values, the scores, and the sum of their weights.
  float *out_ = nullptr, *scores_ = nullptr, *sums_ = nullptr;
};

void Attend(const AttentionTask& task) { AttentionTile(task).Run(); }

}  // namespace
}  // namespace pivotal::kernels
