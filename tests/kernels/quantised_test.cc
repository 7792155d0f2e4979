// Apache-2.0.
#include "kernels/quantised.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cpu_kernels.h"
#include "kernels/philox.h"
#include "tests/kernels/nf4_truth.h"

namespace pivotal::kernels {
namespace {

constexpr int64_t kSizes[] = {1, 2, 63, 64, 65, 130, 640, 64 * 257 + 5, 64 * 600};

std::vector<float> Weights(int64_t size) {  // of many magnitudes, from block to block
  RandomStream random(7, 1);
  std::vector<float> values(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>((2 * random.Uniform() - 1) * (1 + std::sin(i / 64)) * 0.03);
  return values;
}

class Nf4 : public ::testing::TestWithParam<Isa> {
 protected:
  const CpuKernels& kernels() const { return KernelsFor(GetParam()); }
};

TEST(Nf4Numbers, AreQuantiles) {
  const auto want = TrueNf4();
  for (int code = 0; code < 16; ++code) {
    EXPECT_NEAR(kNf4[code], want[code], 2e-7) << code;
    for (int other = 0; other < 16; ++other) {
      EXPECT_EQ(Nf4Pairs()[16 * code + other][0], kNf4[code]);
      EXPECT_EQ(Nf4Pairs()[16 * code + other][1], kNf4[other]);
    }
  }
}

TEST_P(Nf4, CodesAreTheNearest) {
  const auto numbers = TrueNf4(), map = TrueMap(true);
  for (const int64_t size : kSizes) {
    const auto weights = Weights(size);
    const OwnNf4 nf4(kernels(), weights.data(), ElementType::kFloat32, size);
    double mean = 0;
    for (int64_t block = 0; block < nf4.view.Blocks(); ++block) {
      float largest = 0;
      for (int64_t i = 64 * block; i < std::min(64 * (block + 1), size); ++i)
        largest = std::max(largest, std::fabs(weights[i]));
      ASSERT_EQ(nf4.largest[block], largest) << "block " << block << " of " << size;
      mean += largest / static_cast<double>(nf4.view.Blocks());
      for (int64_t i = 64 * block; i < std::min(64 * (block + 1), size); ++i) {
        const double x = weights[i] / static_cast<double>(largest);
        double nearest = 10;
        for (double number : numbers) nearest = std::min(nearest, std::abs(number - x));
        ASSERT_NEAR(std::abs(numbers[nf4.CodeOf(i)] - x), nearest, 1e-6) << i << " of " << size;
      }
    }
    EXPECT_NEAR(nf4.view.offset, mean, 1e-6 * mean);
    for (int64_t group = 0; group < nf4.view.Groups(); ++group) {
      const int64_t begin = 256 * group, end = std::min(begin + 256, nf4.view.Blocks());
      double most = 0;
      for (int64_t i = begin; i < end; ++i) most = std::max(most, std::abs(nf4.largest[i] - mean));
      ASSERT_NEAR(nf4.group_scales[group], most, 1e-6 * mean);
      for (int64_t i = begin; i < end; ++i) {
        double nearest = 1e10;
        for (double number : map)
          nearest = std::min(nearest, std::abs(number * most + mean - nf4.largest[i]));
        ASSERT_NEAR(std::abs(map[nf4.scales[i]] * most + mean - nf4.largest[i]), nearest,
                    1e-6 * mean)
            << "scale " << i << " of " << size;
      }
    }
    if (size % 2 == 1) {
      EXPECT_EQ(nf4.codes.back() & 15, 7) << "the half byte after the last number is zero";
    }
  }
}

TEST_P(Nf4, NumbersComeBack) {
  for (const int64_t size : kSizes) {
    const auto weights = Weights(size);
    const OwnNf4 nf4(kernels(), weights.data(), ElementType::kFloat32, size);
    const auto want = nf4.Numbers();
    std::vector<float> got(size, NAN);
    std::vector<uint16_t> bfloat16(size), float16(size);
    const int64_t blocks = nf4.view.Blocks(), cut = blocks / 3;
    for (const auto& [first, last] : {std::pair(cut, blocks), std::pair(int64_t{0}, cut)}) {
      kernels().dequantise_nf4(nf4.view, ElementType::kFloat32, got.data(), first, last);
      kernels().dequantise_nf4(nf4.view, ElementType::kBfloat16, bfloat16.data(), first, last);
      kernels().dequantise_nf4(nf4.view, ElementType::kFloat16, float16.data(), first, last);
    }
    double error = 0, norm = 0;
    for (int64_t i = 0; i < size; ++i) {
      const double magnitude = std::abs(want[i]);
      ASSERT_NEAR(got[i], want[i], 1e-6 * 0.06) << i << " of " << size;
      const uint32_t bits = static_cast<uint32_t>(bfloat16[i]) << 16;
      float half = 0;
      std::memcpy(&half, &bits, sizeof(half));
      ASSERT_NEAR(half, want[i], magnitude * 0x1p-8 + 1e-7) << i << " of " << size;
      ASSERT_EQ(float16[i], ToFloat16(got[i]).bits) << i << " of " << size;
      error += (got[i] - weights[i]) * (got[i] - weights[i]);
      norm += weights[i] * weights[i];
    }
    EXPECT_LT(std::sqrt(error / norm), 0.12) << size;  // of uniform numbers 0.1
  }
}

TEST_P(Nf4, TakesEveryType) {
  constexpr int64_t kSize = 1000;
  auto weights = Weights(kSize);
  std::vector<uint16_t> bfloat16(kSize), float16(kSize);
  for (int64_t i = 0; i < kSize; ++i) {
    uint32_t bits = 0;
    std::memcpy(&bits, &weights[i], sizeof(bits));
    bits &= 0xFFFF0000u;  // numbers that have all types
    std::memcpy(&weights[i], &bits, sizeof(bits));
    if (std::fabs(weights[i]) < 1e-4f) weights[i] = 0;
    std::memcpy(&bits, &weights[i], sizeof(bits));
    bfloat16[i] = static_cast<uint16_t>(bits >> 16);
    float16[i] = ToFloat16(weights[i]).bits;
  }
  const OwnNf4 want(kernels(), weights.data(), ElementType::kFloat32, kSize);
  for (const auto& [data, type] : {std::pair(bfloat16.data(), ElementType::kBfloat16),
                                   std::pair(float16.data(), ElementType::kFloat16)}) {
    const OwnNf4 got(kernels(), data, type, kSize);
    EXPECT_EQ(got.codes, want.codes);
    EXPECT_EQ(got.largest, want.largest);
  }
}

TEST_P(Nf4, ZerosStayZeros) {
  std::vector<float> weights(300);
  for (int i = 128; i < 200; ++i) weights[i] = 1e-3f * static_cast<float>(i % 5 - 2);
  const OwnNf4 nf4(kernels(), weights.data(), ElementType::kFloat32, 300);
  std::vector<float> got(300, NAN);
  kernels().dequantise_nf4(nf4.view, ElementType::kFloat32, got.data(), 0, nf4.view.Blocks());
  for (int i = 0; i < 300; ++i) {
    if (weights[i] == 0) {
      EXPECT_EQ(got[i], 0) << i;
    }
  }
}

TEST_P(Nf4, IsTheSameToTheBitInEverySet) {
  const int64_t size = 64 * 257 + 5;
  const auto weights = Weights(size);
  const auto run = [&](Isa isa) {
    const OwnNf4 nf4(KernelsFor(isa), weights.data(), ElementType::kFloat32, size);
    std::vector<float> numbers(size);
    KernelsFor(isa).dequantise_nf4(nf4.view, ElementType::kFloat32, numbers.data(), 0,
                                   nf4.view.Blocks());
    return std::pair(nf4.codes, numbers);
  };
  EXPECT_EQ(run(GetParam()), run(Isa::kPortable));
}

INSTANTIATE_TEST_SUITE_P(Isas, Nf4, ::testing::ValuesIn(SupportedIsas()),
                         [](const auto& info) { return std::string(IsaName(info.param)); });

}  // namespace
}  // namespace pivotal::kernels
