// Apache-2.0. What kernels need of CUDA beside the language: how they are launched, and their shared memory. Included
// by .cu files alone. Where there is no nvcc, tests/kernels/cuda_on_cpu.h gives the same.
#pragma once

#if defined(__CUDACC__)

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <stdexcept>
#include <string>

namespace pivotal::kernels::cuda {

// Puts `kernel` on `stream`, a cudaStream_t. Throws std::runtime_error if CUDA refuses.
template <typename... Params, typename... Args>
void Launch(const char* name, void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared_bytes, void* stream,
            Args... args) {
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(args...);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) throw std::runtime_error(std::string(name) + ": " + cudaGetErrorString(error));
}

// Arrays in a block's shared memory, in the order in which they are taken: all threads take the same. Their
// bytes, by SharedBytes, are the launch's. It begins as it happens to be.
class SharedArena {
 public:
  template <typename T>
  __device__ T* Take(int count) {
    extern __shared__ __align__(16) unsigned char pivotal_shared_memory[];
    T* const array = reinterpret_cast<T*>(pivotal_shared_memory + used_);
    used_ += (count * static_cast<int>(sizeof(T)) + 15) / 16 * 16;
    return array;
  }

 private:
  int used_ = 0;
};

}  // namespace pivotal::kernels::cuda

#elif !defined(PIVOTAL_CUDA_ON_CPU)
#error "kernels/cuda needs nvcc, or tests/kernels/cuda_on_cpu.h"
#endif

namespace pivotal::kernels::cuda {

// What an array takes of a block's shared memory.
template <typename T>
constexpr std::size_t SharedBytes(std::size_t count) {
  return (count * sizeof(T) + 15) / 16 * 16;
}

}  // namespace pivotal::kernels::cuda
