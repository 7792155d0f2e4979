// Apache-2.0.
#include "kernels/cuda/quantised.h"

#include <type_traits>

#include "kernels/cuda/device.h"

namespace pivotal::kernels::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;
constexpr int kPerLane = 8;         // consecutive numbers of a lane
constexpr int64_t kMaxGrid = 8192;  // thread blocks
constexpr int kOutputs = 4;         // outputs of a warp, which share what is read of x

// kNf4, as an argument of a kernel.
struct Table {
  float at[16];
};
Table Nf4Table() {
  Table table;
  for (int code = 0; code < 16; ++code) table.at[code] = kNf4[code];
  return table;
}

// Eight numbers, which one or two instructions read or write where they are aligned.
template <typename T>
using Eight = Group<T, kPerLane>;

// Codes of eight consecutive numbers, and what they stand for without their scale.
struct Nf4Eight {
  uint32_t bits;
  __device__ float Number(int i, const float* table) const {
    return table[bits >> (i / 2 * 8 + (i % 2 == 0 ? 4 : 0)) & 15];
  }
};
struct Int8Eight {
  uint32_t bits[2];
  __device__ float Number(int i, const float*) const {
    // 2^23 plus a number below 2^23 has that number in its last bits.
    const uint32_t above = (bits[i / 4] >> (i % 4 * 8) & 0xFF) ^ 0x80;
    return __uint_as_float(0x4B000000u | above) - 8388736.0f;  // 2^23 + 128
  }
};

// Reads the codes of `count` numbers from the `first` on, a multiple of eight; `aligned` tells
// whether they are where there are eight.
__device__ Nf4Eight ReadEight(const Nf4Codes& from, int64_t first, int count, bool aligned) {
  if (aligned && count == kPerLane)
    return *reinterpret_cast<const Nf4Eight*>(from.codes + first / 2);
  Nf4Eight eight = {};
  for (int i = 0; i < kPerLane / 2; ++i)
    if (2 * i < count) eight.bits |= static_cast<uint32_t>(from.codes[first / 2 + i]) << (8 * i);
  return eight;
}
__device__ Int8Eight ReadEight(const Int8Codes& from, int64_t first, int count, bool aligned) {
  const int8_t* const p = from.codes + first;
  if (aligned && count == kPerLane) return *reinterpret_cast<const Int8Eight*>(p);
  Int8Eight eight = {};
  for (int i = 0; i < kPerLane; ++i)
    if (i < count)
      eight.bits[i / 4] |= static_cast<uint32_t>(static_cast<uint8_t>(p[i])) << (i % 4 * 8);
  return eight;
}

// Writes `count` of the eight numbers times `scale`.
template <typename T, typename Codes>
__device__ void WriteEight(const Codes& codes, const float* table, float scale, int count,
                           bool aligned, T* out) {
  Eight<T> eight;
  for (int i = 0; i < kPerLane; ++i) Store(eight.at + i, codes.Number(i, table) * scale);
  if (aligned && count == kPerLane) {
    StoreGroup(out, eight);
  } else {
    for (int i = 0; i < kPerLane; ++i)
      if (i < count) out[i] = eight.at[i];
  }
}

// Copies the table into shared memory. All threads of the block must call it.
__device__ float* ShareTable(const Table& table) {
  SharedArena arena;
  auto* const shared = arena.Take<float>(16);
  if (threadIdx.x < 16) shared[threadIdx.x] = table.at[threadIdx.x];
  __syncthreads();  // the table is there
  return shared;
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    DequantiseNf4(Nf4Codes from, Table nf4, T* out, bool aligned) {
  const float* const table = ShareTable(nf4);
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads * kPerLane;
  for (int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kPerLane;
       first < from.size; first += step) {
    const int count = static_cast<int>(Min(kPerLane, from.size - first));
    WriteEight(ReadEight(from, first, count, aligned), table, Nf4Scale(from, first / kNf4Block),
               count, aligned, out + first);
  }
}

// Each block of threads takes rows blockIdx.y, blockIdx.y + gridDim.y, ...
template <typename T>
__global__ void __launch_bounds__(kThreads) DequantiseInt8(Int8Codes from, T* out, bool aligned) {
  for (int64_t row = blockIdx.y; row < from.rows; row += gridDim.y) {
    const float scale = from.scales[row];
    for (int64_t k = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kPerLane;
         k < from.columns; k += static_cast<int64_t>(gridDim.x) * kThreads * kPerLane) {
      const int count = static_cast<int>(Min(kPerLane, from.columns - k));
      const int64_t first = row * from.columns + k;
      WriteEight(ReadEight(from, first, count, aligned), nullptr, scale, count, aligned,
                 out + first);
    }
  }
}

// How a product reads its matrix: Read() returns the codes of eight numbers, Scale() a factor of
// theirs, OutputScale() a factor of an output.
struct Nf4Matrix {
  Nf4Codes codes;
  using Codes = Nf4Eight;
  __device__ Codes Read(int64_t first) const { return ReadEight(codes, first, kPerLane, true); }
  __device__ float Scale(int64_t first) const { return Nf4Scale(codes, first / kNf4Block); }
  __device__ float OutputScale(int64_t) const { return 1; }
};
struct Int8Matrix {
  Int8Codes codes;
  using Codes = Int8Eight;
  __device__ Codes Read(int64_t first) const { return ReadEight(codes, first, kPerLane, true); }
  __device__ float Scale(int64_t) const { return 1; }
  __device__ float OutputScale(int64_t n) const { return codes.scales[n]; }
};

// A warp computes kOutputs outputs of all rows. Lane i has inputs 8 i.. of every 256.
template <typename T, int kRows, typename Matrix>
__global__ void __launch_bounds__(kThreads)
    MultiplyFewRows(FewRowsProduct task, Matrix w, Table nf4) {
  const float* const table = ShareTable(nf4);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t first =
      (static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp) * kOutputs;
  if (first >= task.outputs) return;
  const auto* const x = static_cast<const T*>(task.x);
  float sum[kRows][kOutputs] = {};
  for (int64_t k = lane * kPerLane; k < task.inputs; k += kWarp * kPerLane) {
    typename Matrix::Codes codes[kOutputs];
    float scale[kOutputs];
    for (int j = 0; j < kOutputs; ++j) {  // outputs after the last one repeat it
      const int64_t at = Min(first + j, task.outputs - 1) * task.inputs + k;
      codes[j] = w.Read(at);
      scale[j] = w.Scale(at);
    }
    float number[kOutputs][kPerLane];
    for (int j = 0; j < kOutputs; ++j)
      for (int i = 0; i < kPerLane; ++i) number[j][i] = codes[j].Number(i, table);
    Eight<T> eight[kRows];
    for (int r = 0; r < kRows; ++r)  // likewise for rows: all reads come before the first use
      eight[r] = LoadGroup<T, kPerLane>(x + Min(r, task.rows - 1) * task.inputs + k);
    for (int r = 0; r < kRows; ++r) {
      if (r >= task.rows) continue;
      float part[kOutputs] = {};
      for (int i = 0; i < kPerLane; ++i) {
        const float value = ToFloat(eight[r].at[i]);
        for (int j = 0; j < kOutputs; ++j) part[j] += value * number[j][i];
      }
      for (int j = 0; j < kOutputs; ++j) sum[r][j] += part[j] * scale[j];
    }
  }
  // Each lane writes one of the results.
  static_assert(kRows * kOutputs <= kWarp);
  float total = 0;
  for (int r = 0; r < kRows; ++r)
    for (int j = 0; j < kOutputs; ++j) {
      const float of_all = WarpSum(sum[r][j]);
      if (lane == r * kOutputs + j) total = of_all;
    }
  const int64_t row = lane / kOutputs, n = first + lane % kOutputs;
  if (row >= kRows || row >= task.rows || n >= task.outputs) return;
  const float bias = task.bias == nullptr ? 0.0f : ToFloat(static_cast<const T*>(task.bias)[n]);
  Store(static_cast<T*>(task.out) + row * task.outputs + n, total * w.OutputScale(n) + bias);
}

bool IsAligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

template <typename T>
void Start(const Nf4Codes& from, void* out, void* stream) {
  if (from.size == 0) return;
  const dim3 grid(static_cast<unsigned>(Min(kMaxGrid, Parts(from.size, kThreads * kPerLane))));
  Launch("DequantiseNf4", DequantiseNf4<T>, grid, dim3(kThreads), SharedBytes<float>(16), stream,
         from, Nf4Table(), static_cast<T*>(out), IsAligned(out) && IsAligned(from.codes));
}
template <typename T>
void Start(const Int8Codes& from, void* out, void* stream) {
  if (from.rows == 0 || from.columns == 0) return;
  const bool aligned = IsAligned(out) && IsAligned(from.codes) && from.columns % kPerLane == 0;
  const dim3 grid(static_cast<unsigned>(Min(64, Parts(from.columns, kThreads * kPerLane))),
                  static_cast<unsigned>(Min(kMaxGrid, from.rows)));
  Launch("DequantiseInt8", DequantiseInt8<T>, grid, dim3(kThreads), 0, stream, from,
         static_cast<T*>(out), aligned);
}

template <typename T, int kRows, typename Matrix>
void StartRows(const FewRowsProduct& task, const Matrix& w, void* stream) {
  const dim3 grid(static_cast<unsigned>(Parts(task.outputs, kWarps * kOutputs)));
  Launch("MultiplyFewRows", MultiplyFewRows<T, kRows, Matrix>, grid, dim3(kThreads),
         SharedBytes<float>(16), stream, task, w, Nf4Table());
}
template <typename T, typename Matrix>
void Start(const FewRowsProduct& task, const Matrix& w, void* stream) {
  if (task.rows == 0 || task.outputs == 0) return;
  if (task.rows == 1) return StartRows<T, 1>(task, w, stream);
  if (task.rows <= 4) return StartRows<T, 4>(task, w, stream);
  return StartRows<T, FewRowsProduct::kMaxRows>(task, w, stream);
}

// Calls f with a null pointer to the type.
template <typename F>
void ForType(ElementType type, F&& f) {
  switch (type) {
    case ElementType::kFloat32: return f(static_cast<float*>(nullptr));
    case ElementType::kBfloat16: return f(static_cast<__nv_bfloat16*>(nullptr));
    case ElementType::kFloat16: return f(static_cast<__half*>(nullptr));
  }
}

template <typename Codes>
void Dequantise(const Codes& from, ElementType type, void* out, void* stream) {
  ForType(type, [&](auto* p) { Start<std::remove_pointer_t<decltype(p)>>(from, out, stream); });
}
template <typename Matrix>
void Multiply(const FewRowsProduct& task, const Matrix& w, void* stream) {
  ForType(task.type, [&](auto* p) { Start<std::remove_pointer_t<decltype(p)>>(task, w, stream); });
}

}  // namespace

void LaunchDequantise(const Nf4Codes& from, ElementType type, void* out, void* stream) {
  Dequantise(from, type, out, stream);
}
void LaunchDequantise(const Int8Codes& from, ElementType type, void* out, void* stream) {
  Dequantise(from, type, out, stream);
}
void LaunchFewRowsProduct(const FewRowsProduct& task, const Nf4Codes& w, void* stream) {
  Multiply(task, Nf4Matrix{w}, stream);
}
void LaunchFewRowsProduct(const FewRowsProduct& task, const Int8Codes& w, void* stream) {
  Multiply(task, Int8Matrix{w}, stream);
}

}  // namespace pivotal::kernels::cuda
