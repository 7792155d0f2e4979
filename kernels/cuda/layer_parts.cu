// Apache-2.0.
#include "kernels/cuda/layer_parts.h"

#include <initializer_list>

#include "kernels/cuda/device.h"

namespace pivotal::kernels::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;

// All kernels take kSize elements at once: a vector where rows have whole ones, or else one. They
// read all that they need before they use any of it, so that a thread waits once.

// Normalises one row in each block.
template <typename T, int kSize>
__global__ void __launch_bounds__(kThreads) NormRow(AddAndNorm task) {
  constexpr int kAtOnce = 4;  // groups that a thread reads at once, in each turn
  constexpr int64_t kTurn = kAtOnce * kThreads * kSize;
  const int64_t begin = blockIdx.x * task.size, last = task.size - kSize;
  T* const x = static_cast<T*>(task.x) + begin;
  const T* const update =
      task.update != nullptr ? static_cast<const T*>(task.update) + begin : nullptr;
  const auto place = [&](int64_t turn, int n) {
    return turn + (n * kThreads + static_cast<int64_t>(threadIdx.x)) * kSize;
  };
  const auto read = [&](const T* from, int64_t i) {
    return i <= last ? ReadWords<T, kSize>(from + i, kSize, true) : Words<T, kSize>{};
  };
  SharedArena arena;
  float* const sums = arena.Take<float>(kWarps);
  Words<T, kSize> own[kAtOnce], other[kAtOnce];
  float sum = 0;
  for (int64_t turn = 0; turn < task.size; turn += kTurn) {
    for (int n = 0; n < kAtOnce; ++n) {
      own[n] = read(x, place(turn, n));
      other[n] = read(update != nullptr ? update : x, place(turn, n));
    }
    for (int n = 0; n < kAtOnce; ++n) {
      const int64_t i = place(turn, n);
      if (i > last) continue;
      auto group = TakeApart(own[n]);
      if (update != nullptr) {
        const auto more = TakeApart(other[n]);
        for (int j = 0; j < kSize; ++j)
          Store(group.at + j, ToFloat(group.at[j]) + ToFloat(more.at[j]));
        StoreGroup(x + i, group);
        own[n] = PutTogether(group);
      }
      for (int j = 0; j < kSize; ++j) sum += ToFloat(group.at[j]) * ToFloat(group.at[j]);
    }
  }
  sum = WarpSum(sum);
  if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = sum;
  __syncthreads();  // the sums are there
  float all = 0;
  for (int warp = 0; warp < kWarps; ++warp) all += sums[warp];
  const float scale = 1.0f / sqrtf(all / static_cast<float>(task.size) + task.epsilon);
  for (int64_t turn = 0; turn < task.size; turn += kTurn) {
    for (int n = 0; n < kAtOnce; ++n) {
      if (task.size > kTurn) own[n] = read(x, place(turn, n));  // otherwise it is still here
      other[n] = read(static_cast<const T*>(task.weight), place(turn, n));
    }
    for (int n = 0; n < kAtOnce; ++n) {
      const int64_t i = place(turn, n);
      if (i > last) continue;
      auto group = TakeApart(own[n]);
      const auto weight = TakeApart(other[n]);
      for (int j = 0; j < kSize; ++j)
        Store(group.at + j, ToFloat(group.at[j]) * scale * ToFloat(weight.at[j]));
      StoreGroup(static_cast<T*>(task.out) + begin + i, group);
    }
  }
}

// Rotates and stores kSize elements of a row in each thread.
template <typename T, int kSize>
__global__ void __launch_bounds__(kThreads) Rotate(RotateAndStore task) {
  const int64_t row = blockIdx.x, slot = task.slots[row];
  const int dim = static_cast<int>(task.head_dim), half = static_cast<int>(task.rotary_dim / 2);
  const int heads = static_cast<int>(task.heads), kv_heads = static_cast<int>(task.kv_heads);
  const int index = static_cast<int>(blockIdx.y * kThreads + threadIdx.x) * kSize;
  if (index >= (heads + 2 * kv_heads) * dim) return;
  const int head = index / dim, d = index % dim;
  const T* const x =
      static_cast<const T*>(task.qkv) + row * (task.heads + 2 * task.kv_heads) * dim + index;
  auto own = LoadGroup<T, kSize>(x);
  if (d < task.rotary_dim && head < heads + kv_heads) {
    const auto other = LoadGroup<T, kSize>(d < half ? x + half : x - half);
    const int64_t angle = row * task.rotary_dim + d;
    const auto cos = LoadGroup<T, kSize>(static_cast<const T*>(task.cos) + angle);
    const auto sin = LoadGroup<T, kSize>(static_cast<const T*>(task.sin) + angle);
    for (int j = 0; j < kSize; ++j)
      Store(own.at + j,
            ToFloat(own.at[j]) * ToFloat(cos.at[j]) + ToFloat(other.at[j]) * ToFloat(sin.at[j]));
  }
  if (head < heads) {
    StoreGroup(static_cast<T*>(task.queries) + row * task.heads * dim + index, own);
  } else if (slot != task.unused_slot) {
    const bool is_key = head < heads + kv_heads;
    const int kv_head = head - heads - (is_key ? 0 : kv_heads);
    StoreGroup(static_cast<T*>(is_key ? task.keys : task.values) +
                   (slot * task.kv_heads + kv_head) * dim + d,
               own);
  }
}

// Computes kSize elements of a row of the result in each thread.
template <typename T, int kSize>
__global__ void __launch_bounds__(kThreads) Gate(SwiGlu task) {
  const int64_t row = blockIdx.x, i = (blockIdx.y * kThreads + threadIdx.x) * kSize;
  if (i >= task.size) return;
  const T* const x = static_cast<const T*>(task.x) + row * 2 * task.size + i;
  auto gate = LoadGroup<T, kSize>(x);
  const auto linear = LoadGroup<T, kSize>(x + task.size);
  for (int j = 0; j < kSize; ++j) {
    const float g = ToFloat(gate.at[j]);
    Store(gate.at + j, g / (1.0f + expf(-g)) * ToFloat(linear.at[j]));
  }
  StoreGroup(static_cast<T*>(task.out) + row * task.size + i, gate);
}

// Replaces one token in each thread.
__global__ void __launch_bounds__(kThreads) TakeTokens(TakeDrawn task) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row >= task.rows || task.tokens[row] >= 0) return;
  task.tokens[row] = Max(0, task.drawn[-1 - task.tokens[row]]);
}

dim3 Grid(int64_t x, int64_t y = 1) {
  return dim3(static_cast<unsigned>(x), static_cast<unsigned>(y));
}

// Stands for a kernel's elements: their type, and how many a thread takes at once.
template <typename T, int kCount>
struct Elements {
  using Type = T;
  static constexpr int kSize = kCount;
};

// Calls start(Elements()). Vectors are taken where all of `sizes` are multiples of one.
template <typename F>
void ForElements(ElementType type, std::initializer_list<int64_t> sizes, F start) {
  const auto with = [&](auto element) {
    using T = decltype(element);
    bool whole = true;
    for (const int64_t size : sizes) whole = whole && size % kVector<T> == 0;
    if (whole) return start(Elements<T, kVector<T>>());
    start(Elements<T, 1>());
  };
  switch (type) {
    case ElementType::kFloat32: return with(float());
    case ElementType::kBfloat16: return with(__nv_bfloat16());
    case ElementType::kFloat16: return with(__half());
  }
}

}  // namespace

void LaunchAddAndNorm(const AddAndNorm& task, void* stream) {
  if (task.rows == 0) return;
  ForElements(task.type, {task.size}, [&](auto elements) {
    using E = decltype(elements);
    Launch("NormRow", NormRow<typename E::Type, E::kSize>, Grid(task.rows), dim3(kThreads),
           SharedBytes<float>(kWarps), stream, task);
  });
}

void LaunchRotateAndStore(const RotateAndStore& task, void* stream) {
  if (task.rows == 0) return;
  // The two halves that are rotated begin at a multiple of a vector, too.
  ForElements(task.type, {task.head_dim, task.rotary_dim / 2, task.rotary_dim}, [&](auto elements) {
    using E = decltype(elements);
    const int64_t width = (task.heads + 2 * task.kv_heads) * task.head_dim;
    Launch("Rotate", Rotate<typename E::Type, E::kSize>,
           Grid(task.rows, Parts(width, kThreads * E::kSize)), dim3(kThreads), 0, stream, task);
  });
}

void LaunchSwiGlu(const SwiGlu& task, void* stream) {
  if (task.rows == 0) return;
  ForElements(task.type, {task.size}, [&](auto elements) {
    using E = decltype(elements);
    Launch("Gate", Gate<typename E::Type, E::kSize>,
           Grid(task.rows, Parts(task.size, kThreads * E::kSize)), dim3(kThreads), 0, stream, task);
  });
}

void LaunchTakeDrawn(const TakeDrawn& task, void* stream) {
  if (task.rows == 0) return;
  Launch("TakeTokens", TakeTokens, Grid(Parts(task.rows, kThreads)), dim3(kThreads), 0, stream,
         task);
}

}  // namespace pivotal::kernels::cuda
