// Apache-2.0.
#include "kernels/cuda/layer_parts.h"

#include "kernels/cuda/device.h"

namespace pivotal::kernels::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;

// Returns the number of elements of the i-th vector of a row.
template <typename T>
__device__ int CountAt(int64_t i, int64_t size) {
  return static_cast<int>(Min(Vector<T>::kSize, size - i * Vector<T>::kSize));
}

template <typename T>
__device__ void StoreVector(T* p, const Vector<T>& vector, int count, int64_t row) {
  if (row % Vector<T>::kSize == 0) {
    *reinterpret_cast<Vector<T>*>(p) = vector;
  } else {
    for (int i = 0; i < Vector<T>::kSize; ++i)
      if (i < count) p[i] = vector.at[i];
  }
}

// Normalises one row in each block.
template <typename T>
__global__ void __launch_bounds__(kThreads) NormRow(AddAndNorm task) {
  constexpr int kSize = Vector<T>::kSize;
  const int64_t begin = blockIdx.x * task.size, vectors = Parts(task.size, kSize);
  T* const x = static_cast<T*>(task.x) + begin;
  SharedArena arena;
  float* const sums = arena.Take<float>(kWarps);
  float sum = 0;
  for (int64_t i = threadIdx.x; i < vectors; i += kThreads) {
    const int count = CountAt<T>(i, task.size);
    Vector<T> own = LoadVector<T>(x + i * kSize, count, task.size);
    if (task.update != nullptr) {
      const Vector<T> update =
          LoadVector<T>(static_cast<const T*>(task.update) + begin + i * kSize, count, task.size);
      for (int j = 0; j < kSize; ++j) Store(own.at + j, ToFloat(own.at[j]) + ToFloat(update.at[j]));
      StoreVector(x + i * kSize, own, count, task.size);
    }
    for (int j = 0; j < kSize; ++j) sum += ToFloat(own.at[j]) * ToFloat(own.at[j]);
  }
  sum = WarpSum(sum);
  if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = sum;
  __syncthreads();  // the sums are there
  float all = 0;
  for (int warp = 0; warp < kWarps; ++warp) all += sums[warp];
  const float scale = 1.0f / sqrtf(all / static_cast<float>(task.size) + task.epsilon);
  for (int64_t i = threadIdx.x; i < vectors; i += kThreads) {  // what this thread wrote above
    const int count = CountAt<T>(i, task.size);
    Vector<T> own = LoadVector<T>(x + i * kSize, count, task.size);
    const Vector<T> weight =
        LoadVector<T>(static_cast<const T*>(task.weight) + i * kSize, count, task.size);
    for (int j = 0; j < kSize; ++j)
      Store(own.at + j, ToFloat(own.at[j]) * scale * ToFloat(weight.at[j]));
    StoreVector(static_cast<T*>(task.out) + begin + i * kSize, own, count, task.size);
  }
}

// Rotates and stores one row in each block.
template <typename T>
__global__ void __launch_bounds__(kThreads) RotateRow(RotateAndStore task) {
  const int64_t row = blockIdx.x, slot = task.slots[row];
  const int64_t dim = task.head_dim, half = task.rotary_dim / 2;
  const T* const qkv =
      static_cast<const T*>(task.qkv) + row * (task.heads + 2 * task.kv_heads) * dim;
  const T* const cos = static_cast<const T*>(task.cos) + row * task.rotary_dim;
  const T* const sin = static_cast<const T*>(task.sin) + row * task.rotary_dim;
  const int64_t heads = slot == task.unused_slot ? task.heads : task.heads + 2 * task.kv_heads;
  for (int64_t i = threadIdx.x; i < heads * dim; i += kThreads) {
    const int64_t head = i / dim, d = i % dim;
    float x = ToFloat(qkv[i]);
    if (d < task.rotary_dim && head < task.heads + task.kv_heads) {
      const float other = ToFloat(qkv[d < half ? i + half : i - half]);
      x = x * ToFloat(cos[d]) + other * ToFloat(sin[d]);
    }
    if (head < task.heads) {
      Store(static_cast<T*>(task.queries) + row * task.heads * dim + i, x);
    } else {
      const int64_t key = head - task.heads, kv_head = key % task.kv_heads;
      T* const to = static_cast<T*>(key < task.kv_heads ? task.keys : task.values);
      Store(to + (slot * task.kv_heads + kv_head) * dim + d, x);
    }
  }
}

// Computes one vector of the result in each thread.
template <typename T>
__global__ void __launch_bounds__(kThreads) GateVectors(SwiGlu task) {
  constexpr int kSize = Vector<T>::kSize;
  const int64_t vectors = Parts(task.size, kSize);
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= task.rows * vectors) return;
  const int64_t row = index / vectors, i = index % vectors;
  const int count = CountAt<T>(i, task.size);
  const T* const x = static_cast<const T*>(task.x) + row * 2 * task.size + i * kSize;
  Vector<T> gate = LoadVector<T>(x, count, task.size);
  const Vector<T> linear = LoadVector<T>(x + task.size, count, task.size);
  for (int j = 0; j < kSize; ++j) {
    const float g = ToFloat(gate.at[j]);
    Store(gate.at + j, g / (1.0f + expf(-g)) * ToFloat(linear.at[j]));
  }
  StoreVector(static_cast<T*>(task.out) + row * task.size + i * kSize, gate, count, task.size);
}

// Replaces one token in each thread.
__global__ void __launch_bounds__(kThreads) TakeTokens(TakeDrawn task) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row >= task.rows || task.tokens[row] >= 0) return;
  task.tokens[row] = Max(0, task.drawn[-1 - task.tokens[row]]);
}

dim3 Grid(int64_t blocks) { return dim3(static_cast<unsigned>(blocks)); }

// Calls start(T()) for the type T of elements.
template <typename F>
void ForType(ElementType type, F start) {
  switch (type) {
    case ElementType::kFloat32: return start(float());
    case ElementType::kBfloat16: return start(__nv_bfloat16());
    case ElementType::kFloat16: return start(__half());
  }
}

}  // namespace

void LaunchAddAndNorm(const AddAndNorm& task, void* stream) {
  if (task.rows == 0) return;
  ForType(task.type, [&](auto element) {
    Launch("NormRow", NormRow<decltype(element)>, Grid(task.rows), dim3(kThreads),
           SharedBytes<float>(kWarps), stream, task);
  });
}

void LaunchRotateAndStore(const RotateAndStore& task, void* stream) {
  if (task.rows == 0) return;
  ForType(task.type, [&](auto element) {
    Launch("RotateRow", RotateRow<decltype(element)>, Grid(task.rows), dim3(kThreads), 0, stream,
           task);
  });
}

void LaunchSwiGlu(const SwiGlu& task, void* stream) {
  if (task.rows == 0) return;
  ForType(task.type, [&](auto element) {
    using T = decltype(element);
    const int64_t vectors = task.rows * Parts(task.size, Vector<T>::kSize);
    Launch("GateVectors", GateVectors<T>, Grid(Parts(vectors, kThreads)), dim3(kThreads), 0, stream,
           task);
  });
}

void LaunchTakeDrawn(const TakeDrawn& task, void* stream) {
  if (task.rows == 0) return;
  Launch("TakeTokens", TakeTokens, Grid(Parts(task.rows, kThreads)), dim3(kThreads), 0, stream,
         task);
}

}  // namespace pivotal::kernels::cuda
