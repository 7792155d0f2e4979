// Apache-2.0. Small functions that the kernels share. Included by .cu files alone.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.h"

namespace pivotal::kernels::cuda {
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

// Of `lanes` neighbouring lanes (a power of two), in all of them. The order of additions is fixed. All lanes of the warp
// take part.
template <int kLanes = kWarp, typename T>
__device__ inline T WarpSum(T x) {
  for (int step = kLanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}
template <int kLanes = kWarp>
__device__ inline float WarpMax(float x) {
  for (int step = kLanes / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}

// The sum of lanes 0..lane.
template <typename T>
__device__ inline T WarpScan(T x, int lane) {
  for (int step = 1; step < kWarp; step *= 2) {
    const T below = __shfl_up_sync(kAllLanes, x, step);
    if (lane >= step) x += below;
  }
  return x;
}

__host__ __device__ inline int64_t Parts(int64_t whole, int64_t part) { return (whole + part - 1) / part; }
__host__ __device__ inline int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }
__host__ __device__ inline int64_t Most(int64_t a, int64_t b) { return a > b ? a : b; }

}  // namespace
}  // namespace pivotal::kernels::cuda
