// Apache-2.0.
#include "tests/kernels/cuda_on_cpu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/cuda/device.h"

namespace pivotal::kernels::cuda {
namespace {

using cuda_on_cpu::DeviceArray;
using cuda_on_cpu::LaunchFailure;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr unsigned kAll = 0xFFFFFFFFu;

// Returns the message with which a launch fails, or "".
template <typename... Args>
std::string Failure(void (*kernel)(Args...), dim3 grid, dim3 block, std::size_t shared,
                    Args... args) {
  try {
    Launch("Kernel", kernel, grid, block, shared, nullptr, args...);
  } catch (const LaunchFailure& failure) {
    return failure.what();
  }
  return "";
}

TEST(CudaOnCpu, ThreadsKnowTheirIndices) {
  DeviceArray<unsigned> out("out", 2 * 3 * 4 * 5);
  Launch(
      "Indices",
      +[](unsigned* to) {
        const unsigned block = blockIdx.y * gridDim.x + blockIdx.x,
                       thread = threadIdx.y * blockDim.x + threadIdx.x;
        to[block * blockDim.x * blockDim.y + thread] = 1000 * block + thread;
      },
      dim3(2, 3), dim3(4, 5), 0, nullptr, out.data());
  const auto values = out.values();
  for (unsigned i = 0; i < values.size(); ++i) EXPECT_EQ(values[i], 1000 * (i / 20) + i % 20);
}

TEST(CudaOnCpu, Shuffles) {
  DeviceArray<int> out("out", 6 * 32);
  Launch(
      "Shuffles",
      +[](int* to) {
        const int lane = static_cast<int>(threadIdx.x);
        to[lane] = __shfl_sync(kAll, 10 * lane, 3);
        to[32 + lane] = __shfl_xor_sync(kAll, 10 * lane, 5);
        to[64 + lane] = __shfl_up_sync(kAll, 10 * lane, 2);
        to[96 + lane] = __shfl_down_sync(kAll, 10 * lane, 2);
        to[128 + lane] = __shfl_sync(kAll, 10 * lane, 1, 8);
        to[160 + lane] = static_cast<int>(__ballot_sync(kAll, lane % 3 == 0));
      },
      dim3(1), dim3(32), 0, nullptr, out.data());
  const auto values = out.values();
  for (int lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(values[lane], 30);
    EXPECT_EQ(values[32 + lane], 10 * (lane ^ 5));
    EXPECT_EQ(values[64 + lane], 10 * (lane < 2 ? lane : lane - 2));
    EXPECT_EQ(values[96 + lane], 10 * (lane > 29 ? lane : lane + 2));
    EXPECT_EQ(values[128 + lane], 10 * (lane / 8 * 8 + 1));
    EXPECT_EQ(values[160 + lane], 0x49249249);
  }
}

TEST(CudaOnCpu, PartsOfAWarpMayShuffleByThemselves) {
  DeviceArray<int> out("out", 32);
  Launch(
      "Halves",
      +[](int* to) {
        const int lane = static_cast<int>(threadIdx.x);
        if (lane < 16)
          to[lane] = __shfl_xor_sync(0x0000FFFFu, lane, 1);
        else
          to[lane] = __shfl_sync(0xFFFF0000u, lane, 20);
      },
      dim3(1), dim3(32), 0, nullptr, out.data());
  for (int lane = 0; lane < 32; ++lane) EXPECT_EQ(out.values()[lane], lane < 16 ? lane ^ 1 : 20);
}

TEST(CudaOnCpu, BarriersAndAtomics) {
  DeviceArray<int> counts("counts", std::vector<int>(3));
  Launch(
      "Counts",
      +[](int* to) {
        SharedArena arena;
        int* const sums = arena.Take<int>(64);
        sums[threadIdx.x] = static_cast<int>(threadIdx.x);
        __syncthreads();
        if (threadIdx.x == 1) to[1] = sums[7];
        if (threadIdx.x == 0) {
          int sum = 0;
          for (int i = 0; i < 64; ++i) sum += sums[i];
          atomicAdd(&to[0], sum);
          atomicMax(&to[2], static_cast<int>(blockIdx.x));
        }
      },
      dim3(1), dim3(64), SharedBytes<int>(64), nullptr, counts.data());
  EXPECT_EQ(counts.values(), (std::vector<int>{2016, 7, 0}));
}

// After __syncwarp a lane may read what another lane wrote before.
TEST(CudaOnCpu, LanesSynchronize) {
  DeviceArray<int> out("out", 32);
  Launch(
      "Synchronize",
      +[](int* to) {
        SharedArena arena;
        int* const shared = arena.Take<int>(32);
        shared[threadIdx.x] = static_cast<int>(threadIdx.x);
        __syncwarp();
        to[threadIdx.x] = shared[31 - threadIdx.x];
      },
      dim3(1), dim3(32), SharedBytes<int>(32), nullptr, out.data());
  EXPECT_EQ(out.values()[0], 31);
}

TEST(CudaOnCpu, NamesTheElementOutOfBounds) {
  DeviceArray<int> out("out", 70);
  const auto past = +[](int* to) { to[blockIdx.x * 32 + threadIdx.x] = 1; };
  EXPECT_THAT(Failure<int*>(past, dim3(3), dim3(32), 0, out.data()),
              AllOf(HasSubstr("kernel Kernel, block (2, 0, 0), thread (6, 0, 0)"),
                    HasSubstr("index 70 of out (70 elements")));
}

TEST(CudaOnCpu, SharedArraysHaveBoundsOfTheirOwn) {
  DeviceArray<int> out("out", 32);
  const auto past = +[](int* to) {
    SharedArena arena;
    int* const first = arena.Take<int>(32);
    arena.Take<int>(32);
    first[threadIdx.x + 1] = 0;
    to[threadIdx.x] = 0;
  };
  EXPECT_THAT(Failure<int*>(past, dim3(1), dim3(32), 256, out.data()),
              HasSubstr("index 32 of shared array 0"));
  EXPECT_THAT(Failure<int*>(past, dim3(1), dim3(32), 128, out.data()),
              HasSubstr("takes 256 bytes of shared memory; the launch gave 128"));
}

TEST(CudaOnCpu, RefusesMemoryOfTheHost) {
  if (!cuda_on_cpu::WatchesAccesses()) GTEST_SKIP() << "accesses aren't watched in this build";
  DeviceArray<int> out("out", 1);
  std::vector<int> host(4);
  const auto read = +[](int* to, const int* from) { *to = from[1]; };
  EXPECT_THAT((Failure<int*, const int*>(read, dim3(1), dim3(1), 0, out.data(), host.data())),
              HasSubstr("reads 4 bytes at"));
}

TEST(CudaOnCpu, SharedMemoryBeginsAsGarbage) {
  DeviceArray<int> out("out", 1);
  const auto read = +[](int* to) {
    SharedArena arena;
    *to = *arena.Take<int>(1);
  };
  EXPECT_THAT(Failure<int*>(read, dim3(1), dim3(1), 32, out.data()),
              HasSubstr("depends on the order"));
}

TEST(CudaOnCpu, TwoThreadsOrBlocksWriteOneElement) {
  DeviceArray<int> out("out", 2);
  const auto write = +[](int* to) { to[0] = static_cast<int>(blockIdx.x + threadIdx.x); };
  const bool watches = cuda_on_cpu::WatchesAccesses();
  const std::string why =
      watches ? "with no barrier between: index 0 of out" : "depends on the order";
  EXPECT_THAT(Failure<int*>(write, dim3(1), dim3(2), 0, out.data()), HasSubstr(why));
  EXPECT_THAT(Failure<int*>(write, dim3(2), dim3(1), 0, out.data()), HasSubstr(why));
}

// The block that comes last may read what the others wrote, if both sides have fences.
TEST(CudaOnCpu, BlocksHandOver) {
  const auto failure = [](void (*kernel)(int*, unsigned*)) {
    DeviceArray<int> out("out", std::vector<int>(4));
    DeviceArray<unsigned> arrived("arrived", std::vector<unsigned>(1));
    const std::string what =
        Failure<int*, unsigned*>(kernel, dim3(3), dim3(32), 0, out.data(), arrived.data());
    if (what.empty()) {
      EXPECT_EQ(out.values(), (std::vector<int>{1, 2, 3, 6}));
      EXPECT_EQ(arrived.values(), std::vector<unsigned>{0});
    }
    return what;
  };
  EXPECT_EQ(failure(+[](int* to, unsigned* arrived) {
              if (threadIdx.x == 5) to[blockIdx.x] = static_cast<int>(blockIdx.x) + 1;
              __syncwarp();
              __threadfence();
              const bool is_last = threadIdx.x == 0 && atomicInc(arrived, 2) == 2;
              __threadfence();
              __syncwarp();
              if (__shfl_sync(kAll, is_last, 0) && threadIdx.x == 9) to[3] = to[0] + to[1] + to[2];
            }),
            "");
  if (!cuda_on_cpu::WatchesAccesses()) return;
  const auto race = HasSubstr("reads what another block wrote, with no barrier between");
  // Without the fence of the one who gives, or of the one who takes, or without an atomic
  // operation.
  EXPECT_THAT(failure(+[](int* to, unsigned* arrived) {
                if (threadIdx.x == 0) to[blockIdx.x] = static_cast<int>(blockIdx.x) + 1;
                __syncwarp();
                const bool is_last = threadIdx.x == 0 && atomicInc(arrived, 2) == 2;
                __threadfence();
                __syncwarp();
                if (is_last) to[3] = to[0] + to[1] + to[2];
              }),
              race);
  EXPECT_THAT(failure(+[](int* to, unsigned* arrived) {
                if (threadIdx.x == 0) to[blockIdx.x] = static_cast<int>(blockIdx.x) + 1;
                __syncwarp();
                __threadfence();
                const bool is_last = threadIdx.x == 0 && atomicInc(arrived, 2) == 2;
                __syncwarp();
                if (is_last) to[3] = to[0] + to[1] + to[2];
              }),
              race);
  EXPECT_THAT(failure(+[](int* to, unsigned*) {
                if (threadIdx.x == 0) to[blockIdx.x] = static_cast<int>(blockIdx.x) + 1;
                __syncwarp();
                __threadfence();
                __syncwarp();
                if (threadIdx.x == 0 && blockIdx.x == 2) to[3] = to[0] + to[1] + to[2];
              }),
              race);
}

TEST(CudaOnCpu, ABarrierThatNotAllReach) {
  DeviceArray<int> out("out", 1);
  const auto some = +[](int*) {
    if (threadIdx.x < 40) __syncthreads();
  };
  EXPECT_THAT(Failure<int*>(some, dim3(1), dim3(64), 0, out.data()),
              AllOf(HasSubstr("not all threads reach a barrier"),
                    HasSubstr("thread (40, 0, 0) has returned")));
  const auto apart = +[](int*) {
    if (threadIdx.x < 40)
      __syncthreads();
    else
      __syncthreads();
  };
  EXPECT_THAT(Failure<int*>(apart, dim3(1), dim3(64), 0, out.data()),
              AllOf(HasSubstr("not all threads reach a barrier"),
                    HasSubstr("thread (40, 0, 0) waits at the barrier")));
}

TEST(CudaOnCpu, ShufflesThatNotAllReach) {
  DeviceArray<int> out("out", 64);
  const auto diverges = [&](void (*kernel)(int*)) {
    return Failure<int*>(kernel, dim3(1), dim3(64), 0, out.data());
  };
  // A lane of the mask returns, waits at a barrier, or does not exist.
  EXPECT_THAT(diverges(+[](int* to) {
                if (threadIdx.x != 50) to[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
              }),
              AllOf(HasSubstr("divergent warp"), HasSubstr("thread (50, 0, 0) has returned")));
  EXPECT_THAT(
      diverges(+[](int* to) {
        if (threadIdx.x == 50) __syncthreads();
        to[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
        if (threadIdx.x != 50) __syncthreads();
      }),
      AllOf(HasSubstr("divergent warp"), HasSubstr("thread (50, 0, 0) waits at the barrier")));
  EXPECT_THAT(Failure<int*>(
                  +[](int* to) { to[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1); }, dim3(1),
                  dim3(40), 0, out.data()),
              HasSubstr("names lanes beyond the block"));
  // A lane outside the mask shuffles, or is read.
  EXPECT_THAT(diverges(+[](int* to) { to[threadIdx.x] = __shfl_xor_sync(0x0000FFFFu, 1, 1); }),
              HasSubstr("divergent warp: calls __shfl_xor_sync"));
  EXPECT_THAT(diverges(+[](int* to) {
                if (threadIdx.x % 32 < 16) to[threadIdx.x] = __shfl_sync(0x0000FFFFu, 1, 20);
              }),
              AllOf(HasSubstr("reads from lane 20"), HasSubstr("doesn't name")));
}

TEST(CudaOnCpu, SixteenBits) {
  for (float x : {0.0f, 1.0f, -2.5f, 0.333984375f, 65504.0f, 6e-8f})
    EXPECT_NEAR(__half2float(__float2half(x)), x, 1e-8);
  for (float x : {0.0f, 1.0f, -2.5f, 1e30f})
    EXPECT_NEAR(__bfloat162float(__float2bfloat16(x)), x, std::abs(x) / 256);
  EXPECT_EQ(__float2bfloat16(1.00390625f).bits,
            0x3F80);  // half way between two numbers: rounds to the even one
  EXPECT_EQ(__float2bfloat16(1.01171875f).bits, 0x3F82);
}

}  // namespace
}  // namespace pivotal::kernels::cuda
