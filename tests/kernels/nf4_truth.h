// Apache-2.0. NF4 with double quantisation (QLoRA, arXiv 2305.14314) in double precision and by
// plain search, for the tests of the kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/cpu_kernels.h"
#include "kernels/quantised.h"
#include "tests/kernels/adamw8_truth.h"

namespace pivotal::kernels {

// Returns x with P(X < x) = p for a standard normal X, by bisection.
inline double NormalQuantile(double p) {
  double low = -10, high = 10;
  while (high - low > 1e-13) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle / std::sqrt(2.0)) / 2 < p ? low : high) = middle;
  }
  return low;
}

// Returns the numbers of the codes, as bitsandbytes' create_normal_map computes them: quantiles
// evenly spaced between 1/2 and the mean of 1 - 1/30 and 1 - 1/32, eight above 0 and seven below.
inline std::vector<double> TrueNf4() {
  const double most = 0.9677083;
  std::vector<double> numbers = {0};
  for (int i = 0; i < 8; ++i) numbers.push_back(NormalQuantile(most + (0.5 - most) * i / 8));
  for (int i = 0; i < 7; ++i) numbers.push_back(-NormalQuantile(most + (0.5 - most) * i / 7));
  std::ranges::sort(numbers);
  const double largest = numbers.back();
  for (double& number : numbers) number /= largest;
  return numbers;
}

// Numbers in NF4, and the memory of their codes.
struct OwnNf4 {
  std::vector<uint8_t> codes, scales;
  std::vector<float> largest, group_scales;
  Nf4Codes view;

  OwnNf4(const CpuKernels& kernels, const void* numbers, ElementType type, int64_t size) {
    view.size = size;
    codes.resize(static_cast<std::size_t>((size + 1) / 2), 0xAB);
    scales.resize(static_cast<std::size_t>(view.Blocks()));
    largest.resize(scales.size());
    group_scales.resize(static_cast<std::size_t>(view.Groups()));
    const Nf4Task task{size, type, numbers, codes.data(), largest.data()};
    kernels.quantise_nf4(task, 0, view.Blocks() / 2);  // in two parts
    kernels.quantise_nf4(task, view.Blocks() / 2, view.Blocks());
    QuantiseNf4Scales(largest.data(), view.Blocks(), scales.data(), group_scales.data(),
                      &view.offset);
    view.codes = codes.data();
    view.scales = scales.data();
    view.group_scales = group_scales.data();
    view.map = MomentTablesOnCpu().first;
  }
  OwnNf4(const OwnNf4&) = delete;
  OwnNf4& operator=(const OwnNf4&) = delete;

  int CodeOf(int64_t i) const { return codes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15; }
  // Returns what the codes stand for.
  std::vector<double> Numbers() const {
    const auto numbers = TrueNf4(), map = TrueMap(true);
    std::vector<double> values;
    for (int64_t i = 0; i < view.size; ++i) {
      const int64_t block = i / 64;
      const double scale =
          map[scales[block]] * group_scales[block / 256] + static_cast<double>(view.offset);
      values.push_back(numbers[CodeOf(i)] * scale);
    }
    return values;
  }
};

}  // namespace pivotal::kernels
