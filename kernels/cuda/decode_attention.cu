// Apache-2.0.
#include "kernels/cuda/decode_attention.h"

#include <stdexcept>

#include "kernels/cuda/device.h"
#include "kernels/paged_attention.h"

namespace pivotal::kernels::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarp;
constexpr int kQueriesOfWarp = 4;
constexpr int kQueries = kWarps * kQueriesOfWarp;  // of a block
constexpr int kChunk = kWarp;                      // tokens in shared memory: a lane scores one
constexpr int kLaneDims = kMaxHeadDim / kWarp;     // elements of the output that a lane adds up
constexpr int kMergeWarps = 4;

// How the work is cut. Blocks of threads: [tile][part] of the trunk, then [row][tile][part] of suffixes.
struct Cut {
  int64_t group, trunk_parts, trunk_tiles, suffix_parts, suffix_tiles;

  __host__ __device__ explicit Cut(const DecodeAttention& task)
      : group(task.heads / task.kv_heads), trunk_parts(Parts(task.trunk_length, task.part_tokens)),
        trunk_tiles(Parts(task.rows * group, kQueries)),
        suffix_parts(Parts(task.suffix_stride * kBlockTokens, task.part_tokens)), suffix_tiles(Parts(group, kQueries)) {}
  __host__ __device__ int64_t parts() const { return trunk_parts + suffix_parts; }
};

// What a block of threads does: queries [first, last) of rows * group, tokens [from, to) of a list of blocks.
struct Share {
  int64_t first, last, part, from, to;
  const int32_t* blocks;
  bool of_trunk;
};

__device__ Share ShareOf(const DecodeAttention& task, const Cut& cut, int64_t index) {
  Share share;
  share.of_trunk = index < cut.trunk_tiles * cut.trunk_parts;
  if (share.of_trunk) {
    share.part = index % cut.trunk_parts;
    share.first = index / cut.trunk_parts * kQueries;
    share.last = Least(share.first + kQueries, task.rows * cut.group);
    share.from = share.part * task.part_tokens;
    share.blocks = task.trunk_blocks;
  } else {
    index -= cut.trunk_tiles * cut.trunk_parts;
    const int64_t part = index % cut.suffix_parts, tile = index / cut.suffix_parts % cut.suffix_tiles;
    const int64_t row = index / (cut.suffix_parts * cut.suffix_tiles);
    share.part = cut.trunk_parts + part;
    share.first = row * cut.group + tile * kQueries;
    share.last = Least(share.first + kQueries, (row + 1) * cut.group);
    share.from = part * task.part_tokens;
    share.blocks = task.suffix_blocks + row * task.suffix_stride;
  }
  share.to = share.from + task.part_tokens;
  return share;
}

// Tokens [low, high) that a row sees of the trunk, or of its suffix.
struct Span {
  int64_t low, high;
};

__device__ Span Sees(const DecodeAttention& task, int64_t row, bool of_trunk) {
  const int64_t leave = task.leave[row], own = task.suffix_lengths[row];
  const int64_t start = task.window > 0 ? Most(leave + own - task.window, 0) : 0;
  if (of_trunk) return {start, leave};
  return {Most(start - leave, 0), own};
}

// A part's result for a query: the largest score, the sum of weights under it, the weighted values [head_dim].
__device__ float* Partial(const DecodeAttention& task, const Cut& cut, int64_t row, int64_t head, int64_t part) {
  return task.workspace + ((row * task.heads + head) * cut.parts() + part) * (task.head_dim + 2);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) AttendPart(DecodeAttention task) {
  const Cut cut(task);
  Share share = ShareOf(task, cut, blockIdx.x);
  const int dim = static_cast<int>(task.head_dim), key_stride = dim + 1;  // lanes at different banks
  const int64_t kv_head = blockIdx.y;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  SharedArena arena;
  float* const queries = arena.Take<float>(kQueries * dim);
  float* const keys = arena.Take<float>(kChunk * key_stride);
  float* const values = arena.Take<float>(kChunk * dim);

  Span all = {share.to, share.from};
  for (int64_t q = share.first; q < share.last; ++q) {
    const Span span = Sees(task, q / cut.group, share.of_trunk);
    all = {Least(all.low, span.low), Most(all.high, span.high)};
  }
  share.from = Most(share.from, all.low / kChunk * kChunk);  // chunks begin at the same tokens in any company
  share.to = Least(share.to, all.high);

  Span sees[kQueriesOfWarp];
  for (int j = 0; j < kQueriesOfWarp; ++j) {
    const int slot = warp * kQueriesOfWarp + j;
    const int64_t q = share.first + slot;
    const bool is_query = q < share.last;
    const int64_t row = q / cut.group, head = kv_head * cut.group + q % cut.group;
    sees[j] = is_query ? Sees(task, row, share.of_trunk) : Span{0, 0};
    const T* from = static_cast<const T*>(task.queries) + (row * task.heads + head) * dim;
    for (int d = lane; d < dim; d += kWarp) queries[slot * dim + d] = is_query ? ToFloat(from[d]) : 0.0f;
  }

  float max[kQueriesOfWarp], sum[kQueriesOfWarp], mixed[kQueriesOfWarp][kLaneDims];
  for (int j = 0; j < kQueriesOfWarp; ++j) {
    max[j] = -kInfinity;
    sum[j] = 0;
    for (int i = 0; i < kLaneDims; ++i) mixed[j][i] = 0;
  }
  for (int64_t start = share.from; start < share.to; start += kChunk) {
    __syncthreads();  // nobody reads the chunk before any more
    for (int t = warp; t < kChunk; t += kWarps) {
      const int64_t token = start + t;
      if (token < share.to) {
        const int64_t place = share.blocks[token / kBlockTokens] * kBlockTokens + token % kBlockTokens;
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
    const int64_t q = share.first + warp * kQueriesOfWarp + j;
    if (q >= share.last) break;
    float* const partial = Partial(task, cut, q / cut.group, kv_head * cut.group + q % cut.group, share.part);
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
  const Cut cut(task);
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kMergeWarps + threadIdx.x / kWarp;
  if (index >= task.rows * task.heads) return;
  const int lane = threadIdx.x % kWarp;
  const float* const partials = Partial(task, cut, index / task.heads, index % task.heads, 0);
  const int64_t stride = task.head_dim + 2;
  float max = -kInfinity;
  for (int64_t part = 0; part < cut.parts(); ++part) max = fmaxf(max, partials[part * stride]);
  float sum = 0, mixed[kLaneDims] = {};
  for (int64_t part = 0; part < cut.parts(); ++part) {
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
  const Cut cut(task);
  const int64_t blocks = cut.trunk_tiles * cut.trunk_parts + task.rows * cut.suffix_tiles * cut.suffix_parts;
  const std::size_t shared = SharedBytes<float>(kQueries * task.head_dim) +
                             SharedBytes<float>(kChunk * (task.head_dim + 1)) +
                             SharedBytes<float>(kChunk * task.head_dim);
  if (blocks > 0)
    Launch("AttendPart", AttendPart<T>, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(task.kv_heads)),
           dim3(kThreads), shared, stream, task);
  Launch("MergeParts", MergeParts<T>, dim3(static_cast<unsigned>(Parts(task.rows * task.heads, kMergeWarps))),
         dim3(kMergeWarps * kWarp), 0, stream, task);
}

}  // namespace

int64_t DecodeAttentionWorkspace(const DecodeAttention& task) {
  return task.rows * task.heads * Cut(task).parts() * (task.head_dim + 2);
}

void LaunchDecodeAttention(const DecodeAttention& task, void* stream) {
  if (task.head_dim < 1 || task.head_dim > kMaxHeadDim)
    throw std::invalid_argument("attention: heads of 1 to 128 elements only");
  if (task.kv_heads < 1 || task.heads % task.kv_heads != 0)
    throw std::invalid_argument("attention: heads must be a multiple of the heads with keys");
  if (task.part_tokens < 1 || task.part_tokens % kChunk != 0)
    throw std::invalid_argument("attention: parts must be multiples of 32 tokens");
  if (task.rows == 0) return;
  switch (task.type) {
    case ElementType::kFloat32: return Start<float>(task, stream);
    case ElementType::kBfloat16: return Start<__nv_bfloat16>(task, stream);
    case ElementType::kFloat16: return Start<__half>(task, stream);
  }
}

}  // namespace pivotal::kernels::cuda
