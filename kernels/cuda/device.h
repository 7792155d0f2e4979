// Apache-2.0. What .cu files need of CUDA beside the language: launches, shared memory, conversions
// and warp reductions. Included by .cu files alone. Where there is no nvcc, kernels run on the CPU
// with the launches and shared memory of tests/kernels/cuda_on_cpu.h.
#pragma once

#if defined(__CUDACC__)

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_pipeline.h>
#include <cuda_runtime.h>
#include <mma.h>

#include <cstddef>
#include <string>

#include "pivotal/error.h"

namespace pivotal::kernels::cuda {

// Bytes of shared memory that every kernel may have.
constexpr std::size_t kSharedBytes = 48 << 10;

// Queues `kernel` on `stream`, a cudaStream_t. Throws Error if CUDA refuses.
template <typename... Params, typename... Args>
void Launch(const char* name, void (*kernel)(Params...), dim3 grid, dim3 block,
            std::size_t shared_bytes, void* stream, Args... args) {
  cudaError_t error = cudaSuccess;
  if (shared_bytes > kSharedBytes)  // a kernel must ask for more
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shared_bytes));
  if (error == cudaSuccess) {
    kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(args...);
    error = cudaGetLastError();
  }
  if (error != cudaSuccess) throw Error(std::string(name) + ": " + cudaGetErrorString(error));
}

// Hands out arrays in the shared memory of a block, aligned to 32 bytes. All threads take the same
// arrays in the same order. The launch must give the SharedBytes() of all of them. The memory is
// not initialized.
class SharedArena {
 public:
  template <typename T>
  __device__ T* Take(int count) {
    extern __shared__ __align__(32) unsigned char pivotal_shared_memory[];
    T* const array = reinterpret_cast<T*>(pivotal_shared_memory + used_);
    used_ += (count * static_cast<int>(sizeof(T)) + 31) / 32 * 32;
    return array;
  }

 private:
  int used_ = 0;
};

}  // namespace pivotal::kernels::cuda

#elif !defined(PIVOTAL_CUDA_ON_CPU)
#error "kernels/cuda needs nvcc, or tests/kernels/cuda_on_cpu.h"
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace pivotal::kernels::cuda {

// Returns the bytes of shared memory that an array of SharedArena takes.
template <typename T>
constexpr std::size_t SharedBytes(std::size_t count) {
  return (count * sizeof(T) + 31) / 32 * 32;
}

namespace {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xFFFFFFFFu;
constexpr float kInfinity = __builtin_huge_valf();

__device__ inline float ToFloat(float x) { return x; }
__device__ inline float ToFloat(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ inline float ToFloat(__half x) { return __half2float(x); }

__device__ inline void Store(float* p, float x) { *p = x; }
__device__ inline void Store(__nv_bfloat16* p, float x) { *p = __float2bfloat16(x); }
__device__ inline void Store(__half* p, float x) { *p = __float2half(x); }

// Elements that a thread reads or writes together. They lie at a multiple of their size, or of 16
// bytes: as much as one instruction reads.
template <typename T, int kCount>
struct alignas(kCount * sizeof(T) < 16 ? kCount * sizeof(T) : 16) Group {
  T at[kCount];
};
template <typename T, int kCount>
__device__ inline Group<T, kCount> LoadGroup(const T* p) {
  return *reinterpret_cast<const Group<T, kCount>*>(p);
}
template <typename T, int kCount>
__device__ inline void StoreGroup(T* p, const Group<T, kCount>& group) {
  *reinterpret_cast<Group<T, kCount>*>(p) = group;
}
// The elements of a group that one instruction reads.
template <typename T>
constexpr int kVector = 16 / sizeof(T);

// A group as words, in which it stays until it is used. A thread waits for what it reads where it
// takes it apart; and without this the compiler takes it apart where branches meet.
template <typename T, int kCount>
struct alignas(Group<T, kCount>) Words {
  using Word = std::conditional_t<kCount * sizeof(T) % sizeof(uint32_t) == 0, uint32_t, T>;
  Word at[kCount * sizeof(T) / sizeof(Word)];
};
template <typename T, int kCount>
__device__ inline Words<T, kCount> PutTogether(const Group<T, kCount>& group) {
  Words<T, kCount> words;
  memcpy(&words, &group, sizeof(words));
  return words;
}
template <typename T, int kCount>
__device__ inline Group<T, kCount> TakeApart(const Words<T, kCount>& words) {
  Group<T, kCount> group;
  memcpy(&group, &words, sizeof(group));
  return group;
}
// Reads the first `count` elements of a group, and zeros after them. `whole`: `p` is aligned, and
// `count` is all of them or does not matter.
template <typename T, int kCount>
__device__ inline Words<T, kCount> ReadWords(const T* p, int count, bool whole) {
  if (whole) return *reinterpret_cast<const Words<T, kCount>*>(p);
  Group<T, kCount> group = {};
  for (int i = 0; i < kCount; ++i)
    if (i < count) group.at[i] = p[i];
  return PutTogether(group);
}

// Returns the sum over the lanes of a warp, in all lanes. All lanes must call it. Additions have a
// fixed order.
template <typename T>
__device__ inline T WarpSum(T x) {
  for (int step = kWarp / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}
// Returns the largest value of the lanes of a warp, in all lanes. All lanes must call it.
__device__ inline float WarpMax(float x) {
  for (int step = kWarp / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}

// Returns the sum of lanes 0..lane. All lanes of the warp must call it.
template <typename T>
__device__ inline T WarpScan(T x, int lane) {
  for (int step = 1; step < kWarp; step *= 2) {
    const T below = __shfl_up_sync(kAllLanes, x, step);
    if (lane >= step) x += below;
  }
  return x;
}

// Returns whole / part, rounded up.
__host__ __device__ constexpr int64_t Parts(int64_t whole, int64_t part) {
  return (whole + part - 1) / part;
}
__host__ __device__ inline int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }
__host__ __device__ inline int64_t Max(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace
}  // namespace pivotal::kernels::cuda
