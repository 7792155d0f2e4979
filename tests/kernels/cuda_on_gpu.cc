// Apache-2.0.
#include "tests/kernels/cuda_on_gpu.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace pivotal::kernels::cuda_on_gpu {
namespace {

void Check(cudaError_t error) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(error));
}

// Skips all tests where there is no GPU.
class NeedsGpu : public ::testing::Environment {
  void SetUp() override {
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) GTEST_SKIP() << "no GPU here";
  }
};
const ::testing::Environment* const kNeedsGpu = ::testing::AddGlobalTestEnvironment(new NeedsGpu);

}  // namespace

void* Allocate(std::size_t bytes) {
  void* p = nullptr;
  Check(cudaMalloc(&p, bytes + 1));
  Check(cudaMemset(p, 0xFF, bytes));
  return p;
}

void Free(void* p) noexcept { cudaFree(p); }

void Upload(void* to, const void* from, std::size_t bytes) {
  Check(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
}

void Download(void* to, const void* from, std::size_t bytes) {
  Check(cudaDeviceSynchronize());
  Check(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost));
}

}  // namespace pivotal::kernels::cuda_on_gpu
