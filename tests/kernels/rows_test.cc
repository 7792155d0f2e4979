// Apache-2.0.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu_kernels.h"
#include "kernels/philox.h"

namespace pivotal::kernels {
namespace {

std::vector<float> Random(int64_t count, uint64_t seed, double range = 2) {
  RandomStream random(seed, 0);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = static_cast<float>(range * (2 * random.Uniform() - 1));
  return values;
}

class Rows : public ::testing::TestWithParam<Isa> {
 protected:
  const CpuKernels& k() const { return KernelsFor(GetParam()); }
};

TEST_P(Rows, Norms) {
  for (const int64_t size : {3, 16, 24, 100, 768}) {
    const auto x = Random(size, 1), w = Random(size, 2), b = Random(size, 3);
    double square = 0, mean = 0, variance = 0;
    for (float v : x)
      square += static_cast<double>(v) * v / size, mean += static_cast<double>(v) / size;
    for (float v : x) variance += (v - mean) * (v - mean) / size;
    std::vector<float> rms(size), layer(size);
    k().norm(x.data(), {w.data(), nullptr, size, 1e-5f, false}, rms.data());
    k().norm(x.data(), {w.data(), b.data(), size, 1e-5f, true}, layer.data());
    for (int64_t i = 0; i < size; ++i) {
      EXPECT_NEAR(rms[i], x[i] / std::sqrt(square + 1e-5) * w[i], 2e-6) << i << " of " << size;
      EXPECT_NEAR(layer[i], (x[i] - mean) / std::sqrt(variance + 1e-5) * w[i] + b[i], 4e-6)
          << i << " of " << size;
    }
  }
}

TEST_P(Rows, Rotation) {
  for (const int64_t half : {1, 2, 8, 24, 33}) {
    auto x = Random(2 * half + 4, 1);
    const auto before = x;
    std::vector<float> cos, sin;
    for (int64_t i = 0; i < half; ++i)
      cos.push_back(std::cos(0.3f * i)), sin.push_back(std::sin(0.3f * i));
    k().rotate(x.data(), cos.data(), sin.data(), half);
    for (int64_t i = 0; i < half; ++i) {
      EXPECT_NEAR(x[i], before[i] * cos[i] - before[half + i] * sin[i], 1e-6);
      EXPECT_NEAR(x[half + i], before[half + i] * cos[i] + before[i] * sin[i], 1e-6);
    }
    for (int64_t i = 2 * half; i < 2 * half + 4; ++i)
      EXPECT_EQ(x[i], before[i]);  // beyond the pairs
  }
}

TEST_P(Rows, Activations) {
  for (const int64_t size : {5, 16, 40, 333}) {
    for (const Activation type : {Activation::kSwiGlu, Activation::kGelu, Activation::kGegelu}) {
      auto x = Random(2 * size + 16, 1, 30);
      const auto before = x;
      k().activate({type, size, 20.0f}, x.data());
      for (int64_t i = 0; i < size; ++i) {
        const double gate = before[i], linear = before[size + i];
        double want = 0;
        if (type == Activation::kSwiGlu) want = gate / (1 + std::exp(-gate)) * linear;
        if (type == Activation::kGelu)
          want = 0.5 * gate *
                 (1 + std::tanh(std::sqrt(2 / M_PI) * (gate + 0.044715 * gate * gate * gate)));
        if (type == Activation::kGegelu) {
          const double low = std::min(gate, 20.0);
          want = low / (1 + std::exp(-1.702 * low)) * (std::clamp(linear, -20.0, 20.0) + 1);
        }
        // The rounding error of an exponent x is multiplied by |x| in exp(x).
        ASSERT_NEAR(x[i], want, 1e-6 * (1 + std::fabs(want)) * (1 + std::fabs(gate) / 4))
            << "type " << static_cast<int>(type) << ", " << i << " of " << size;
      }
    }
  }
}

TEST_P(Rows, RowMaxSeesBadNumbers) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const int64_t size : {1, 7, 16, 100}) {
    auto row = Random(size, 1);
    EXPECT_EQ(k().row_max(row.data(), size), *std::max_element(row.begin(), row.end()));
    for (const float bad : {kInf, std::numeric_limits<float>::quiet_NaN()}) {
      for (const int64_t where : {int64_t{0}, size / 2, size - 1}) {
        auto spoilt = row;
        spoilt[where] = bad;
        EXPECT_TRUE(std::isnan(k().row_max(spoilt.data(), size)))
            << bad << " at " << where << " of " << size;
      }
    }
    row.assign(size, -kInf);
    EXPECT_EQ(k().row_max(row.data(), size), -kInf);
  }
}

TEST_P(Rows, ExponentialsAndTheirSums) {
  for (const int64_t size : {1, 15, 16, 256, 257, 1000}) {
    auto row = Random(size, 1, 40);
    row[size / 2] = 40;
    if (size > 2) row[0] = -std::numeric_limits<float>::infinity();
    std::vector<float> weights(size), sums((size + kSumChunk - 1) / kSumChunk);
    k().row_exp(row.data(), size, 40, 1.25f, weights.data(), sums.data());
    for (std::size_t chunk = 0; chunk < sums.size(); ++chunk) {
      double sum = 0;
      for (int64_t i = chunk * kSumChunk; i < std::min<int64_t>(size, (chunk + 1) * kSumChunk);
           ++i) {
        // The rounding error of the exponent is multiplied by |exponent|.
        const double exponent = (static_cast<double>(row[i]) - 40) * 1.25,
                     want = exponent < -87 ? 0 : std::exp(exponent);
        const double bound = want > 0 ? want * (3e-7 + 1.2e-7 * std::fabs(exponent)) : 0;
        ASSERT_NEAR(weights[i], want, bound) << i << " of " << size;
        sum += weights[i];
      }
      EXPECT_NEAR(sums[chunk], sum, 1e-5 * sum);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, Rows,
                         ::testing::ValuesIn(SupportedIsas().begin(), SupportedIsas().end()),
                         [](const auto& info) { return std::string(IsaName(info.param)); });

}  // namespace
}  // namespace pivotal::kernels
