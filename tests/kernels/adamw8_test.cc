// Apache-2.0.
#include "kernels/adamw8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cpu_kernels.h"
#include "kernels/philox.h"
#include "tests/kernels/adamw8_truth.h"

namespace pivotal::kernels {
namespace {

std::vector<float> Numbers(int64_t size, double range, uint64_t seed) {
  RandomStream random(seed, 3);
  std::vector<float> values(static_cast<std::size_t>(size));
  // Over many magnitudes.
  for (float& v : values)
    v = static_cast<float>(range * (2 * random.Uniform() - 1) *
                           std::pow(10, -6 * random.Uniform()));
  return values;
}

std::vector<uint16_t> Bfloat16(const std::vector<float>& values) {  // cut off, not rounded
  std::vector<uint16_t> bits(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    uint32_t whole = 0;
    std::memcpy(&whole, &values[i], sizeof(whole));
    bits[i] = static_cast<uint16_t>(whole >> 16);
  }
  return bits;
}
std::vector<float> Wide(const std::vector<uint16_t>& bits) {
  std::vector<float> values(bits.size());
  for (std::size_t i = 0; i < bits.size(); ++i) {
    const uint32_t whole = static_cast<uint32_t>(bits[i]) << 16;
    std::memcpy(&values[i], &whole, sizeof(whole));
  }
  return values;
}

TEST(MomentTables, AreTheDynamicMaps) {
  const MomentTables& tables = MomentTablesOnCpu();
  const auto first = TrueMap(true), second = TrueMap(false);
  ASSERT_EQ(first.size(), 256U);
  ASSERT_EQ(second.size(), 256U);
  for (int code = 0; code < 256; ++code) {
    EXPECT_NEAR(tables.first[code], first[code], 1e-7 * std::abs(first[code])) << code;
    EXPECT_NEAR(tables.second[code], second[code], 1e-7 * second[code]) << code;
  }
}

TEST(MomentTables, CodesAreTheNearest) {
  const MomentTables& tables = MomentTablesOnCpu();
  const auto nearest = [](const float(&map)[256], float x) {
    float distance = 10;
    for (float number : map) distance = std::min(distance, std::abs(number - x));
    return distance;
  };
  // Every 61st float32 from far below the smallest number to 1.
  for (uint32_t bits = 90u << 23; bits <= 127u << 23; bits += 61 << 8) {
    float x = 0;
    std::memcpy(&x, &bits, sizeof(x));
    for (float y : {x, -x}) {
      const float got = tables.first[FirstMomentCode(y, tables)];
      ASSERT_NEAR(std::abs(got - y), nearest(tables.first, y), 1e-7f * x) << y;
    }
    const uint8_t code = SecondMomentCode(x, tables);
    ASSERT_GT(code, 0) << x;
    if (code > 1) {
      ASSERT_NEAR(std::abs(tables.second[code] - x), nearest(tables.second, x), 1e-7f * x) << x;
    }
  }
  for (int code = 0; code < 256; ++code) {
    EXPECT_EQ(FirstMomentCode(tables.first[code], tables), code);
    EXPECT_EQ(SecondMomentCode(tables.second[code], tables), code);
  }
}

class AdamW8 : public ::testing::TestWithParam<Isa> {
 protected:
  static AdamW8Task Task(int64_t size, TrueState& state) {
    AdamW8Task task;
    task.size = size;
    task.first = state.first.data();
    task.second = state.second.data();
    task.first_scale = state.first_scale.data();
    task.second_scale = state.second_scale.data();
    task.learning_rate = 1e-2f;
    task.beta1 = 0.9f;
    task.beta2 = 0.99f;
    task.epsilon = 1e-6f;
    task.weight_decay = 0.1f;
    task.tables = &MomentTablesOnCpu();
    return task;
  }
  static void SetStep(AdamW8Task& task, int step) {
    task.correction1 = static_cast<float>(1 - std::pow(task.beta1, step));
    task.correction2 = static_cast<float>(1 - std::pow(task.beta2, step));
  }
  void Run(const AdamW8Task& task) const { KernelsFor(GetParam()).adamw8(task, 0, task.Blocks()); }
};

TEST_P(AdamW8, MatchesTheFormula) {
  for (const int64_t size : {1, 7, 256, 300, 1024, 1999}) {
    TrueState state(size);
    AdamW8Task task = Task(size, state);
    std::vector<float> parameter = Numbers(size, 2, 1);
    task.parameter = parameter.data();
    const float clip = 0.5f;
    task.clip = &clip;
    for (int t = 1; t <= 4; ++t) {
      const auto gradient = t == 3 ? std::vector<float>() : Numbers(size, 1e-2, 10 + t);
      task.gradient = t == 3 ? nullptr : gradient.data();
      SetStep(task, t);
      const TrueStep want = Step(task, state, parameter, gradient, clip);
      Run(task);
      for (int64_t i = 0; i < size; ++i)
        ASSERT_NEAR(parameter[i], want.parameter[i], 1e-6) << i << " of " << size << ", step " << t;
      ExpectKept(state, want, "step " + std::to_string(t));
    }
  }
}

TEST_P(AdamW8, Updates16BitParameters) {
  constexpr int64_t kSize = 777;
  for (const bool has_master : {true, false}) {
    TrueState state(kSize), whole_state(kSize);
    AdamW8Task task = Task(kSize, state), whole = Task(kSize, whole_state);
    std::vector<uint16_t> parameter = Bfloat16(Numbers(kSize, 2, 1));
    std::vector<float> master = Wide(parameter), reference = master;
    task.type = task.gradient_type = ElementType::kBfloat16;
    task.parameter = parameter.data();
    if (has_master) task.master = master.data();
    for (int t = 1; t <= 3; ++t) {
      const auto half_gradient = Bfloat16(Numbers(kSize, 1e-2, 10 + t));
      const auto gradient = Wide(half_gradient);
      task.gradient = half_gradient.data();
      whole.gradient = gradient.data();
      SetStep(task, t);
      SetStep(whole, t);
      if (!has_master) reference = Wide(parameter);
      whole.parameter = reference.data();
      Run(task);
      Run(whole);
      if (has_master) {
        EXPECT_EQ(master, reference);
      }
      const auto rounded = Wide(parameter);
      for (int64_t i = 0; i < kSize; ++i)
        ASSERT_NEAR(rounded[i], reference[i], std::abs(reference[i]) * 0x1p-8 + 1e-38) << i;
      EXPECT_EQ(state.first, whole_state.first);
      EXPECT_EQ(state.second, whole_state.second);
      EXPECT_EQ(state.first_scale, whole_state.first_scale);
    }
  }
}

TEST_P(AdamW8, Float16IsRoundedToTheNearest) {
  // A float16 has a fraction of ten bits; below 2^-14 its spacing is 2^-24.
  std::vector<float> values = {
      0,      1,        -1,       1 + 0x1p-11f, 1 + 0x3p-11f,        65504,       65519,      65520,
      -70000, 0x1p-24f, 0x1p-25f, 0x1.8p-25f,   0x1p-14f - 0x1p-26f, 0x1.ffcp-1f, 0x1.fffp-1f};
  const std::vector<uint16_t> want = {0,      0x3C00, 0xBC00, 0x3C00, 0x3C02,
                                      0x7BFF, 0x7BFF, 0x7C00, 0xFC00, 1,
                                      0,      1,      0x0400, 0x3BFF, 0x3C00};
  const auto size = static_cast<int64_t>(values.size());
  TrueState state(size);
  AdamW8Task task = Task(size, state);
  task.weight_decay = 0;
  std::vector<uint16_t> parameter(values.size());
  task.type = ElementType::kFloat16;
  task.parameter = parameter.data();
  task.master = values.data();  // without gradient, copied as they are
  Run(task);
  EXPECT_EQ(parameter, want);
}

TEST_P(AdamW8, RandomRoundingFollowsOnAverage) {
  constexpr int64_t kSize = 1 << 16;
  TrueState state(kSize);
  AdamW8Task task = Task(kSize, state);
  task.weight_decay = 0;
  task.learning_rate = 1e-4f;  // a fortieth of the spacing of bfloat16 below 1
  task.type = ElementType::kBfloat16;
  task.stochastic = true;
  std::vector<uint16_t> parameter = Bfloat16(std::vector<float>(kSize, 1));
  const std::vector<float> gradient(kSize, 1);
  task.parameter = parameter.data();
  task.gradient = gradient.data();
  for (int t = 1; t <= 10; ++t) {
    task.seed = t;
    SetStep(task, t);
    Run(task);
  }
  double sum = 0;
  for (float x : Wide(parameter)) sum += x;
  EXPECT_NEAR(sum / kSize, 1 - 1e-3, 5 * 2e-3 / std::sqrt(kSize));
  // Neighbours, and the same element in other steps, are rounded independently.
  double both = 0;
  const auto values = Wide(parameter);
  for (int64_t i = 0; i + 1 < kSize; ++i) both += (values[i] < 1) && (values[i + 1] < 1);
  double one = 0;
  for (float x : values) one += x < 1;
  EXPECT_NEAR(both / kSize, one / kSize * one / kSize, 6 * std::sqrt(both) / kSize);
}

TEST_P(AdamW8, AnElementThatGetsNoMoreGradientDoesNotRunAway) {
  // Its second moment is far below the smallest number above zero; its first moment is not.
  constexpr int64_t kSize = 256;
  TrueState state(kSize);
  AdamW8Task task = Task(kSize, state);
  task.weight_decay = 0;
  task.epsilon = 1e-8f;
  std::vector<float> parameter(kSize, 1), gradient(kSize, 1);
  gradient[5] = 1e-5f;
  task.parameter = parameter.data();
  task.gradient = gradient.data();
  SetStep(task, 1);
  Run(task);
  const float before = parameter[5];
  gradient[5] = 0;
  SetStep(task, 2);
  Run(task);
  EXPECT_LE(std::abs(parameter[5] - before), task.learning_rate);
}

TEST_P(AdamW8, SkipsAStep) {
  TrueState state(300);
  AdamW8Task task = Task(300, state);
  std::vector<float> parameter = Numbers(300, 1, 1);
  const std::vector<float> gradient(300, NAN), before = parameter;
  task.parameter = parameter.data();
  task.gradient = gradient.data();
  const float skip = 1;
  task.skip = &skip;
  Run(task);
  EXPECT_EQ(parameter, before);
  EXPECT_EQ(state.first, TrueState(300).first);
  EXPECT_EQ(state.first_scale, TrueState(300).first_scale);
}

TEST_P(AdamW8, IsTheSameToTheBitInEverySet) {
  constexpr int64_t kSize = 1999;
  const auto run = [&](Isa isa) {
    TrueState state(kSize);
    AdamW8Task task = Task(kSize, state);
    std::vector<float> parameter = Numbers(kSize, 2, 1);
    task.parameter = parameter.data();
    for (int t = 1; t <= 3; ++t) {
      const auto gradient = Numbers(kSize, 1e-2, 10 + t);
      task.gradient = gradient.data();
      SetStep(task, t);
      KernelsFor(isa).adamw8(task, 0, 3);
      KernelsFor(isa).adamw8(task, 3, task.Blocks());
    }
    return std::pair(parameter, state.second);
  };
  EXPECT_EQ(run(GetParam()), run(Isa::kPortable));
}

INSTANTIATE_TEST_SUITE_P(Isas, AdamW8, ::testing::ValuesIn(SupportedIsas()),
                         [](const auto& info) { return std::string(IsaName(info.param)); });

}  // namespace
}  // namespace pivotal::kernels
