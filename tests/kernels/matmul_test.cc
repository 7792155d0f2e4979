// Apache-2.0.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/cpu_kernels.h"
#include "kernels/philox.h"
#include "tests/kernels/nf4_truth.h"

namespace pivotal::kernels {
namespace {

std::vector<float> Random(int64_t count, uint64_t seed) {
  RandomStream random(seed, 0);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = static_cast<float>(2 * random.Uniform() - 1);
  return values;
}

struct Case {
  Isa isa;
  WeightType type;
};
std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (Isa isa : SupportedIsas())
    for (WeightType type :
         {WeightType::kFloat32, WeightType::kBfloat16, WeightType::kFloat16, WeightType::kInt8})
      cases.push_back({isa, type});
  return cases;
}

class Matmul : public ::testing::TestWithParam<Case> {
 protected:
  // Computes y = x W^T + bias in `cuts` tasks of some panels each.
  std::vector<float> Product(const PackedMatrix& w, const std::vector<float>& x, int64_t rows,
                             bool add, int cuts) {
    std::vector<float> y =
        add ? Random(rows * w.padded_outputs(), 5) : std::vector<float>(rows * w.padded_outputs());
    for (int cut = 0; cut < cuts; ++cut)
      KernelsFor(GetParam().isa)
          .matmul({x.data(), w.inputs(), rows, &w, y.data(), w.padded_outputs(), add,
                   w.panels() * cut / cuts, w.panels() * (cut + 1) / cuts});
    return y;
  }
};

// Returns a weight rounded to the type in which it is stored.
double Stored(float weight, WeightType type, float largest) {
  switch (type) {
    case WeightType::kBfloat16: {
      int exponent = 0;
      const double mantissa = std::frexp(static_cast<double>(weight), &exponent);
      return std::ldexp(std::nearbyint(std::ldexp(mantissa, 8)), exponent - 8);
    }
    case WeightType::kFloat16: {
      int exponent = 0;
      const double mantissa = std::frexp(static_cast<double>(weight), &exponent);
      const int bits = std::min(11, exponent + 24);  // subnormal numbers have fewer bits
      return std::ldexp(std::nearbyint(std::ldexp(mantissa, bits)), exponent - bits);
    }
    case WeightType::kInt8: {
      const double scale = static_cast<double>(largest) / 127;
      return std::nearbyint(weight / scale) * scale;
    }
    default: return weight;
  }
}

TEST_P(Matmul, MatchesTheProductInDouble) {
  constexpr int64_t kInputs = 301;  // more than one block of inputs, not a multiple of a vector
  for (const int64_t outputs : {1, 16, 37, 130}) {
    const auto weights = Random(outputs * kInputs, 2), bias = Random(outputs, 3);
    PackedMatrix packed(outputs, kInputs, GetParam().type);
    packed.SetRows(0, outputs, weights.data());
    packed.SetBias(bias.data());
    std::vector<double> stored;
    for (int64_t n = 0; n < outputs; ++n) {
      const std::span row = std::span(weights).subspan(n * kInputs, kInputs);
      float largest = 0;
      for (float w : row) largest = std::max(largest, std::fabs(w));
      for (float w : row) stored.push_back(Stored(w, GetParam().type, largest));
    }
    for (const int64_t rows : {1, 2, 5, 6, 7, 13, 24, 100}) {
      const auto x = Random(rows * kInputs, 4);
      for (const bool add : {false, true}) {
        const auto y = Product(packed, x, rows, add, 2);
        const auto before = Random(rows * packed.padded_outputs(), 5);
        for (int64_t n = 0; n < outputs; ++n) {
          for (int64_t m = 0; m < rows; ++m) {
            double want = bias[n] + (add ? before[m * packed.padded_outputs() + n] : 0.0), size = 0;
            for (int64_t k = 0; k < kInputs; ++k) {
              const double w = stored[n * kInputs + k];
              want += x[m * kInputs + k] * w;
              size += std::fabs(x[m * kInputs + k] * w);
            }
            // Bounds the rounding errors of 301 sums and, for int8, of the product with the scale.
            const double bound = 6e-8 * (std::sqrt(2.0 * kInputs) + 2) * (size + 2);
            ASSERT_NEAR(y[m * packed.padded_outputs() + n], want, bound)
                << "row " << m << " of " << rows << ", output " << n << " of " << outputs;
          }
        }
      }
    }
  }
}

TEST_P(Matmul, DoesNotDependOnCuts) {
  constexpr int64_t kInputs = 530, kOutputs = 150, kRows = 41;
  const auto weights = Random(kOutputs * kInputs, 2), x = Random(kRows * kInputs, 4);
  PackedMatrix packed(kOutputs, kInputs, GetParam().type);
  packed.SetRows(0, kOutputs, weights.data());
  const auto whole = Product(packed, x, kRows, false, 1);
  EXPECT_EQ(Product(packed, x, kRows, false, 4), whole);
  for (int64_t row = 0; row < kRows; ++row) {  // computes one row or a few alone
    for (const int64_t count : {1, 3, 8}) {
      if (row + count > kRows) continue;
      const std::vector<float> part(x.begin() + row * kInputs, x.begin() + (row + count) * kInputs);
      const auto y = Product(packed, part, count, false, 1);
      ASSERT_EQ(std::memcmp(y.data(), whole.data() + row * packed.padded_outputs(),
                            y.size() * sizeof(float)),
                0)
          << count << " rows from " << row;
    }
  }
}

PackedMatrix PackNf4(const OwnNf4& from, int64_t outputs, int64_t inputs) {
  PackedMatrix packed(outputs, inputs, WeightType::kNf4);
  for (int64_t panel = 0; panel < packed.panels(); ++panel) {
    std::vector<Nf4Row> rows;
    for (int64_t n = panel * kPanel; n < std::min(outputs, (panel + 1) * kPanel); ++n)
      rows.push_back({&from.view, outputs - 1 - n});  // in reverse order
    packed.SetNf4Panel(panel, rows);
  }
  return packed;
}

class Nf4Matmul : public ::testing::TestWithParam<Isa> {};

TEST_P(Nf4Matmul, MatchesTheProductInDouble) {
  const CpuKernels& kernels = KernelsFor(GetParam());
  constexpr int64_t kInputs = 320;  // more than one block of inputs
  for (const int64_t outputs : {1, 16, 37, 130}) {
    const auto weights = Random(outputs * kInputs, 2), bias = Random(outputs, 3);
    const OwnNf4 nf4(kernels, weights.data(), ElementType::kFloat32, outputs * kInputs);
    const auto stored = nf4.Numbers();
    PackedMatrix packed = PackNf4(nf4, outputs, kInputs);
    EXPECT_EQ(packed.bytes(), packed.padded_outputs() * (kInputs / 2 + kInputs / 64 * 4));
    packed.SetBias(bias.data());
    const int64_t stride = packed.padded_outputs();
    for (const int64_t rows : {1, 2, 5, 7, 13, 100}) {
      const auto x = Random(rows * kInputs, 4);
      for (const bool add : {false, true}) {
        auto y = Random(rows * stride, 5);
        const auto before = y;
        const int64_t cut = packed.panels() / 2;
        for (const auto& [first, last] : {std::pair(int64_t{0}, cut), {cut, packed.panels()}})
          kernels.matmul({x.data(), kInputs, rows, &packed, y.data(), stride, add, first, last});
        for (int64_t n = 0; n < outputs; ++n)
          for (int64_t m = 0; m < rows; ++m) {
            double want = bias[n] + (add ? before[m * stride + n] : 0.0), size = 0;
            for (int64_t k = 0; k < kInputs; ++k) {
              const double product = x[m * kInputs + k] * stored[(outputs - 1 - n) * kInputs + k];
              want += product;
              size += std::fabs(product);
            }
            ASSERT_NEAR(y[m * stride + n], want, 6e-8 * (std::sqrt(2.0 * kInputs) + 4) * (size + 2))
                << "row " << m << " of " << rows << ", output " << n << " of " << outputs;
          }
      }
    }
  }
}

TEST_P(Nf4Matmul, DoesNotDependOnRows) {
  const CpuKernels& kernels = KernelsFor(GetParam());
  constexpr int64_t kInputs = 576, kOutputs = 150, kRows = 41;
  const auto weights = Random(kOutputs * kInputs, 2), x = Random(kRows * kInputs, 4);
  const OwnNf4 nf4(kernels, weights.data(), ElementType::kFloat32, kOutputs * kInputs);
  const PackedMatrix packed = PackNf4(nf4, kOutputs, kInputs);
  const auto product = [&](int64_t first, int64_t rows) {
    std::vector<float> y(rows * packed.padded_outputs());
    kernels.matmul({x.data() + first * kInputs, kInputs, rows, &packed, y.data(),
                    packed.padded_outputs(), false, 0, packed.panels()});
    return y;
  };
  const auto whole = product(0, kRows);
  for (const int64_t count : {1, 3, 8}) {
    const auto y = product(7, count);
    EXPECT_EQ(
        std::memcmp(y.data(), whole.data() + 7 * packed.padded_outputs(), y.size() * sizeof(float)),
        0)
        << count << " rows";
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, Nf4Matmul, ::testing::ValuesIn(SupportedIsas()),
                         [](const auto& info) { return std::string(IsaName(info.param)); });

// Both have fused multiply-add. Without it the last bits differ.
TEST(MatmulIsas, AgreeToTheBit) {
  if (SupportedIsas().size() < 3) GTEST_SKIP() << "this CPU has no AVX-512 to compare with AVX2";
  constexpr int64_t kInputs = 300, kOutputs = 64, kRows = 20;
  const auto weights = Random(kOutputs * kInputs, 2), x = Random(kRows * kInputs, 4);
  PackedMatrix packed(kOutputs, kInputs, WeightType::kFloat32);
  packed.SetRows(0, kOutputs, weights.data());
  std::vector<float> a(kRows * kOutputs), b(a.size());
  KernelsFor(Isa::kAvx2)
      .matmul({x.data(), kInputs, kRows, &packed, a.data(), kOutputs, false, 0, packed.panels()});
  KernelsFor(Isa::kAvx512)
      .matmul({x.data(), kInputs, kRows, &packed, b.data(), kOutputs, false, 0, packed.panels()});
  EXPECT_EQ(a, b);
}

INSTANTIATE_TEST_SUITE_P(All, Matmul, ::testing::ValuesIn(AllCases()), [](const auto& info) {
  return std::string(IsaName(info.param.isa)) + "_" + std::string(WeightTypeName(info.param.type));
});

}  // namespace
}  // namespace pivotal::kernels
