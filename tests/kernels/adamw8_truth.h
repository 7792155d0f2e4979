// Apache-2.0. AdamW with moments in 8 bits as the papers have it, in double precision and by plain
// search, for the tests of the kernels.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/adamw8.h"

namespace pivotal::kernels {

// Returns the numbers of a dynamic map (arXiv 2110.02861), by code, as bitsandbytes'
// create_dynamic_map computes them.
inline std::vector<double> TrueMap(bool has_sign) {
  std::vector<double> map = {0, 1};
  for (int i = 0; i < 7; ++i) {
    const int items = (has_sign ? 1 << i : 2 << i) + 1;
    for (int k = 0; k + 1 < items; ++k) {
      const double low = 0.1 + 0.9 * k / (items - 1), high = 0.1 + 0.9 * (k + 1) / (items - 1);
      const double number = std::pow(10.0, i - 6) * (low + high) / 2;
      map.push_back(number);
      if (has_sign) map.push_back(-number);
    }
  }
  std::ranges::sort(map);
  return map;
}

struct TrueState {
  std::vector<uint8_t> first, second;
  std::vector<float> first_scale, second_scale;
  explicit TrueState(int64_t size)
      : first(size, 127),
        second(size, 0),
        first_scale((size + 255) / 256),
        second_scale(first_scale) {}
};

// The numbers of a step that a kernel must come near.
struct TrueStep {
  std::vector<double> parameter, first, second;
};

// Computes the step of `task` from `state` and float32 copies of its parameter and gradient.
inline TrueStep Step(const AdamW8Task& task, const TrueState& state,
                     const std::vector<float>& parameter, const std::vector<float>& gradient,
                     double clip) {
  const auto first_map = TrueMap(true), second_map = TrueMap(false);
  TrueStep step;
  for (std::size_t i = 0; i < parameter.size(); ++i) {
    const double g = gradient.empty() ? 0 : gradient[i] * clip;
    const double m = task.beta1 * first_map[state.first[i]] * state.first_scale[i / 256] +
                     (1 - static_cast<double>(task.beta1)) * g;
    const double v = task.beta2 * second_map[state.second[i]] * state.second_scale[i / 256] +
                     (1 - static_cast<double>(task.beta2)) * g * g;
    const double decayed =
        parameter[i] * (1 - static_cast<double>(task.learning_rate) * task.weight_decay);
    step.first.push_back(m);
    step.second.push_back(v);
    step.parameter.push_back(decayed - task.learning_rate * (m / task.correction1) /
                                           (std::sqrt(v / task.correction2) + task.epsilon));
  }
  return step;
}

// Compares the state that a kernel left with the moments that it had to keep: scales are the
// largest magnitudes, and each code is one of the nearest.
inline void ExpectKept(const TrueState& got, const TrueStep& want, const std::string& what) {
  const auto first_map = TrueMap(true), second_map = TrueMap(false);
  const auto expect = [&](const std::vector<uint8_t>& codes, const std::vector<float>& scales,
                          const std::vector<double>& numbers, const std::vector<double>& map,
                          const char* name) {
    for (std::size_t begin = 0; begin < numbers.size(); begin += 256) {
      const std::size_t end = std::min(numbers.size(), begin + 256);
      double largest = 0;
      for (std::size_t i = begin; i < end; ++i) largest = std::max(largest, std::abs(numbers[i]));
      const double scale = scales[begin / 256];
      ASSERT_NEAR(scale, largest, 1e-6 * largest) << what << ", " << name;
      for (std::size_t i = begin; i < end; ++i) {
        double nearest = 10;
        for (double number : map)
          nearest = std::min(nearest, std::abs(number * scale - numbers[i]));
        // The smallest number above zero stands for all that are nearer to zero.
        if (&map == &second_map && numbers[i] > 0 && codes[i] == 1) continue;
        ASSERT_NEAR(std::abs(map[codes[i]] * scale - numbers[i]), nearest, 2e-6 * scale + 1e-30)
            << what << ", " << name << " of element " << i;
        if (&map == &second_map && numbers[i] > 1e-40) {
          ASSERT_NE(codes[i], 0) << what << ", " << name << " of element " << i;
        }
      }
    }
  };
  expect(got.first, got.first_scale, want.first, first_map, "first moment");
  expect(got.second, got.second_scale, want.second, second_map, "second moment");
}

}  // namespace pivotal::kernels
