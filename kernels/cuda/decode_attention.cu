// Apache-2.0.
#include "kernels/cuda/decode_attention.h"

#include "kernels/cuda/device.h"
#include "kernels/paged_attention.h"
#include "pivotal/error.h"

namespace pivotal::kernels::cuda {
namespace {

constexpr int kLaneDims = kMaxHeadDim / kWarp;  // elements of an output row that a lane sums up
constexpr int kWarps = 8;                       // of a block
constexpr int kThreads = kWarps * kWarp;

// Returns where the result of a part for one query lies: the largest score m, the sum of the
// weights exp(score - m), and the weighted sum of values [head_dim].
__device__ float* Partial(const DecodeAttention& task, int64_t row, int64_t head, int64_t part) {
  return task.workspace + ((task.part_ends[row] + part) * task.heads + head) * (task.head_dim + 2);
}

// Returns the place of a token's key, or value, among all of them.
__device__ int64_t Offset(const DecodeAttention& task, const int32_t* blocks, int64_t token,
                          int64_t kv_head) {
  const auto of = static_cast<uint32_t>(token);
  const int64_t slot =
      static_cast<int64_t>(blocks[of / kBlockTokens]) * kBlockTokens + of % kBlockTokens;
  return (slot * task.kv_heads + kv_head) * task.head_dim;
}

// NaN counts as +inf, which makes the weights NaN: exp(inf - inf).
__device__ float Shown(float score) { return score == score ? score : kInfinity; }

// ---- Merging: the warp that writes the last part of a row and head ----

__device__ int64_t PartsOf(const DecodeAttention& task, int64_t row) {
  return task.part_ends[row + 1] - task.part_ends[row];
}

// Merges the parts of a row and head. All lanes of a warp must call it.
template <typename T>
__device__ void Merge(const DecodeAttention& task, int64_t row, int64_t head) {
  constexpr int kAtOnce = 4;  // parts that are read at once
  const int lane = threadIdx.x % kWarp;
  const int64_t parts = PartsOf(task, row), stride = task.heads * (task.head_dim + 2);
  const float* const partials = Partial(task, row, head, 0);
  float max = -kInfinity, sum = 0, mixed[kLaneDims] = {};
  for (int64_t part = lane; part < parts; part += kWarp) max = fmaxf(max, partials[part * stride]);
  max = WarpMax(max);
  for (int64_t part = lane; part < parts; part += kWarp) {
    const float top = partials[part * stride], weights = partials[part * stride + 1];
    if (top != -kInfinity) sum += expf(top - max) * weights;
  }
  sum = WarpSum(sum);
  for (int64_t start = 0; start < parts; start += kAtOnce) {
    float top[kAtOnce], value[kAtOnce][kLaneDims];
    for (int n = 0; n < kAtOnce; ++n) {
      const float* const partial = partials + Min(start + n, parts - 1) * stride;
      top[n] = partial[0];
      for (int i = 0; i < kLaneDims; ++i)
        value[n][i] = partial[2 + Min(i * kWarp + lane, task.head_dim - 1)];
    }
    for (int n = 0; n < kAtOnce; ++n) {
      if (start + n >= parts || top[n] == -kInfinity) continue;
      const float factor = expf(top[n] - max);
      for (int i = 0; i < kLaneDims; ++i) mixed[i] += factor * value[n][i];
    }
  }
  T* const out = static_cast<T*>(task.out) + (row * task.heads + head) * task.head_dim;
  for (int i = 0; i < kLaneDims; ++i)
    if (i * kWarp + lane < task.head_dim)
      Store(out + i * kWarp + lane, sum == 0 ? 0.0f : mixed[i] / sum);
}

// Counts the parts that the lanes of this warp have written, and merges those of which all parts
// are there now. A lane names the row and head of one part, or a negative row. All lanes must call
// it.
template <typename T>
__device__ void Arrive(const DecodeAttention& task, int64_t row, int64_t head) {
  __syncwarp();
  __threadfence();  // the parts can be seen before they are counted
  bool is_last = false;
  if (row >= 0) {
    const auto last = static_cast<unsigned>(PartsOf(task, row) - 1);
    is_last = atomicInc(task.arrived + row * task.heads + head, last) == last;
  }
  __threadfence();  // the parts that others have counted can be seen
  __syncwarp();
  for (unsigned left = __ballot_sync(kAllLanes, is_last); left != 0; left &= left - 1) {
    const int lane = __ffs(static_cast<int>(left)) - 1;
    Merge<T>(task, __shfl_sync(kAllLanes, row, lane), __shfl_sync(kAllLanes, head, lane));
  }
}

// ---- Spans: a warp for a row ----

// Computes a span in a warp, for up to kHeads query heads of a KV head. kLanes lanes have one
// token: each reads 16 bytes of its key and of its value. kWhole: heads are whole vectors.
template <typename T, int kHeads, int kLanes, bool kWhole>
__device__ void AttendSpan(const DecodeAttention& task, const AttentionSpan& span) {
  constexpr int kTokens = kWarp / kLanes;
  constexpr int kUnroll = kHeads < 4 ? 4 : 2;  // keys and values that a lane reads at once
  const int32_t* const blocks = task.blocks + span.blocks;
  const int64_t group = task.heads / task.kv_heads, splits = Parts(group, kHeads);
  const int64_t kv_head = blockIdx.y / splits, first = blockIdx.y % splits * kHeads;
  const int heads = static_cast<int>(Min(kHeads, group - first));
  const int dim = static_cast<int>(task.head_dim), lane = threadIdx.x % kWarp;
  const int slot = lane / kLanes, begin = lane % kLanes * kVector<T>;
  const int count = static_cast<int>(Max(0, Min(kVector<T>, dim - begin)));  // of this lane
  // A lane that has no elements reads the first ones, and one without a token the last token: what
  // it reads counts nothing.
  const int64_t element = count > 0 ? begin : 0;
  const bool alone = PartsOf(task, span.row) == 1;  // nothing is to be merged

  float query[kHeads][kVector<T>], max[kHeads], sum[kHeads], mixed[kHeads][kVector<T>];
  for (int h = 0; h < kHeads; ++h) {
    const int64_t head = kv_head * group + first + (h < heads ? h : 0);
    const T* const from =
        static_cast<const T*>(task.queries) + (span.row * task.heads + head) * dim + element;
    const auto read = TakeApart(ReadWords<T, kVector<T>>(from, count, kWhole));
    for (int i = 0; i < kVector<T>; ++i) {
      query[h][i] = count > 0 ? ToFloat(read.at[i]) * task.scale : 0.0f;
      mixed[h][i] = 0;
    }
    max[h] = -kInfinity;
    sum[h] = 0;
  }
  for (int64_t start = span.from; start < span.to; start += kTokens * kUnroll) {
    int64_t offset[kUnroll];
    for (int u = 0; u < kUnroll; ++u)
      offset[u] =
          Offset(task, blocks, Min(start + u * kTokens + slot, span.to - 1), kv_head) + element;
    Words<T, kVector<T>> keys[kUnroll],
        values[kUnroll];  // all on their way before the first one is used
    for (int u = 0; u < kUnroll; ++u)
      keys[u] =
          ReadWords<T, kVector<T>>(static_cast<const T*>(task.keys) + offset[u], count, kWhole);
    for (int u = 0; u < kUnroll; ++u)
      values[u] =
          ReadWords<T, kVector<T>>(static_cast<const T*>(task.values) + offset[u], count, kWhole);
    // Each element is converted once for all heads, when its turn comes.
    float score[kHeads][kUnroll];
    for (int u = 0; u < kUnroll; ++u) {
      for (int h = 0; h < kHeads; ++h) score[h][u] = 0;
      const auto key = TakeApart(keys[u]);
      for (int i = 0; i < kVector<T>; ++i) {
        const float x = count > 0 ? ToFloat(key.at[i]) : 0.0f;
        for (int h = 0; h < kHeads; ++h) score[h][u] += query[h][i] * x;
      }
    }
    for (int h = 0; h < kHeads; ++h) {
      float top = max[h];
      for (int u = 0; u < kUnroll; ++u) {
        for (int step = kLanes / 2; step > 0; step /= 2)
          score[h][u] += __shfl_xor_sync(kAllLanes, score[h][u], step);
        const bool is_there = start + u * kTokens + slot < span.to;
        if (!is_there) score[h][u] = -kInfinity;
        top = fmaxf(top, Shown(score[h][u]));
      }
      // Without a token so far, for all lanes of a token alike, all weights are 0.
      const float shrink = top == -kInfinity ? 1.0f : expf(max[h] - top);
      sum[h] *= shrink;
      for (int i = 0; i < kVector<T>; ++i) mixed[h][i] *= shrink;
      for (int u = 0; u < kUnroll; ++u) {
        score[h][u] = top == -kInfinity ? 0.0f : expf(score[h][u] - top);
        sum[h] += score[h][u];
      }
      max[h] = top;
    }
    for (int u = 0; u < kUnroll; ++u) {
      const bool is_there = start + u * kTokens + slot < span.to;
      const auto value = TakeApart(values[u]);
      for (int i = 0; i < kVector<T>; ++i) {
        const float x = is_there ? ToFloat(value.at[i]) : 0.0f;
        for (int h = 0; h < kHeads; ++h) mixed[h][i] += score[h][u] * x;
      }
    }
  }
  for (int h = 0; h < kHeads; ++h) {
    // Lanes that have other tokens but the same elements add up.
    for (int step = kLanes; step < kWarp; step *= 2) {
      const float other = __shfl_xor_sync(kAllLanes, max[h], step);
      const float top = fmaxf(max[h], other);
      const bool any = top != -kInfinity;
      const float shrink = any ? expf(max[h] - top) : 0.0f, grow = any ? expf(other - top) : 0.0f;
      sum[h] = sum[h] * shrink + __shfl_xor_sync(kAllLanes, sum[h], step) * grow;
      for (int i = 0; i < kVector<T>; ++i)
        mixed[h][i] = mixed[h][i] * shrink + __shfl_xor_sync(kAllLanes, mixed[h][i], step) * grow;
      max[h] = top;
    }
    if (h >= heads || slot > 0) continue;
    const int64_t head = kv_head * group + first + h;
    if (alone) {
      T* const out = static_cast<T*>(task.out) + (span.row * task.heads + head) * dim + begin;
      for (int i = 0; i < count; ++i) Store(out + i, sum[h] == 0 ? 0.0f : mixed[h][i] / sum[h]);
      continue;
    }
    float* const partial = Partial(task, span.row, head, span.part);
    if (lane == 0) {
      partial[0] = max[h];
      partial[1] = sum[h];
    }
    for (int i = 0; i < count; ++i) partial[2 + begin + i] = mixed[h][i];
  }
  if (!alone) Arrive<T>(task, lane < heads ? span.row : -1, kv_head * group + first + lane);
}

// ---- Tiles: a block of threads for the rows that have tokens in common ----

constexpr int kQueries = kAttentionQueries;
constexpr int kWarpQueries = kQueries / kWarps;
constexpr int kChunk = kAttentionChunk;  // tokens in shared memory; each lane has one
constexpr int kFragment = 16;            // rows and columns that tensor cores multiply at once
// Elements that pad a row in shared memory, so that rows begin in different banks.
constexpr int kPad = 8;
constexpr int kScoreStride = kChunk + kPad;
static_assert(kChunk == kWarp);

__host__ __device__ constexpr int PaddedDim(int64_t dim) {
  return static_cast<int>(Parts(dim, kFragment) * kFragment);
}

// Tokens [low, high) of a piece.
struct Visible {
  int32_t low, high;
};

// Returns the tokens of a tile's piece that a row attends to.
__device__ Visible VisibleTokens(const DecodeAttention& task, const AttentionTile& tile,
                                 int64_t row) {
  const int64_t group = task.heads / task.kv_heads;
  const int64_t low = task.window > 0 ? task.lengths[row] - task.window - tile.depth : 0;
  return {static_cast<int32_t>(Max(low, 0)),
          task.counts[tile.counts + row - tile.first_query / group]};
}

// Starts to copy elements [begin, begin + kVector) of a row of `dim` to shared memory, or makes
// them zeros where the row is not there.
template <typename T>
__device__ void FetchVector(const T* row, bool is_there, int begin, int dim, T* to) {
  if (is_there && dim % kVector<T> == 0) {
    __pipeline_memcpy_async(to + begin, row + begin, sizeof(T) * kVector<T>);
  } else {
    for (int i = begin; i < begin + kVector<T> && i < dim; ++i)
      Store(to + i, is_there ? ToFloat(row[i]) : 0.0f);
  }
}

// Starts to copy the keys and values of tokens [start, start + kChunk) to shared memory. Tokens
// from `to` on become zeros.
template <typename T>
__device__ void Fetch(const DecodeAttention& task, const int32_t* blocks, int64_t kv_head,
                      int64_t start, int64_t to, T* keys, T* values) {
  const int dim = static_cast<int>(task.head_dim), stride = PaddedDim(dim) + kPad;
  const int vectors = static_cast<int>(Parts(dim, kVector<T>));
  for (int i = threadIdx.x; i < kChunk * vectors; i += kThreads) {
    const int t = i / vectors, begin = i % vectors * kVector<T>;
    const bool is_there = start + t < to;
    const int64_t offset = is_there ? Offset(task, blocks, start + t, kv_head) : 0;
    FetchVector(static_cast<const T*>(task.keys) + offset, is_there, begin, dim, keys + t * stride);
    FetchVector(static_cast<const T*>(task.values) + offset, is_there, begin, dim,
                values + t * stride);
  }
}

using Sums =
    nvcuda::wmma::fragment<nvcuda::wmma::accumulator, kFragment, kFragment, kFragment, float>;

// Adds a b to `sums`, a [16, depth], b [depth, 16]. Fragments of b are `b_step` elements apart.
template <typename LayoutB, typename T>
__device__ void AddProduct(Sums& sums, const T* a, int a_stride, const T* b, int b_stride,
                           int b_step, int depth) {
  namespace wmma = nvcuda::wmma;
  for (int k = 0; k < depth; k += kFragment, b += b_step) {
    wmma::fragment<wmma::matrix_a, kFragment, kFragment, kFragment, T, wmma::row_major> left;
    wmma::fragment<wmma::matrix_b, kFragment, kFragment, kFragment, T, LayoutB> right;
    wmma::load_matrix_sync(left, a + k, a_stride);
    wmma::load_matrix_sync(right, b, b_stride);
    wmma::mma_sync(sums, left, right, sums);
  }
}

// A tile's weighted sums of values, in fragments of this warp: rows of queries, columns of
// elements. All lanes must call its methods.
class TileSums {
 public:
  // `rows` holds them where they are looked at, [16 query_tiles, stride].
  __device__ TileSums(float* rows, int stride, int query_tiles, int dim_tiles)
      : rows_(rows), stride_(stride), dim_tiles_(dim_tiles), count_(query_tiles * dim_tiles) {
    for (Sums& sums : sums_) nvcuda::wmma::fill_fragment(sums, 0.0f);
  }

  // Adds weights [queries, kChunk] times values [kChunk, elements].
  template <typename T>
  __device__ void Add(const T* weights, const T* values) {
    ForEach([&](Sums& sums, int q, int d) {
      AddProduct<nvcuda::wmma::row_major>(sums, weights + q * kScoreStride, kScoreStride,
                                          values + d, stride_, kFragment * stride_, kChunk);
    });
  }
  // Multiplies the sums of query q by factors[q].
  __device__ void Scale(const float* factors) {
    ForEach([&](Sums& sums, int q, int d) {
      float* const at = rows_ + q * stride_ + d;
      nvcuda::wmma::store_matrix_sync(at, sums, stride_, nvcuda::wmma::mem_row_major);
      __syncwarp();  // the fragment can be seen
      for (int i = threadIdx.x % kWarp; i < kFragment * kFragment; i += kWarp)
        at[i / kFragment * stride_ + i % kFragment] *= factors[q + i / kFragment];
      __syncwarp();  // its scaled elements can be seen
      nvcuda::wmma::load_matrix_sync(sums, at, stride_, nvcuda::wmma::mem_row_major);
    });
  }
  __device__ void WriteRows() {
    ForEach([&](Sums& sums, int q, int d) {
      nvcuda::wmma::store_matrix_sync(rows_ + q * stride_ + d, sums, stride_,
                                      nvcuda::wmma::mem_row_major);
    });
  }

 private:
  static constexpr int kMost = kQueries / kFragment * (kMaxHeadDim / kFragment) / kWarps;

  template <typename F>
  __device__ void ForEach(F f) {
    for (int n = 0; n < kMost; ++n) {  // of a constant number, so that fragments are in registers
      const int i = threadIdx.x / kWarp + n * kWarps;
      if (i < count_) f(sums_[n], i / dim_tiles_ * kFragment, i % dim_tiles_ * kFragment);
    }
  }

  float* rows_;
  int stride_, dim_tiles_, count_;
  Sums sums_[kMost];
};

// How far a score may lie above the one that weights are relative to, so that the weighted sums
// seldom have to be scaled. Weights stay below e^8.
constexpr float kSlack = 8;

// Computes a tile for a KV head in a block of threads.
template <typename T>
__device__ void AttendTile(const DecodeAttention& task, const AttentionTile& tile,
                           int64_t kv_head) {
  namespace wmma = nvcuda::wmma;
  const int32_t* const blocks = task.blocks + tile.blocks;
  const int64_t group = task.heads / task.kv_heads;
  const int dim = static_cast<int>(task.head_dim), padded = PaddedDim(dim), stride = padded + kPad;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int num_queries = tile.last_query - tile.first_query;
  const int query_tiles = static_cast<int>(Parts(num_queries, kFragment));
  SharedArena arena;
  T* const queries = arena.Take<T>(kQueries * stride);
  T* const keys = arena.Take<T>(2 * kChunk * stride);  // of this chunk and of the next
  T* const values = arena.Take<T>(2 * kChunk * stride);
  float* const scores = arena.Take<float>(kQueries * kScoreStride);
  T* const weights = arena.Take<T>(kQueries * kScoreStride);
  float* const mixed = arena.Take<float>(kQueries * stride);  // weighted sums of values
  float* const factors = arena.Take<float>(kQueries);         // by which these are scaled
  int* const scales = arena.Take<int>(kWarps);                // whether a warp's queries are
  Visible* const visible = arena.Take<Visible>(kQueries);     // what a query attends to

  // The tokens that any of the rows attends to. Chunks begin at multiples of kChunk.
  float low = static_cast<float>(tile.to), high = 0;
  const int64_t last_row = (tile.last_query - 1) / group;
  for (int64_t row = tile.first_query / group + lane; row <= last_row; row += kWarp) {
    const Visible visible = VisibleTokens(task, tile, row);
    low = fminf(low, static_cast<float>(visible.low));
    high = fmaxf(high, static_cast<float>(visible.high));
  }
  const int64_t from = Max(tile.from, static_cast<int64_t>(-WarpMax(-low)) / kChunk * kChunk);
  const int64_t to = Min(tile.to, static_cast<int64_t>(WarpMax(high)));

  const int vectors = static_cast<int>(Parts(dim, kVector<T>));
  for (int i = threadIdx.x; i < query_tiles * kFragment * vectors; i += kThreads) {
    const int q = i / vectors;
    const bool is_there = q < num_queries;
    const int64_t query = tile.first_query + (is_there ? q : 0);
    const int64_t head = query / group * task.heads + kv_head * group + query % group;
    FetchVector(static_cast<const T*>(task.queries) + head * dim, is_there,
                i % vectors * kVector<T>, dim, queries + q * stride);
  }
  if (from < to) Fetch(task, blocks, kv_head, from, to, keys, values);
  __pipeline_commit();
  const auto clear = [&](T* rows, int count) {  // what pads them to whole fragments
    for (int i = threadIdx.x; i < count * (padded - dim); i += kThreads)
      Store(rows + i / (padded - dim) * stride + dim + i % (padded - dim), 0.0f);
  };
  clear(queries, query_tiles * kFragment);
  clear(keys, 2 * kChunk);
  clear(values, 2 * kChunk);
  // Query warp + i * kWarps is this warp's i-th. Its weights are relative to score top[i]; each
  // lane has a share of their sum.
  float top[kWarpQueries], sum[kWarpQueries];
  for (int i = 0; i < kWarpQueries; ++i) {
    const int q = warp + i * kWarps;
    top[i] = -kInfinity;
    sum[i] = 0;
    if (lane != i) continue;
    visible[q] =
        q < num_queries ? VisibleTokens(task, tile, (tile.first_query + q) / group) : Visible{0, 0};
  }
  TileSums sums(mixed, stride, query_tiles, padded / kFragment);

  int stage = 0;
  for (int64_t start = from; start < to; start += kChunk, stage = 1 - stage) {
    T* const key = keys + stage * kChunk * stride;
    T* const value = values + stage * kChunk * stride;
    if (start + kChunk < to)
      Fetch(task, blocks, kv_head, start + kChunk, to, keys + (1 - stage) * kChunk * stride,
            values + (1 - stage) * kChunk * stride);
    __pipeline_commit();
    __pipeline_wait_prior(1);
    __syncthreads();  // the chunk is whole
    for (int i = warp; i < query_tiles * (kChunk / kFragment); i += kWarps) {
      const int q = i / (kChunk / kFragment) * kFragment;
      const int t = i % (kChunk / kFragment) * kFragment;
      Sums score;
      wmma::fill_fragment(score, 0.0f);
      AddProduct<wmma::col_major>(score, queries + q * stride, stride, key + t * stride, stride,
                                  kFragment, padded);
      wmma::store_matrix_sync(scores + q * kScoreStride + t, score, kScoreStride,
                              wmma::mem_row_major);
    }
    __syncthreads();  // the scores are there
    bool any = false;
    for (int i = 0; i < kWarpQueries; ++i) {
      const int q = warp + i * kWarps;
      if (q >= query_tiles * kFragment) continue;
      const int token = static_cast<int>(start) + lane;
      const bool is_visible = token >= visible[q].low && token < visible[q].high && token < tile.to;
      const float score = scores[q * kScoreStride + lane] * task.scale;
      const float highest = WarpMax(is_visible ? Shown(score) : -kInfinity);
      float factor = 1;
      if (highest > top[i] + kSlack) {
        factor = expf(top[i] - highest);
        top[i] = highest;
        any = true;
      }
      // Without a token so far, all weights are 0.
      const float weight = is_visible ? expf(score - top[i]) : 0.0f;
      sum[i] = sum[i] * factor + weight;
      Store(weights + q * kScoreStride + lane, weight);
      if (lane == 0) factors[q] = factor;
    }
    if (lane == 0) scales[warp] = any;
    __syncthreads();  // the weights are there
    for (int i = 0; i < kWarps; ++i) any = any || scales[i] != 0;
    if (any) sums.Scale(factors);
    sums.Add(weights, value);
    __syncthreads();  // nobody reads the chunk any more
  }
  sums.WriteRows();
  __syncthreads();  // the sums are there
  for (int i = 0; i < kWarpQueries; ++i) {
    const int q = warp + i * kWarps;
    if (q >= num_queries || visible[q].high <= tile.from) continue;
    const float all = WarpSum(sum[i]);
    const int64_t query = tile.first_query + q;
    float* const partial = Partial(task, query / group, kv_head * group + query % group, tile.part);
    if (lane == 0) {
      partial[0] = top[i];
      partial[1] = all;
    }
    for (int d = lane; d < dim; d += kWarp) partial[2 + d] = mixed[q * stride + d];
  }
  // Lane i counts the part of this warp's i-th query.
  const int64_t query = tile.first_query + warp + lane * kWarps, row = query / group;
  const bool has_part = lane < kWarpQueries && query < tile.last_query &&
                        visible[warp + lane * kWarps].high > tile.from;
  Arrive<T>(task, has_part ? row : -1, kv_head * group + query % group);
}

template <typename T>
std::size_t TileSharedBytes(int64_t dim) {
  const std::size_t stride = PaddedDim(dim) + kPad;
  return SharedBytes<T>(kQueries * stride) + 2 * SharedBytes<T>(2 * kChunk * stride) +
         SharedBytes<float>(kQueries * kScoreStride) + SharedBytes<T>(kQueries * kScoreStride) +
         SharedBytes<float>(kQueries * stride) + SharedBytes<float>(kQueries) +
         SharedBytes<int>(kWarps) + SharedBytes<Visible>(kQueries);
}

// ---- The launch ----

// Computes a tile in each of the first blocks of threads, if there are any, and spans in the
// others. Two blocks share a multiprocessor: at more than 128 registers a thread one would have it
// alone, with half as many reads on their way.
template <typename T, int kHeads, int kLanes, bool kWhole, bool kHasTiles>
__global__ void __launch_bounds__(kThreads, 2) Attend(DecodeAttention task) {
  int64_t block = blockIdx.x;
  if constexpr (kHasTiles) {
    if (block < task.max_tiles) {
      if (block < task.num_work[1] && blockIdx.y < task.kv_heads)
        AttendTile<T>(task, task.tiles[block], blockIdx.y);
      return;
    }
    block -= task.max_tiles;
  }
  const int64_t index = block * kWarps + threadIdx.x / kWarp;
  if (index < task.num_work[0]) AttendSpan<T, kHeads, kLanes, kWhole>(task, task.spans[index]);
}

template <typename T, int kHeads, int kLanes, bool kWhole = true>
void StartAs(const DecodeAttention& task, void* stream) {
  const dim3 grid(static_cast<unsigned>(task.max_tiles + Parts(task.max_spans, kWarps)),
                  static_cast<unsigned>(task.kv_heads * Parts(task.heads / task.kv_heads, kHeads)));
  if constexpr (sizeof(T) == 2)
    if (task.max_tiles > 0)
      return Launch("Attend", Attend<T, kHeads, kLanes, kWhole, true>, grid, dim3(kThreads),
                    TileSharedBytes<T>(task.head_dim), stream, task);
  Launch("Attend", Attend<T, kHeads, kLanes, kWhole, false>, grid, dim3(kThreads), 0, stream, task);
}

// The lanes that have one token of up to 64, or up to 128, elements.
template <typename T>
constexpr int kFewLanes = 64 / kVector<T>;
template <typename T>
constexpr int kAllOfToken = 128 / kVector<T>;

template <typename T, int kHeads>
void StartFor(const DecodeAttention& task, void* stream) {
  task.head_dim <= 64 ? StartAs<T, kHeads, kFewLanes<T>>(task, stream)
                      : StartAs<T, kHeads, kAllOfToken<T>>(task, stream);
}

template <typename T>
void Start(const DecodeAttention& task, void* stream) {
  const int64_t group = task.heads / task.kv_heads;
  // No model that is in use has heads of another size.
  if (task.head_dim % kVector<T> != 0) return StartAs<T, 1, kAllOfToken<T>, false>(task, stream);
  group == 1   ? StartFor<T, 1>(task, stream)
  : group == 2 ? StartFor<T, 2>(task, stream)
               : StartFor<T, 4>(task, stream);
}

}  // namespace

void LaunchDecodeAttention(const DecodeAttention& task, void* stream) {
  if (task.head_dim < 1 || task.head_dim > kMaxHeadDim)
    throw Error("attention: a head must have 1 to 128 elements");
  if (task.kv_heads < 1 || task.heads % task.kv_heads != 0)
    throw Error("attention: the number of heads must be a multiple of the number of KV heads");
  if (task.max_tiles > 0 && task.type == ElementType::kFloat32)
    throw Error("attention: tiles need a 16-bit type");
  if (task.rows == 0) return;
  switch (task.type) {
    case ElementType::kFloat32: return Start<float>(task, stream);
    case ElementType::kBfloat16: return Start<__nv_bfloat16>(task, stream);
    case ElementType::kFloat16: return Start<__half>(task, stream);
  }
}

}  // namespace pivotal::kernels::cuda
