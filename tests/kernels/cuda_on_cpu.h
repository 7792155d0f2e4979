// Apache-2.0. Runs CUDA kernels on the CPU. A .cu source is compiled as C++ with this header in
// front of it (-include). All threads of a block are fibers of the one thread that launches, and
// blocks run one after another.
//
// A launch throws LaunchFailure, which names kernel, block and thread, if
//  - a thread reads or writes outside a DeviceArray or an array of shared memory;
//  - threads access the same element, one of them writes, and no barrier is in between (atomic
//    operations excepted), nor between blocks fences and an atomic operation (Handovers in
//    cuda_memory.h);
//  - the result depends on the order of threads or blocks: each launch runs once per Schedule from
//  the
//    same memory, and all arrays must be equal to the bit;
//  - not all threads of a block reach a barrier, or they reach different ones;
//  - a lane in the mask of a shuffle or vote does not reach it, a lane outside the mask calls it,
//  or a
//    lane outside the mask is read;
//  - a thread returns before asynchronous copies that it started have come. (Copies are made when
//    the thread waits for them, so what reads them earlier reads garbage.)
// Accesses are checked one by one if the source is compiled with -fsanitize=thread, whose calls
// this library answers itself. Otherwise races are found only where they change the result, and
// accesses out of bounds only behind an array, where a page that cannot be accessed follows.
//
// Shared memory comes from SharedArena alone (kernels/cuda/device.h) and starts out as garbage;
// __shared__ is not supported.
#pragma once

#define PIVOTAL_CUDA_ON_CPU 1

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  constexpr explicit dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
// Of the running thread.
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace pivotal::kernels::cuda_on_cpu {

using Site = std::source_location;

struct LaunchFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// An order in which threads and blocks run.
enum class Schedule { kForward, kBackward, kRandom, kRandomAgain };
// Sets the schedules of the launches in its scope, to save time. Other launches run all four.
class ScopedSchedules {
 public:
  explicit ScopedSchedules(std::vector<Schedule> schedules);
  ~ScopedSchedules();
  ScopedSchedules(const ScopedSchedules&) = delete;
  ScopedSchedules& operator=(const ScopedSchedules&) = delete;

 private:
  std::vector<Schedule> before_;
};
// Returns true if accesses are checked one by one.
bool WatchesAccesses();

struct LaunchShape {
  const char* kernel;
  dim3 grid, block;
  std::size_t shared_bytes;
};
// Calls thread(arguments) on every thread of the launch. Threads may read the `bytes` of
// `arguments`.
void Run(const LaunchShape& shape, void (*thread)(const void*), const void* arguments,
         std::size_t bytes);

// Memory between two pages that cannot be accessed. It ends where the second begins.
class GuardedMemory {
 public:
  // `name` is for messages, `element` is the size of an element in bytes, and `shared` tells
  // whether this is shared memory of a block.
  GuardedMemory(std::string name, std::size_t bytes, std::size_t element, bool shared = false);
  ~GuardedMemory();
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  std::size_t element() const { return element_; }

 private:
  std::byte* map_;
  std::byte* data_;
  std::size_t map_bytes_, bytes_, element_;
};

// An array that kernels may access, in place of cudaMalloc and cudaMemcpy.
template <typename T>
class DeviceArray {
 public:
  DeviceArray(std::string name, std::size_t size)
      : memory_(std::move(name), size * sizeof(T), sizeof(T)), size_(size) {
    std::memset(memory_.data(), 0xFF, memory_.bytes());  // NaN as float, -1 as integer
  }
  DeviceArray(std::string name, const std::vector<T>& values)
      : DeviceArray(std::move(name), values.size()) {
    if (!values.empty()) std::memcpy(memory_.data(), values.data(), memory_.bytes());
  }

  T* data() { return reinterpret_cast<T*>(memory_.data()); }
  std::vector<T> values() const {
    const T* first = reinterpret_cast<const T*>(memory_.data());
    return std::vector<T>(first, first + size_);
  }

 private:
  GuardedMemory memory_;
  std::size_t size_;
};

enum class WarpOperation { kShuffle, kShuffleXor, kShuffleUp, kShuffleDown, kBallot, kSync };
// Work on matrices of 16 x 16 that the lanes of a warp share.
using Matrix = float[16][16];
// Exchanges the elements of a matrix: each lane gives half a row, in the order of lanes, and gets
// all.
void GatherMatrix(const float (&half_row)[8], Matrix& whole, const Site& site);
// Computes out = a b + c.
void MultiplyMatrices(Matrix& out, const Matrix& a, const Matrix& b, const Matrix& c,
                      const Site& site);
// Ends the launch if `p` or `stride`, in bytes, is not aligned as tensor cores want it.
void CheckMatrix(const void* p, std::size_t stride, const Site& site);
// Returns the lane of the running thread.
int Lane();
void* TakeShared(std::size_t index, std::size_t bytes, std::size_t element);
uint64_t Exchange(WarpOperation operation, unsigned mask, uint64_t bits, int argument, int width,
                  const Site& site);

template <typename T>
T ExchangeAs(WarpOperation operation, unsigned mask, T value, int argument, int width,
             const Site& site) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = Exchange(operation, mask, bits, argument, width, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace pivotal::kernels::cuda_on_cpu

void __syncthreads(const std::source_location& site = std::source_location::current());
void __threadfence();

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32,
              const std::source_location& site = std::source_location::current()) {
  using namespace pivotal::kernels::cuda_on_cpu;
  return ExchangeAs(WarpOperation::kShuffle, mask, value, lane, width, site);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                  const std::source_location& site = std::source_location::current()) {
  using namespace pivotal::kernels::cuda_on_cpu;
  return ExchangeAs(WarpOperation::kShuffleXor, mask, value, lanes, width, site);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned step, int width = 32,
                 const std::source_location& site = std::source_location::current()) {
  using namespace pivotal::kernels::cuda_on_cpu;
  return ExchangeAs(WarpOperation::kShuffleUp, mask, value, static_cast<int>(step), width, site);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned step, int width = 32,
                   const std::source_location& site = std::source_location::current()) {
  using namespace pivotal::kernels::cuda_on_cpu;
  return ExchangeAs(WarpOperation::kShuffleDown, mask, value, static_cast<int>(step), width, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              const std::source_location& site = std::source_location::current()) {
  using namespace pivotal::kernels::cuda_on_cpu;
  return static_cast<unsigned>(Exchange(WarpOperation::kBallot, mask, predicate != 0, 0, 32, site));
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu,
                       const std::source_location& site = std::source_location::current()) {
  using namespace pivotal::kernels::cuda_on_cpu;
  Exchange(WarpOperation::kSync, mask, 0, 0, 32, site);
}

// Copies of 4, 8 or 16 bytes that come when the thread waits for them.
void __pipeline_memcpy_async(void* to, const void* from, std::size_t bytes);
void __pipeline_commit();
void __pipeline_wait_prior(std::size_t batches);

// Return the value before.
int atomicAdd(int* p, int x);
unsigned long long atomicAdd(unsigned long long* p, unsigned long long x);
int atomicMax(int* p, int x);
unsigned atomicInc(unsigned* p, unsigned last);  // after `last` comes 0

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, sizeof(x));
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

// 16-bit numbers. Conversions round to nearest, ties to even.
struct __nv_bfloat16 {
  uint16_t bits;
};
struct __half {
  uint16_t bits;
};
float __bfloat162float(__nv_bfloat16 x);
float __half2float(__half x);
__nv_bfloat16 __float2bfloat16(float x);
__half __float2half(float x);
inline __nv_bfloat16 __ushort_as_bfloat16(uint16_t bits) { return {bits}; }

namespace pivotal::kernels::cuda_on_cpu {

inline float AsFloat(float x) { return x; }
inline float AsFloat(__nv_bfloat16 x) { return __bfloat162float(x); }
inline float AsFloat(__half x) { return __half2float(x); }

}  // namespace pivotal::kernels::cuda_on_cpu

// Tensor cores. Here every lane has the whole of a matrix.
namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };

template <typename Use, int kM, int kN, int kK, typename T, typename Layout = void>
struct fragment {
  static_assert(kM == 16 && kN == 16 && kK == 16);
  pivotal::kernels::cuda_on_cpu::Matrix x;
};

// Reads row i of a matrix (column i of a col_major one) from p + i * stride.
template <typename T>
void ReadMatrix(pivotal::kernels::cuda_on_cpu::Matrix& x, const T* p, unsigned stride, bool by_rows,
                const std::source_location& site) {
  using namespace pivotal::kernels::cuda_on_cpu;
  CheckMatrix(p, stride * sizeof(T), site);
  const int line = Lane() / 2, begin = Lane() % 2 * 8;
  float half_row[8];
  for (int i = 0; i < 8; ++i) half_row[i] = AsFloat(p[line * stride + begin + i]);
  Matrix read;
  GatherMatrix(half_row, read, site);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) x[i][j] = by_rows ? read[i][j] : read[j][i];
}

template <typename Use, typename T, typename Layout>
void load_matrix_sync(fragment<Use, 16, 16, 16, T, Layout>& f, const T* p, unsigned stride,
                      const std::source_location& site = std::source_location::current()) {
  ReadMatrix(f.x, p, stride, std::is_same_v<Layout, row_major>, site);
}
inline void load_matrix_sync(fragment<accumulator, 16, 16, 16, float>& f, const float* p,
                             unsigned stride, layout_t layout,
                             const std::source_location& site = std::source_location::current()) {
  ReadMatrix(f.x, p, stride, layout == mem_row_major, site);
}
inline void store_matrix_sync(float* p, const fragment<accumulator, 16, 16, 16, float>& f,
                              unsigned stride, layout_t layout,
                              const std::source_location& site = std::source_location::current()) {
  using namespace pivotal::kernels::cuda_on_cpu;
  CheckMatrix(p, stride * sizeof(float), site);
  __syncwarp(0xFFFFFFFFu, site);
  const int line = Lane() / 2, begin = Lane() % 2 * 8;
  for (int i = begin; i < begin + 8; ++i)
    p[line * stride + i] = layout == mem_row_major ? f.x[line][i] : f.x[i][line];
}
inline void fill_fragment(fragment<accumulator, 16, 16, 16, float>& f, float value) {
  for (auto& row : f.x)
    for (float& x : row) x = value;
}
template <typename T, typename LayoutA, typename LayoutB>
void mma_sync(fragment<accumulator, 16, 16, 16, float>& out,
              const fragment<matrix_a, 16, 16, 16, T, LayoutA>& a,
              const fragment<matrix_b, 16, 16, 16, T, LayoutB>& b,
              const fragment<accumulator, 16, 16, 16, float>& c,
              const std::source_location& site = std::source_location::current()) {
  pivotal::kernels::cuda_on_cpu::MultiplyMatrices(out.x, a.x, b.x, c.x, site);
}

}  // namespace nvcuda::wmma

namespace pivotal::kernels::cuda {

template <typename... Params, typename... Args>
void Launch(const char* name, void (*kernel)(Params...), dim3 grid, dim3 block,
            std::size_t shared_bytes, void*, Args... args) {
  using Call = std::pair<void (*)(Params...), std::tuple<Params...>>;
  const Call call{kernel, std::tuple<Params...>(args...)};
  const auto thread = [](const void* p) {
    const Call& of = *static_cast<const Call*>(p);
    std::apply(of.first, of.second);
  };
  cuda_on_cpu::Run({name, grid, block, shared_bytes}, thread, &call, sizeof(call));
}

class SharedArena {
 public:
  template <typename T>
  T* Take(int count) {
    return static_cast<T*>(
        cuda_on_cpu::TakeShared(taken_++, static_cast<std::size_t>(count) * sizeof(T), sizeof(T)));
  }

 private:
  std::size_t taken_ = 0;
};

}  // namespace pivotal::kernels::cuda
