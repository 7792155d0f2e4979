// Apache-2.0. Tests the kernels' source on the CPU (tests/kernels/cuda_on_cpu.h) and, where there
// is one, on a GPU, against the formulas in double precision.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <string>
#include <vector>

#include "kernels/cpu_kernels.h"
#include "kernels/cuda/quantised.h"
#include "tests/kernels/cuda_elements.h"
#include "tests/kernels/nf4_truth.h"

namespace pivotal::kernels::cuda {

// Launch functions of copies of the source, each with one mistake planted (CMakeLists.txt).
void QuantisedWithoutBarrier(const Nf4Codes& from, ElementType type, void* out, void* stream);
void QuantisedOutOfBounds(const Nf4Codes& from, ElementType type, void* out, void* stream);

namespace {

using ::testing::HasSubstr;
constexpr ElementType kTypes[] = {ElementType::kFloat32, ElementType::kBfloat16,
                                  ElementType::kFloat16};

// Numbers in NF4, on the device.
class DeviceNf4 {
 public:
  explicit DeviceNf4(const std::vector<float>& numbers)
      : host_(KernelsFor(Isa::kPortable), numbers.data(), ElementType::kFloat32,
              static_cast<int64_t>(numbers.size())),
        codes_("codes", host_.codes),
        scales_("scales", host_.scales),
        groups_("group_scales", host_.group_scales),
        map_("map", std::vector<float>(host_.view.map, host_.view.map + 256)) {}
  Nf4Codes view() {
    Nf4Codes view = host_.view;
    view.codes = codes_.data();
    view.scales = scales_.data();
    view.group_scales = groups_.data();
    view.map = map_.data();
    return view;
  }
  const OwnNf4& host() const { return host_; }
  std::vector<double> Numbers() const { return host_.Numbers(); }

 private:
  OwnNf4 host_;
  DeviceArray<uint8_t> codes_, scales_;
  DeviceArray<float> groups_, map_;
};

// A matrix in 8 bits, on the device.
class DeviceInt8 {
 public:
  DeviceInt8(int64_t rows, int64_t columns)
      : rows_(rows), columns_(columns), scales_("scales", RandomFloats(rows, 0.01, 5)) {
    RandomStream random(3, 9);
    for (int64_t i = 0; i < rows * columns; ++i)
      values_.push_back(static_cast<int8_t>(static_cast<int>(random.Below(255)) - 127));
    codes_.emplace_back("codes", values_);
  }
  Int8Codes view() { return {rows_, columns_, codes_[0].data(), scales_.data()}; }
  std::vector<double> Numbers() const {
    const auto scales = scales_.values();
    std::vector<double> numbers;
    for (std::size_t i = 0; i < values_.size(); ++i)
      numbers.push_back(static_cast<double>(values_[i]) * scales[i / columns_]);
    return numbers;
  }

 private:
  int64_t rows_, columns_;
  std::vector<int8_t> values_;
  DeviceArray<float> scales_;
  std::deque<DeviceArray<int8_t>> codes_;
};

template <typename Matrix>
void ExpectNumbers(Matrix& matrix, ElementType type, const std::string& what) {
  const auto want = matrix.Numbers();
  Elements out("out", type, std::vector<float>(want.size(), NAN));
  LaunchDequantise(matrix.view(), type, out.data(), nullptr);
  const auto got = out.values();
  for (std::size_t i = 0; i < want.size(); ++i)
    ASSERT_NEAR(got[i], want[i], std::abs(want[i]) * Rounding(type) * 2.01 + 1e-7)
        << what << ", " << Name(type) << ", number " << i;
}

TEST(CudaQuantised, NumbersInFourBitsComeBack) {
  for (const ElementType type : kTypes)
    for (const int64_t size : {1, 7, 64, 1003, 64 * 300}) {
      DeviceNf4 nf4(RandomFloats(size, 0.05, 1));
      ExpectNumbers(nf4, type, std::to_string(size));
    }
}

TEST(CudaQuantised, TheyAreThoseOfTheCpuToTheBit) {
  DeviceNf4 nf4(RandomFloats(4000, 0.05, 1));
  std::vector<float> want(4000);
  KernelsFor(Isa::kPortable)
      .dequantise_nf4(nf4.host().view, ElementType::kFloat32, want.data(), 0,
                      nf4.host().view.Blocks());
  Elements out("out", ElementType::kFloat32, std::vector<float>(4000));
  LaunchDequantise(nf4.view(), ElementType::kFloat32, out.data(), nullptr);
  EXPECT_EQ(out.values(), want);
}

TEST(CudaQuantised, NumbersInEightBitsComeBack) {
  for (const ElementType type : kTypes)
    for (const auto& [rows, columns] :
         std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {5, 24}, {3, 37}, {2, 2056}}) {
      DeviceInt8 int8(rows, columns);
      ExpectNumbers(int8, type, std::to_string(columns));
    }
}

template <typename Matrix>
void ExpectProduct(Matrix& matrix, int64_t rows, int64_t outputs, int64_t inputs, ElementType type,
                   bool has_bias) {
  Elements x("x", type, RandomFloats(rows * inputs, 1, 2));
  Elements bias("bias", type, RandomFloats(outputs, 1, 3));
  Elements out("out", type, std::vector<float>(static_cast<std::size_t>(rows * outputs), NAN));
  LaunchFewRowsProduct({.type = type,
                        .rows = rows,
                        .outputs = outputs,
                        .inputs = inputs,
                        .x = x.data(),
                        .bias = has_bias ? bias.data() : nullptr,
                        .out = out.data()},
                       matrix.view(), nullptr);
  const auto numbers = matrix.Numbers();
  const auto inputs_of = x.values(), biases = bias.values(), got = out.values();
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t n = 0; n < outputs; ++n) {
      double want = has_bias ? biases[n] : 0, size = 0;
      for (int64_t k = 0; k < inputs; ++k) {
        const double product = inputs_of[r * inputs + k] * numbers[n * inputs + k];
        want += product;
        size += std::abs(product);
      }
      const double bound =
          6e-8 * std::sqrt(2.0 * inputs) * (size + 1) + std::abs(want) * Rounding(type) * 2.01;
      ASSERT_NEAR(got[r * outputs + n], want, bound)
          << "row " << r << " of " << rows << ", output " << n << ", " << Name(type);
    }
}

TEST(CudaQuantised, FewRowsTimesFourBits) {
  for (const ElementType type : kTypes)
    for (const int64_t rows : {1, 2, 4, 5, 8}) {
      const int64_t outputs = rows == 5 ? 37 : 6, inputs = rows == 2 ? 576 : 64;
      DeviceNf4 nf4(RandomFloats(outputs * inputs, 0.05, 1));
      ExpectProduct(nf4, rows, outputs, inputs, type, rows % 2 == 0);
    }
}

TEST(CudaQuantised, FewRowsTimesEightBits) {
  for (const ElementType type : kTypes)
    for (const int64_t rows : {1, 3, 8}) {
      DeviceInt8 int8(7, 320);
      ExpectProduct(int8, rows, 7, 320, type, rows == 3);
    }
}

TEST(CudaQuantised, SupportsFewRowsAndWholeBlocks) {
  EXPECT_TRUE(FewRowsProduct::Supports(1, 64));
  EXPECT_TRUE(FewRowsProduct::Supports(8, 5120));
  EXPECT_FALSE(FewRowsProduct::Supports(9, 5120));
  EXPECT_FALSE(FewRowsProduct::Supports(0, 5120));
  EXPECT_FALSE(FewRowsProduct::Supports(1, 72));
}

#ifndef PIVOTAL_CUDA_ON_GPU

using Launch = void (*)(const Nf4Codes&, ElementType, void*, void*);
std::string FailureOf(Launch launch, int64_t size) {
  DeviceNf4 nf4(RandomFloats(size, 0.05, 1));
  Elements out("out", ElementType::kFloat32, std::vector<float>(static_cast<std::size_t>(size)));
  try {
    launch(nf4.view(), ElementType::kFloat32, out.data(), nullptr);
  } catch (const cuda_on_cpu::LaunchFailure& failure) {
    return failure.what();
  }
  return "";
}

TEST(CudaQuantised, PlantedMistakesAreFound) {
  EXPECT_EQ(FailureOf(LaunchDequantise, 300), "");
  EXPECT_THAT(FailureOf(QuantisedWithoutBarrier, 300), HasSubstr("DequantiseNf4"));
  EXPECT_THAT(FailureOf(QuantisedOutOfBounds, 300), HasSubstr("DequantiseNf4"));
}

#endif

}  // namespace
}  // namespace pivotal::kernels::cuda
