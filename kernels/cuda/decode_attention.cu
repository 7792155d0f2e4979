// Apache-2.0.
#include "kernels/cuda/decode_attention.h"

#include "kernels/cuda/device.h"
#include "kernels/paged_attention.h"
#include "pivotal/error.h"

namespace pivotal::kernels::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarp;
constexpr int kQueriesOfWarp = kAttentionQueries / kWarps;
constexpr int kChunk = kAttentionChunk;         // tokens in shared memory; each lane scores one
constexpr int kLaneDims = kMaxHeadDim / kWarp;  // elements of an output row that a lane sums up
constexpr int kMergeWarps = 4;
static_assert(kChunk == kWarp);

// Tokens [low, high) of a piece.
struct Span {
  int64_t low, high;
};

// Returns the tokens of a tile's piece that a query attends to.
__device__ Span VisibleTokens(const DecodeAttention& task, const AttentionTile& tile,
                              int64_t query) {
  const int64_t group = task.heads / task.kv_heads, row = query / group;
  const int64_t low = task.window > 0 ? task.lengths[row] - task.window - tile.depth : 0;
  return {Max(low, 0), task.counts[tile.counts + row - tile.first_query / group]};
}

// Returns where the result of a part for one query lies: the largest score m, the sum of the
// weights exp(score - m), and the weighted sum of values [head_dim].
__device__ float* Partial(const DecodeAttention& task, int64_t row, int64_t head, int64_t part) {
  return task.workspace + ((task.part_ends[row] + part) * task.heads + head) * (task.head_dim + 2);
}

// Computes one tile for one KV head in each block of threads, with an online softmax over chunks.
template <typename T>
__global__ void __launch_bounds__(kThreads) AttendPart(DecodeAttention task) {
  if (static_cast<int64_t>(blockIdx.x) >= task.num_tiles[0]) return;
  const AttentionTile tile = task.tiles[blockIdx.x];
  const int32_t* const blocks = task.blocks + tile.blocks;
  const int64_t group = task.heads / task.kv_heads;
  const int dim = static_cast<int>(task.head_dim),
            key_stride = dim + 1;  // lanes at different banks
  const int64_t kv_head = blockIdx.y;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  SharedArena arena;
  float* const queries = arena.Take<float>(kAttentionQueries * dim);
  float* const keys = arena.Take<float>(kChunk * key_stride);
  float* const values = arena.Take<float>(kChunk * dim);

  Span all = {tile.to, tile.from};
  for (int64_t q = tile.first_query; q < tile.last_query; ++q) {
    const Span span = VisibleTokens(task, tile, q);
    all = {Min(all.low, span.low), Max(all.high, span.high)};
  }
  // Chunks begin at the same tokens in any company.
  const int64_t from = Max(tile.from, all.low / kChunk * kChunk);
  const int64_t to = Min(tile.to, all.high);

  Span visible[kQueriesOfWarp];
  for (int j = 0; j < kQueriesOfWarp; ++j) {
    const int index = warp * kQueriesOfWarp + j;
    const int64_t q = tile.first_query + index;
    const bool is_query = q < tile.last_query;
    const int64_t row = q / group, head = kv_head * group + q % group;
    visible[j] = is_query ? VisibleTokens(task, tile, q) : Span{0, 0};
    const T* query = static_cast<const T*>(task.queries) + (row * task.heads + head) * dim;
    for (int d = lane; d < dim; d += kWarp)
      queries[index * dim + d] = is_query ? ToFloat(query[d]) : 0.0f;
  }

  float max[kQueriesOfWarp], sum[kQueriesOfWarp], mixed[kQueriesOfWarp][kLaneDims];
  for (int j = 0; j < kQueriesOfWarp; ++j) {
    max[j] = -kInfinity;
    sum[j] = 0;
    for (int i = 0; i < kLaneDims; ++i) mixed[j][i] = 0;
  }
  for (int64_t start = from; start < to; start += kChunk) {
    __syncthreads();  // nobody reads the previous chunk any more
    for (int t = warp; t < kChunk; t += kWarps) {
      const int64_t token = start + t;
      if (token < to) {
        const int64_t slot = blocks[token / kBlockTokens] * kBlockTokens + token % kBlockTokens;
        const int64_t offset = (slot * task.kv_heads + kv_head) * dim;
        for (int d = lane; d < dim; d += kWarp) {
          keys[t * key_stride + d] = ToFloat(static_cast<const T*>(task.keys)[offset + d]);
          values[t * dim + d] = ToFloat(static_cast<const T*>(task.values)[offset + d]);
        }
      } else {
        for (int d = lane; d < dim; d += kWarp) keys[t * key_stride + d] = values[t * dim + d] = 0;
      }
    }
    __syncthreads();  // the chunk is whole
    float weight[kQueriesOfWarp] = {};
    for (int d = 0; d < dim; ++d) {
      const float key = keys[lane * key_stride + d];
      for (int j = 0; j < kQueriesOfWarp; ++j)
        weight[j] += queries[(warp * kQueriesOfWarp + j) * dim + d] * key;
    }
    for (int j = 0; j < kQueriesOfWarp; ++j) {
      const int64_t token = start + lane;
      const bool is_visible = token >= visible[j].low && token < visible[j].high;
      const float score = weight[j] * task.scale;
      // NaN counts as +inf, which makes the weights NaN: exp(inf - inf).
      const float shown = score == score ? score : kInfinity;
      const float top = fmaxf(max[j], WarpMax(is_visible ? shown : -kInfinity));
      if (top == -kInfinity) {  // no token was visible yet, in all lanes alike
        weight[j] = 0;
        continue;
      }
      weight[j] = is_visible ? expf(score - top) : 0.0f;
      const float shrink = expf(max[j] - top);
      sum[j] = sum[j] * shrink + WarpSum(weight[j]);
      for (int i = 0; i < kLaneDims; ++i) mixed[j][i] *= shrink;
      max[j] = top;
    }
    for (int t = 0; t < kChunk; ++t)
      for (int j = 0; j < kQueriesOfWarp; ++j) {
        const float w = __shfl_sync(kAllLanes, weight[j], t);
        for (int i = 0; i < kLaneDims; ++i) {
          const int d = i * kWarp + lane;
          if (d < dim) mixed[j][i] += w * values[t * dim + d];
        }
      }
  }
  for (int j = 0; j < kQueriesOfWarp; ++j) {
    const int64_t q = tile.first_query + warp * kQueriesOfWarp + j;
    if (q >= tile.last_query) break;
    float* const partial = Partial(task, q / group, kv_head * group + q % group, tile.part);
    if (lane == 0) {
      partial[0] = max[j];
      partial[1] = sum[j];
    }
    for (int i = 0; i < kLaneDims; ++i)
      if (i * kWarp + lane < dim) partial[2 + i * kWarp + lane] = mixed[j][i];
  }
}

// Merges the parts of one row and head in each warp.
template <typename T>
__global__ void __launch_bounds__(kMergeWarps* kWarp) MergeParts(DecodeAttention task) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kMergeWarps + threadIdx.x / kWarp;
  if (index >= task.rows * task.heads) return;
  const int lane = threadIdx.x % kWarp;
  const int64_t row = index / task.heads, parts = task.part_ends[row + 1] - task.part_ends[row];
  const float* const partials = Partial(task, row, index % task.heads, 0);
  const int64_t stride = task.heads * (task.head_dim + 2);
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
  T* const out = static_cast<T*>(task.out) + index * task.head_dim;
  for (int i = 0; i < kLaneDims; ++i)
    if (i * kWarp + lane < task.head_dim)
      Store(out + i * kWarp + lane, sum == 0 ? 0.0f : mixed[i] / sum);
}

template <typename T>
void StartKernels(const DecodeAttention& task, void* stream) {
  const std::size_t shared = SharedBytes<float>(kAttentionQueries * task.head_dim) +
                             SharedBytes<float>(kChunk * (task.head_dim + 1)) +
                             SharedBytes<float>(kChunk * task.head_dim);
  if (task.max_tiles > 0)
    Launch("AttendPart", AttendPart<T>,
           dim3(static_cast<unsigned>(task.max_tiles), static_cast<unsigned>(task.kv_heads)),
           dim3(kThreads), shared, stream, task);
  Launch("MergeParts", MergeParts<T>,
         dim3(static_cast<unsigned>(Parts(task.rows * task.heads, kMergeWarps))),
         dim3(kMergeWarps * kWarp), 0, stream, task);
}

}  // namespace

void LaunchDecodeAttention(const DecodeAttention& task, void* stream) {
  if (task.head_dim < 1 || task.head_dim > kMaxHeadDim)
    throw Error("attention: a head must have 1 to 128 elements");
  if (task.kv_heads < 1 || task.heads % task.kv_heads != 0)
    throw Error("attention: the number of heads must be a multiple of the number of KV heads");
  if (task.rows == 0) return;
  switch (task.type) {
    case ElementType::kFloat32: return StartKernels<float>(task, stream);
    case ElementType::kBfloat16: return StartKernels<__nv_bfloat16>(task, stream);
    case ElementType::kFloat16: return StartKernels<__half>(task, stream);
  }
}

}  // namespace pivotal::kernels::cuda
