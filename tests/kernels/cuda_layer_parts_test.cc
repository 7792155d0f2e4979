// Apache-2.0. Tests the kernels' source on the CPU (tests/kernels/cuda_on_cpu.h) and, where there
// is one, on a GPU, against the formulas in double precision.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/cuda/layer_parts.h"
#include "tests/kernels/cuda_elements.h"

namespace pivotal::kernels::cuda {

// Launch functions of copies of the source, each with one mistake planted (CMakeLists.txt).
void LayerPartsWithoutBarrier(const AddAndNorm& task, void* stream);

namespace {

using ::testing::HasSubstr;

constexpr ElementType kTypes[] = {ElementType::kFloat32, ElementType::kBfloat16,
                                  ElementType::kFloat16};

// Compares elements with numbers that are rounded to them.
void ExpectNear(const Elements& got, const std::vector<double>& want, ElementType type,
                const std::string& what) {
  const std::vector<float> values = got.values();
  ASSERT_EQ(values.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i)
    ASSERT_NEAR(values[i], want[i],
                2e-6 * std::max(1.0, std::abs(want[i])) + 2 * Rounding(type) * std::abs(want[i]))
        << what << ", " << Name(type) << ", element " << i;
}

// Rows of 2055 and 8200 elements take threads two turns, which read again what the first ones read.
TEST(CudaLayerParts, AddsAndNormalises) {
  const cuda_on_cpu::ScopedSchedules schedules(
      {cuda_on_cpu::Schedule::kForward, cuda_on_cpu::Schedule::kRandom});
  for (const ElementType type : kTypes)
    for (const int64_t size : {64, 20, 7, 2055, 8200})
      for (const bool adds : {true, false}) {
        if (size > 1000 && !adds) continue;
        const int64_t rows = size > 1000 ? 1 : 3;
        Elements x("x", type, RandomFloats(rows * size, 2, 1)),
            update("update", type, RandomFloats(rows * size, 2, 2)),
            weight("weight", type, RandomFloats(size, 1, 3)),
            out("out", type, std::vector<float>(rows * size, NAN));
        std::vector<float> sum = x.values();
        if (adds)
          for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += update.values()[i];
        const Elements rounded("sum", type, sum);
        LaunchAddAndNorm({.type = type,
                          .rows = rows,
                          .size = size,
                          .epsilon = 1e-5f,
                          .x = x.data(),
                          .update = adds ? update.data() : nullptr,
                          .weight = weight.data(),
                          .out = out.data()},
                         nullptr);
        EXPECT_EQ(x.values(), rounded.values());
        std::vector<double> want;
        for (int64_t row = 0; row < rows; ++row) {
          double squares = 0;
          for (int64_t i = 0; i < size; ++i)
            squares += std::pow(rounded.values()[row * size + i], 2);
          for (int64_t i = 0; i < size; ++i)
            want.push_back(rounded.values()[row * size + i] / std::sqrt(squares / size + 1e-5) *
                           weight.values()[i]);
        }
        ExpectNear(out, want, type, std::to_string(size));
      }
}

TEST(CudaLayerParts, RotatesAndStores) {
  struct Shape {
    int64_t heads, kv_heads, dim, rotary;
  };
  for (const ElementType type : kTypes)
    for (const Shape& s :
         {Shape{4, 2, 16, 16}, Shape{3, 1, 10, 6}, Shape{2, 2, 8, 0}, Shape{20, 4, 96, 80}}) {
      constexpr int64_t kRows = 4, kSlots = 9;
      const std::vector<int64_t> slots = {7, 8, 2, 8};  // 8: to be left alone
      const int64_t width = (s.heads + 2 * s.kv_heads) * s.dim, kv_width = s.kv_heads * s.dim;
      Elements qkv("qkv", type, RandomFloats(kRows * width, 1, 1)),
          cos("cos", type, RandomFloats(kRows * s.rotary, 1, 2)),
          sin("sin", type, RandomFloats(kRows * s.rotary, 1, 3)),
          queries("queries", type, std::vector<float>(kRows * s.heads * s.dim, NAN)),
          keys("keys", type, std::vector<float>(kSlots * kv_width, 5)),
          values("values", type, std::vector<float>(kSlots * kv_width, 6));
      DeviceArray<int64_t> places("slots", slots);
      LaunchRotateAndStore({.type = type,
                            .rows = kRows,
                            .heads = s.heads,
                            .kv_heads = s.kv_heads,
                            .head_dim = s.dim,
                            .rotary_dim = s.rotary,
                            .qkv = qkv.data(),
                            .cos = cos.data(),
                            .sin = sin.data(),
                            .slots = places.data(),
                            .unused_slot = 8,
                            .queries = queries.data(),
                            .keys = keys.data(),
                            .values = values.data()},
                           nullptr);
      const auto x = qkv.values(), c = cos.values(), sn = sin.values();
      const auto rotated = [&](int64_t row, int64_t head, int64_t d) -> double {
        const float* const of = x.data() + row * width + head * s.dim;
        if (d >= s.rotary) return of[d];
        const int64_t half = s.rotary / 2, at = row * s.rotary + d;
        return double{of[d]} * c[at] + double{of[d < half ? d + half : d - half]} * sn[at];
      };
      std::vector<double> want_queries, want_keys(kSlots * kv_width, 5),
          want_values(kSlots * kv_width, 6);
      for (int64_t row = 0; row < kRows; ++row) {
        for (int64_t h = 0; h < s.heads; ++h)
          for (int64_t d = 0; d < s.dim; ++d) want_queries.push_back(rotated(row, h, d));
        for (int64_t i = 0; i < kv_width && slots[row] != 8; ++i) {
          want_keys[slots[row] * kv_width + i] = rotated(row, s.heads + i / s.dim, i % s.dim);
          want_values[slots[row] * kv_width + i] = x[row * width + s.heads * s.dim + kv_width + i];
        }
      }
      ExpectNear(queries, want_queries, type, "queries");
      ExpectNear(keys, want_keys, type, "keys");
      ExpectNear(values, want_values, type, "values");
    }
}

TEST(CudaLayerParts, GatesByTheSigmoid) {
  for (const ElementType type : kTypes)
    for (const int64_t size : {64, 20, 3}) {
      constexpr int64_t kRows = 5;
      Elements x("x", type, RandomFloats(kRows * 2 * size, 3, 1)),
          out("out", type, std::vector<float>(kRows * size, NAN));
      LaunchSwiGlu({.type = type, .rows = kRows, .size = size, .x = x.data(), .out = out.data()},
                   nullptr);
      const auto in = x.values();
      std::vector<double> want;
      for (int64_t row = 0; row < kRows; ++row)
        for (int64_t i = 0; i < size; ++i) {
          const double gate = in[row * 2 * size + i];
          want.push_back(gate / (1 + std::exp(-gate)) * in[row * 2 * size + size + i]);
        }
      ExpectNear(out, want, type, std::to_string(size));
    }
}

// A gate of -200 overflows the exponential; the result is 0 and not NaN.
TEST(CudaLayerParts, GatesBelowZeroGiveZero) {
  Elements x("x", ElementType::kFloat32, {-200, -1000, 3, 3}),
      out("out", ElementType::kFloat32, {NAN, NAN});
  LaunchSwiGlu({.rows = 1, .size = 2, .x = x.data(), .out = out.data()}, nullptr);
  for (const float value : out.values()) EXPECT_EQ(value, 0);
}

TEST(CudaLayerParts, TakesTheTokensThatWereDrawn) {
  DeviceArray<int64_t> tokens("tokens", std::vector<int64_t>{7, -1, -3, 0, -2, -1});
  DeviceArray<int32_t> drawn("drawn", std::vector<int32_t>{11, -1, 13});
  LaunchTakeDrawn({.rows = 6, .tokens = tokens.data(), .drawn = drawn.data()}, nullptr);
  EXPECT_THAT(tokens.values(), ::testing::ElementsAre(7, 11, 13, 0, 0, 11));
}

#ifndef PIVOTAL_CUDA_ON_GPU
TEST(CudaLayerParts, AMissingBarrierIsFound) {
  Elements x("x", ElementType::kFloat32, RandomFloats(600, 1, 1)),
      weight("weight", ElementType::kFloat32, RandomFloats(600, 1, 2)),
      out("out", ElementType::kFloat32, std::vector<float>(600));
  try {
    LayerPartsWithoutBarrier(
        {.rows = 1, .size = 600, .x = x.data(), .weight = weight.data(), .out = out.data()},
        nullptr);
    FAIL() << "nothing found";
  } catch (const cuda_on_cpu::LaunchFailure& failure) {
    EXPECT_THAT(failure.what(), HasSubstr(cuda_on_cpu::WatchesAccesses() ? "with no barrier between"
                                                                         : "depends on the order"));
  }
}
#endif

}  // namespace
}  // namespace pivotal::kernels::cuda
