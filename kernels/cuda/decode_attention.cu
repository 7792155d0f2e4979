// Apache-2.0.
#include "kernels/cuda/decode_attention.h"

#include <stdexcept>

#include "kernels/cuda/device.h"
#include "kernels/paged_attention.h"

namespace pivotal::kernels::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarp;
constexpr int kQueriesOfWarp = kAttentionQueries / kWarps;
constexpr int kChunk = kAttentionChunk;         // tokens in shared memory: a lane scores one
constexpr int kLaneDims = kMaxHeadDim / kWarp;  // elements of the output that a lane adds up
constexpr int kMergeWarps = 4;
static_assert(kChunk == kWarp);

// Tokens [low, high) of a piece that a row sees.
struct Span {
  int64_t low, high;
};

__device__ Span Sees(const DecodeAttention& task, const AttentionShare& share, int64_t query) {
  const int64_t group = task.heads / task.kv_heads, row = query / group;
  const int64_t low = task.window > 0 ? task.lengths[row] - task.window - share.depth : 0;
  return {Most(low, 0), task.counts[share.counts + row - share.first_query / group]};
}

// A part's result for a query: the largest score, the sum of weights under it, the weighted values [head_dim].
__device__ float* Partial(const DecodeAttention& task, int64_t row, int64_t head, int64_t part) {
  return task.workspace + ((task.part_ends[row] + part) * task.heads + head) * (task.head_dim + 2);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) AttendPart(DecodeAttention task) {
  if (static_cast<int64_t>(blockIdx.x) >= task.num_shares[0]) return;
  const AttentionShare share = task.shares[blockIdx.x];
  const int32_t* const blocks = task.blocks + share.blocks;
  const int64_t group = task.heads / task.kv_heads;
  const int dim = static_cast<int>(task.head_dim), key_stride = dim + 1;  // lanes at different banks
  const int64_t kv_head = blockIdx.y;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  SharedArena arena;
  float* const queries = arena.Take<float>(kAttentionQueries * dim);
  float* const keys = arena.Take<float>(kChunk * key_stride);
  float* const values = arena.Take<float>(kChunk * dim);

  Span all = {share.to, share.from};
  for (int64_t q = share.first_query; q < share.last_query; ++q) {
    const Span span = Sees(task, share, q);
    all = {Least(all.low, span.low), Most(all.high, span.high)};
  }
  const int64_t from = Most(share.from, all.low / kChunk * kChunk);  // chunks begin at the same tokens in any company
  const int64_t to = Least(share.to, all.high);

  Span sees[kQueriesOfWarp];
  for (int j = 0; j < kQueriesOfWarp; ++j) {
    const int slot = warp * kQueriesOfWarp + j;
    const int64_t q = share.first_query + slot;
    const bool is_query = q < share.last_query;
    const int64_t row = q / group, head = kv_head * group + q % group;
    sees[j] = is_query ? Sees(task, share, q) : Span{0, 0};
    const T* query = static_cast<const T*>(task.queries) + (row * task.heads + head) * dim;
    for (int d = lane; d < dim; d += kWarp) queries[slot * dim + d] = is_query ? ToFloat(query[d]) : 0.0f;
  }

  float max[kQueriesOfWarp], sum[kQueriesOfWarp], mixed[kQueriesOfWarp][kLaneDims];
  for (int j = 0; j < kQueriesOfWarp; ++j) {
    max[j] = -kInfinity;
    sum[j] = 0;
    for (int i = 0; i < kLaneDims; ++i) mixed[j][i] = 0;
  }
  for (int64_t start = from; start < to; start += kChunk) {
    __syncthreads();  // nobody reads the chunk before any more
    for (int t = warp; t < kChunk; t += kWarps) {
      const int64_t token = start + t;
      if (token < to) {
        const int64_t place = blocks[token / kBlockTokens] * kBlockTokens + token % kBlockTokens;
        const int64_t offset = (place * task.kv_heads + kv_head) * dim;
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
      for (int j = 0; j < kQueriesOfWarp; ++j) weight[j] += queries[(warp * kQueriesOfWarp + j) * dim + d] * key;
    }
    for (int j = 0; j < kQueriesOfWarp; ++j) {
      const int64_t token = start + lane;
      const bool visible = token >= sees[j].low && token < sees[j].high;
      const float score = weight[j] * task.scale;
      const float shown = score == score ? score : kInfinity;  // NaN must not be lost: exp(inf - inf) is NaN
      const float top = fmaxf(max[j], WarpMax(visible ? shown : -kInfinity));
      if (top == -kInfinity) {  // nothing seen yet, in all lanes alike
        weight[j] = 0;
        continue;
      }
      weight[j] = visible ? expf(score - top) : 0.0f;
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
    const int64_t q = share.first_query + warp * kQueriesOfWarp + j;
    if (q >= share.last_query) break;
    float* const partial = Partial(task, q / group, kv_head * group + q % group, share.part);
    if (lane == 0) {
      partial[0] = max[j];
      partial[1] = sum[j];
    }
    for (int i = 0; i < kLaneDims; ++i)
      if (i * kWarp + lane < dim) partial[2 + i * kWarp + lane] = mixed[j][i];
  }
}

// One warp a row and head.
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
    if (i * kWarp + lane < task.head_dim) Store(out + i * kWarp + lane, sum == 0 ? 0.0f : mixed[i] / sum);
}

template <typename T>
void Start(const DecodeAttention& task, void* stream) {
  const std::size_t shared = SharedBytes<float>(kAttentionQueries * task.head_dim) +
                             SharedBytes<float>(kChunk * (task.head_dim + 1)) +
                             SharedBytes<float>(kChunk * task.head_dim);
  if (task.max_shares > 0)
    Launch("AttendPart", AttendPart<T>, dim3(static_cast<unsigned>(task.max_shares), static_cast<unsigned>(task.kv_heads)),
           dim3(kThreads), shared, stream, task);
  Launch("MergeParts", MergeParts<T>, dim3(static_cast<unsigned>(Parts(task.rows * task.heads, kMergeWarps))),
         dim3(kMergeWarps * kWarp), 0, stream, task);
}

}  // namespace

void LaunchDecodeAttention(const DecodeAttention& task, void* stream) {
  if (task.head_dim < 1 || task.head_dim > kMaxHeadDim)
    throw std::invalid_argument("attention: heads of 1 to 128 elements only");
  if (task.kv_heads < 1 || task.heads % task.kv_heads != 0)
    throw std::invalid_argument("attention: heads must be a multiple of the heads with keys");
  if (task.rows == 0) return;
  switch (task.type) {
    case ElementType::kFloat32: return Start<float>(task, stream);
    case ElementType::kBfloat16: return Start<__nv_bfloat16>(task, stream);
    case ElementType::kFloat16: return Start<__half>(task, stream);
  }
}

}  // namespace pivotal::kernels::cuda
