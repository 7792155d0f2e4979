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
  const int64_t slot = blocks[token / kBlockTokens] * kBlockTokens + token % kBlockTokens;
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
  const int lane = threadIdx.x % kWarp;
  const int64_t parts = PartsOf(task, row), stride = task.heads * (task.head_dim + 2);
  const float* const partials = Partial(task, row, head, 0);
  float max = -kInfinity;
  for (int64_t part = 0; part < parts; ++part) max = fmaxf(max, partials[part * stride]);
  float sum = 0, mixed[kLaneDims] = {};
  for (int64_t part = 0; part < parts; ++part) {
    const float* const partial = partials + part * stride;
    if (partial[0] == -kInfinity) continue;
    const float factor = expf(partial[0] - max);
    sum += factor * partial[1];
    for (int i = 0; i < kLaneDims; ++i)
      if (i * kWarp + lane < task.head_dim) mixed[i] += factor * partial[2 + i * kWarp + lane];
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
// token: each reads 16 bytes of its key and of its value.
template <typename T, int kHeads, int kLanes>
__device__ void AttendSpan(const DecodeAttention& task, const AttentionSpan& span) {
  constexpr int kVector = Vector<T>::kSize, kTokens = kWarp / kLanes;
  constexpr int kUnroll = kHeads < 4 ? 4 : 2;  // keys and values that a lane reads at once
  const int32_t* const blocks = task.blocks + span.blocks;
  const int64_t group = task.heads / task.kv_heads, splits = Parts(group, kHeads);
  const int64_t kv_head = blockIdx.y / splits, first = blockIdx.y % splits * kHeads;
  const int heads = static_cast<int>(Min(kHeads, group - first));
  const int dim = static_cast<int>(task.head_dim), lane = threadIdx.x % kWarp;
  const int slot = lane / kLanes, begin = lane % kLanes * kVector;
  const int count = static_cast<int>(Max(0, Min(kVector, dim - begin)));  // elements of this lane

  float query[kHeads][kVector], max[kHeads], sum[kHeads], mixed[kHeads][kVector];
  for (int h = 0; h < kHeads; ++h) {
    const int64_t head = kv_head * group + first + h;
    const Vector<T> read = LoadVector(
        static_cast<const T*>(task.queries) + (span.row * task.heads + head) * dim + begin,
        h < heads ? count : 0, dim);
    for (int i = 0; i < kVector; ++i) {
      query[h][i] = ToFloat(read.at[i]) * task.scale;
      mixed[h][i] = 0;
    }
    max[h] = -kInfinity;
    sum[h] = 0;
  }
  for (int64_t start = span.from; start < span.to; start += kTokens * kUnroll) {
    Vector<T> key[kUnroll], value[kUnroll];
    for (int u = 0; u < kUnroll; ++u) {
      const int64_t token = start + u * kTokens + slot;
      const int64_t offset = token < span.to ? Offset(task, blocks, token, kv_head) + begin : 0;
      const int here = token < span.to ? count : 0;
      key[u] = LoadVector(static_cast<const T*>(task.keys) + offset, here, dim);
      value[u] = LoadVector(static_cast<const T*>(task.values) + offset, here, dim);
    }
    // Each element is converted once for all heads, when its turn comes.
    float score[kHeads][kUnroll];
    for (int u = 0; u < kUnroll; ++u) {
      for (int h = 0; h < kHeads; ++h) score[h][u] = 0;
      for (int i = 0; i < kVector; ++i) {
        const float x = ToFloat(key[u].at[i]);
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
      for (int i = 0; i < kVector; ++i) mixed[h][i] *= shrink;
      for (int u = 0; u < kUnroll; ++u) {
        score[h][u] = top == -kInfinity ? 0.0f : expf(score[h][u] - top);
        sum[h] += score[h][u];
      }
      max[h] = top;
    }
    for (int u = 0; u < kUnroll; ++u)
      for (int i = 0; i < kVector; ++i) {
        const float x = ToFloat(value[u].at[i]);
        for (int h = 0; h < kHeads; ++h) mixed[h][i] += score[h][u] * x;
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
      for (int i = 0; i < kVector; ++i)
        mixed[h][i] = mixed[h][i] * shrink + __shfl_xor_sync(kAllLanes, mixed[h][i], step) * grow;
      max[h] = top;
    }
    if (h >= heads || slot > 0) continue;
    float* const partial = Partial(task, span.row, kv_head * group + first + h, span.part);
    if (lane == 0) {
      partial[0] = max[h];
      partial[1] = sum[h];
    }
    for (int i = 0; i < count; ++i) partial[2 + begin + i] = mixed[h][i];
  }
  Arrive<T>(task, lane < heads ? span.row : -1, kv_head * group + first + lane);
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
  int64_t low, high;
};

// Returns the tokens of a tile's piece that a row attends to.
__device__ Visible VisibleTokens(const DecodeAttention& task, const AttentionTile& tile,
                                 int64_t row) {
  const int64_t group = task.heads / task.kv_heads;
  const int64_t low = task.window > 0 ? task.lengths[row] - task.window - tile.depth : 0;
  return {Max(low, 0), task.counts[tile.counts + row - tile.first_query / group]};
}

// Starts to copy the keys and values of tokens [start, start + kChunk) to shared memory. Tokens
// from `to` on become zeros.
template <typename T>
__device__ void Fetch(const DecodeAttention& task, const int32_t* blocks, int64_t kv_head,
                      int64_t start, int64_t to, T* keys, T* values) {
  constexpr int kVector = Vector<T>::kSize;
  const int dim = static_cast<int>(task.head_dim), stride = PaddedDim(dim) + kPad;
  const int vectors = static_cast<int>(Parts(dim, kVector));
  for (int i = threadIdx.x; i < kChunk * vectors; i += kThreads) {
    const int t = i / vectors, begin = i % vectors * kVector;
    T *const key = keys + t * stride + begin, *const value = values + t * stride + begin;
    const bool is_there = start + t < to;
    const int64_t offset = is_there ? Offset(task, blocks, start + t, kv_head) + begin : 0;
    const T* const from_key = static_cast<const T*>(task.keys) + offset;
    const T* const from_value = static_cast<const T*>(task.values) + offset;
    if (is_there && dim % kVector == 0) {
      __pipeline_memcpy_async(key, from_key, sizeof(Vector<T>));
      __pipeline_memcpy_async(value, from_value, sizeof(Vector<T>));
    } else {
      for (int j = 0; j < kVector && begin + j < dim; ++j) {
        Store(key + j, is_there ? ToFloat(from_key[j]) : 0.0f);
        Store(value + j, is_there ? ToFloat(from_value[j]) : 0.0f);
      }
    }
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

  if (from < to) Fetch(task, blocks, kv_head, from, to, keys, values);
  __pipeline_commit();
  for (int i = threadIdx.x; i < 2 * kChunk * (padded - dim); i += kThreads) {
    const int at = i / (padded - dim) * stride + dim + i % (padded - dim);
    Store(keys + at, 0.0f);
    Store(values + at, 0.0f);
  }
  for (int i = threadIdx.x; i < query_tiles * kFragment * padded; i += kThreads) {
    const int q = i / padded, d = i % padded;
    const int64_t query = tile.first_query + q;
    const bool is_there = q < num_queries && d < dim;
    const int64_t at =
        is_there ? (query / group * task.heads + kv_head * group + query % group) * dim + d : 0;
    Store(queries + q * stride + d,
          is_there ? ToFloat(static_cast<const T*>(task.queries)[at]) : 0.0f);
    mixed[q * stride + d] = 0;
  }
  // Query warp + i * kWarps is this warp's i-th.
  Visible visible[kWarpQueries];
  float max[kWarpQueries], sum[kWarpQueries];
  for (int i = 0; i < kWarpQueries; ++i) {
    const int q = warp + i * kWarps;
    visible[i] =
        q < num_queries ? VisibleTokens(task, tile, (tile.first_query + q) / group) : Visible{0, 0};
    max[i] = -kInfinity;
    sum[i] = 0;
  }

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
    for (int i = 0; i < kWarpQueries; ++i) {
      const int q = warp + i * kWarps;
      if (q >= query_tiles * kFragment) continue;
      const int64_t token = start + lane;
      const bool is_visible = token >= visible[i].low && token < visible[i].high && token < tile.to;
      const float score = scores[q * kScoreStride + lane] * task.scale;
      const float top = fmaxf(max[i], WarpMax(is_visible ? Shown(score) : -kInfinity));
      // Without a token so far, all weights are 0.
      const float weight = is_visible ? expf(score - top) : 0.0f;
      const float shrink = top == -kInfinity ? 1.0f : expf(max[i] - top);
      sum[i] = sum[i] * shrink + WarpSum(weight);
      max[i] = top;
      Store(weights + q * kScoreStride + lane, weight);
      if (shrink != 1.0f)
        for (int d = lane; d < padded; d += kWarp) mixed[q * stride + d] *= shrink;
    }
    __syncthreads();  // the weights are there
    for (int i = warp; i < query_tiles * (padded / kFragment); i += kWarps) {
      const int q = i / (padded / kFragment) * kFragment;
      const int d = i % (padded / kFragment) * kFragment;
      Sums out;
      wmma::load_matrix_sync(out, mixed + q * stride + d, stride, wmma::mem_row_major);
      AddProduct<wmma::row_major>(out, weights + q * kScoreStride, kScoreStride, value + d, stride,
                                  kFragment * stride, kChunk);
      wmma::store_matrix_sync(mixed + q * stride + d, out, stride, wmma::mem_row_major);
    }
    __syncthreads();  // nobody reads the chunk any more
  }
  for (int i = 0; i < kWarpQueries; ++i) {
    const int q = warp + i * kWarps;
    if (q >= num_queries || visible[i].high <= tile.from) continue;
    const int64_t query = tile.first_query + q;
    float* const partial = Partial(task, query / group, kv_head * group + query % group, tile.part);
    if (lane == 0) {
      partial[0] = max[i];
      partial[1] = sum[i];
    }
    for (int d = lane; d < dim; d += kWarp) partial[2 + d] = mixed[q * stride + d];
  }
  // Lane i counts the part of this warp's i-th query.
  const int64_t query = tile.first_query + warp + lane * kWarps, row = query / group;
  const bool has_part = lane < kWarpQueries && query < tile.last_query &&
                        VisibleTokens(task, tile, row).high > tile.from;
  Arrive<T>(task, has_part ? row : -1, kv_head * group + query % group);
}

template <typename T>
std::size_t TileSharedBytes(int64_t dim) {
  const std::size_t stride = PaddedDim(dim) + kPad;
  return SharedBytes<T>(kQueries * stride) + 2 * SharedBytes<T>(2 * kChunk * stride) +
         SharedBytes<float>(kQueries * kScoreStride) + SharedBytes<T>(kQueries * kScoreStride) +
         SharedBytes<float>(kQueries * stride);
}

// ---- The launch ----

// Computes a tile in each of the first blocks of threads, if there are any, and spans in the
// others.
template <typename T, int kHeads, int kLanes, bool kHasTiles>
__global__ void __launch_bounds__(kThreads, kHasTiles ? 2 : 1) Attend(DecodeAttention task) {
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
  if (index < task.num_work[0]) AttendSpan<T, kHeads, kLanes>(task, task.spans[index]);
}

template <typename T, int kHeads, int kLanes>
void StartAs(const DecodeAttention& task, void* stream) {
  const dim3 grid(static_cast<unsigned>(task.max_tiles + Parts(task.max_spans, kWarps)),
                  static_cast<unsigned>(task.kv_heads * Parts(task.heads / task.kv_heads, kHeads)));
  if constexpr (sizeof(T) == 2)
    if (task.max_tiles > 0)
      return Launch("Attend", Attend<T, kHeads, kLanes, true>, grid, dim3(kThreads),
                    TileSharedBytes<T>(task.head_dim), stream, task);
  Launch("Attend", Attend<T, kHeads, kLanes, false>, grid, dim3(kThreads), 0, stream, task);
}

template <typename T, int kHeads>
void StartFor(const DecodeAttention& task, void* stream) {
  constexpr int kFew = 64 / Vector<T>::kSize, kMany = 128 / Vector<T>::kSize;
  task.head_dim <= 64 ? StartAs<T, kHeads, kFew>(task, stream)
                      : StartAs<T, kHeads, kMany>(task, stream);
}

template <typename T>
void Start(const DecodeAttention& task, void* stream) {
  const int64_t group = task.heads / task.kv_heads;
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
