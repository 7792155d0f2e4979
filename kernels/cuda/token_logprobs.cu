// Apache-2.0.
#include "kernels/cuda/token_logprobs.h"

#include <stdexcept>

#include "kernels/cuda/device.h"

namespace pivotal::kernels::cuda {
namespace {

constexpr int kTile = 64;             // tokens, and words, of a block
constexpr int kOwn = 4;               // of each that a thread has
constexpr int kSide = kTile / kOwn;   // threads along a side of the tile
constexpr int kThreads = kSide * kSide;
constexpr int kStep = 16;             // elements of a hidden state at a time
constexpr int kStride = kTile + 1;    // lanes at different banks

// Workspace: [split][token] of {largest logit, sum of exp(logit - largest)}, then the targets' logits.
__device__ float* Partial(const TokenLogprobs& task, int64_t split, int64_t token) {
  return task.workspace + (split * task.tokens + token) * 2;
}
__device__ float* TargetLogit(const TokenLogprobs& task, int64_t token) {
  return task.workspace + 2 * task.splits * task.tokens + token;
}

// Elements [step, step + kStep) of kTile rows of [count, size], from row `first` on, as [element][row]; zeros outside.
template <typename T>
__device__ void LoadTile(const T* matrix, int64_t count, int64_t size, int64_t first, int64_t step, float* tile) {
  for (int i = threadIdx.x; i < kTile * kStep; i += kThreads) {
    const int row = i / kStep, element = i % kStep;
    const bool inside = first + row < count && step + element < size;
    tile[element * kStride + row] = inside ? ToFloat(matrix[(first + row) * size + step + element]) : 0.0f;
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) SumWords(TokenLogprobs task) {
  SharedArena arena;
  float* const tokens = arena.Take<float>(kStep * kStride);
  float* const words = arena.Take<float>(kStep * kStride);
  const int64_t first_token = static_cast<int64_t>(blockIdx.x) * kTile, split = blockIdx.y;
  // A thread's tokens are token_of + 0, 1, .., its words word_of + 0, kSide, ..: neighbours read neighbouring words.
  const int token_of = static_cast<int>(threadIdx.x) / kSide * kOwn, word_of = static_cast<int>(threadIdx.x) % kSide;
  const int64_t tiles = Parts(task.vocab, kTile);
  float max[kOwn], sum[kOwn] = {};
  for (int i = 0; i < kOwn; ++i) max[i] = -kInfinity;
  for (int64_t tile = tiles * split / task.splits; tile < tiles * (split + 1) / task.splits; ++tile) {
    float logits[kOwn][kOwn] = {};
    for (int64_t step = 0; step < task.hidden_size; step += kStep) {
      __syncthreads();  // nobody reads the step before any more
      LoadTile(static_cast<const T*>(task.hidden), task.tokens, task.hidden_size, first_token, step, tokens);
      LoadTile(static_cast<const T*>(task.weights), task.vocab, task.hidden_size, tile * kTile, step, words);
      __syncthreads();  // the step is whole
      for (int element = 0; element < kStep; ++element) {
        float a[kOwn], b[kOwn];
        for (int i = 0; i < kOwn; ++i) a[i] = tokens[element * kStride + token_of + i];
        for (int j = 0; j < kOwn; ++j) b[j] = words[element * kStride + word_of + j * kSide];
        for (int i = 0; i < kOwn; ++i)
          for (int j = 0; j < kOwn; ++j) logits[i][j] += a[i] * b[j];
      }
    }
    const int64_t first_word = tile * kTile + word_of;
    if (task.bias != nullptr)
      for (int j = 0; j < kOwn; ++j) {
        const float bias = first_word + j * kSide < task.vocab ? task.bias[first_word + j * kSide] : 0.0f;
        for (int i = 0; i < kOwn; ++i) logits[i][j] += bias;
      }
    for (int i = 0; i < kOwn; ++i) {
      const int64_t token = first_token + token_of + i;
      float top = max[i];
      for (int j = 0; j < kOwn; ++j)
        if (first_word + j * kSide < task.vocab) top = fmaxf(top, logits[i][j]);
      top = WarpMax<kSide>(top);
      float added = 0;
      for (int j = 0; j < kOwn; ++j)
        if (first_word + j * kSide < task.vocab) added += logits[i][j] == -kInfinity ? 0.0f : expf(logits[i][j] - top);
      added = WarpSum<kSide>(added);
      sum[i] = (max[i] == -kInfinity ? 0.0f : sum[i] * expf(max[i] - top)) + added;
      max[i] = top;
      if (token >= task.tokens) continue;
      const int64_t at = task.targets[token] - first_word;
      for (int j = 0; j < kOwn; ++j)
        if (at == j * kSide) *TargetLogit(task, token) = logits[i][j];
    }
  }
  if (word_of != 0) return;
  for (int i = 0; i < kOwn; ++i) {
    const int64_t token = first_token + token_of + i;
    if (token >= task.tokens) break;
    float* const partial = Partial(task, split, token);
    partial[0] = max[i];
    partial[1] = sum[i];
  }
}

// One thread a token.
__global__ void __launch_bounds__(kThreads) MergeSplits(TokenLogprobs task) {
  const int64_t token = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (token >= task.tokens) return;
  float max = -kInfinity, sum = 0;
  for (int64_t split = 0; split < task.splits; ++split) max = fmaxf(max, Partial(task, split, token)[0]);
  for (int64_t split = 0; split < task.splits; ++split) {
    const float* const partial = Partial(task, split, token);
    if (partial[1] != 0) sum += partial[1] * (partial[0] == max ? 1.0f : expf(partial[0] - max));
  }
  task.logprobs[token] = *TargetLogit(task, token) - max - logf(sum);
}

template <typename T>
void Start(const TokenLogprobs& task, void* stream) {
  const dim3 grid(static_cast<unsigned>(Parts(task.tokens, kTile)), static_cast<unsigned>(task.splits));
  Launch("SumWords", SumWords<T>, grid, dim3(kThreads), 2 * SharedBytes<float>(kStep * kStride), stream, task);
  Launch("MergeSplits", MergeSplits, dim3(static_cast<unsigned>(Parts(task.tokens, kThreads))), dim3(kThreads), 0, stream,
         task);
}

}  // namespace

int64_t TokenLogprobsWorkspace(const TokenLogprobs& task) { return task.tokens * (2 * task.splits + 1); }

void LaunchTokenLogprobs(const TokenLogprobs& task, void* stream) {
  if (task.vocab < 1 || task.hidden_size < 1)
    throw std::invalid_argument("log-probabilities: no vocabulary, or hidden states without elements");
  if (task.splits < 1 || task.splits > 65535) throw std::invalid_argument("log-probabilities: 1 to 65535 splits");
  if (task.tokens == 0) return;
  switch (task.type) {
    case ElementType::kFloat32: return Start<float>(task, stream);
    case ElementType::kBfloat16: return Start<__nv_bfloat16>(task, stream);
    case ElementType::kFloat16: return Start<__half>(task, stream);
  }
}

}  // namespace pivotal::kernels::cuda
