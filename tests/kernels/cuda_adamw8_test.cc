// Apache-2.0. Tests the kernel's source on the CPU (tests/kernels/cuda_on_cpu.h) and, where there
// is one, on a GPU, against the formulas in double precision.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/cuda/adamw8.h"
#include "tests/kernels/adamw8_truth.h"
#include "tests/kernels/cuda_elements.h"

namespace pivotal::kernels::cuda {

// Launch functions of copies of the source, each with one mistake planted (CMakeLists.txt).
void AdamW8WithoutBarrier(const AdamW8Task& task, void* stream);
void AdamW8OutOfBounds(const AdamW8Task& task, void* stream);
void AdamW8WithALaneAstray(const AdamW8Task& task, void* stream);

namespace {

using ::testing::HasSubstr;

// A tensor on the device with its gradient and its state.
class Tensor {
 public:
  Tensor(int64_t size, ElementType type, ElementType gradient_type, bool has_master)
      : parameter_("parameter", type, RandomFloats(size, 2, 1)),
        gradient_("gradient", gradient_type, RandomFloats(size, 1e-2, 2)),
        master_("master", has_master ? parameter_.values() : std::vector<float>()),
        first_("first", TrueState(size).first),
        second_("second", TrueState(size).second),
        first_scale_("first_scale", TrueState(size).first_scale),
        second_scale_("second_scale", TrueState(size).second_scale),
        clip_("clip", std::vector<float>{0.5f}),
        skip_("skip", std::vector<float>{0}),
        tables_("tables", std::vector<MomentTables>{MomentTablesOnCpu()}) {
    task_.size = size;
    task_.type = type;
    task_.parameter = parameter_.data();
    task_.master = has_master ? master_.data() : nullptr;
    task_.gradient_type = gradient_type;
    task_.gradient = gradient_.data();
    task_.first = first_.data();
    task_.second = second_.data();
    task_.first_scale = first_scale_.data();
    task_.second_scale = second_scale_.data();
    task_.learning_rate = 1e-2f;
    task_.beta1 = 0.9f;
    task_.beta2 = 0.99f;
    task_.epsilon = 1e-6f;
    task_.weight_decay = 0.1f;
    task_.clip = clip_.data();
    task_.skip = skip_.data();
    task_.tables = tables_.data();
    SetStep(1);
  }
  AdamW8Task& task() { return task_; }
  void SetStep(int step) {
    task_.correction1 = static_cast<float>(1 - std::pow(task_.beta1, step));
    task_.correction2 = static_cast<float>(1 - std::pow(task_.beta2, step));
  }
  // What the step starts from: the float32 copy, if there is one.
  std::vector<float> trained() const {
    return task_.master != nullptr ? master_.values() : parameter_.values();
  }
  std::vector<float> parameter() const { return parameter_.values(); }
  std::vector<float> gradient() const {
    return task_.gradient != nullptr ? gradient_.values() : std::vector<float>();
  }
  TrueState state() const {
    TrueState state(task_.size);
    state.first = first_.values();
    state.second = second_.values();
    state.first_scale = first_scale_.values();
    state.second_scale = second_scale_.values();
    return state;
  }

 private:
  AdamW8Task task_;
  Elements parameter_, gradient_;
  DeviceArray<float> master_;
  DeviceArray<uint8_t> first_, second_;
  DeviceArray<float> first_scale_, second_scale_, clip_, skip_;
  DeviceArray<MomentTables> tables_;
};

TEST(CudaAdamW8, MatchesTheFormula) {
  struct Kind {
    ElementType type, gradient_type;
    bool has_master;
  };
  for (const Kind& kind : {Kind{ElementType::kFloat32, ElementType::kFloat32, false},
                           Kind{ElementType::kBfloat16, ElementType::kBfloat16, true},
                           Kind{ElementType::kBfloat16, ElementType::kFloat32, true},
                           Kind{ElementType::kBfloat16, ElementType::kBfloat16, false},
                           Kind{ElementType::kFloat16, ElementType::kFloat16, true}})
    for (const int64_t size : {3, 300, 2568}) {
      Tensor tensor(size, kind.type, kind.gradient_type, kind.has_master);
      for (int t = 1; t <= 3; ++t) {
        if (t == 3) tensor.task().gradient = nullptr;
        tensor.SetStep(t);
        const TrueStep want =
            Step(tensor.task(), tensor.state(), tensor.trained(), tensor.gradient(), 0.5);
        LaunchAdamW8(tensor.task(), nullptr);
        const auto got = tensor.trained(), rounded = tensor.parameter();
        const std::string what = Name(kind.type) + ", " + std::to_string(size);
        for (int64_t i = 0; i < size; ++i) {
          const double rounding = std::abs(want.parameter[i]) * Rounding(kind.type) * 2;
          ASSERT_NEAR(got[i], want.parameter[i], 1e-6 + (kind.has_master ? 0 : rounding))
              << what << ", element " << i;
          ASSERT_NEAR(rounded[i], want.parameter[i], 1e-6 + rounding) << what << ", element " << i;
        }
        ExpectKept(tensor.state(), want, what);
      }
    }
}

TEST(CudaAdamW8, RoundsAtRandomAsTheCpuDoes) {
  Tensor tensor(1000, ElementType::kBfloat16, ElementType::kBfloat16, false);
  Tensor nearest(1000, ElementType::kBfloat16, ElementType::kBfloat16, true);
  tensor.task().stochastic = true;
  tensor.task().seed = 0x123456789abcull;
  LaunchAdamW8(tensor.task(), nullptr);
  LaunchAdamW8(nearest.task(), nullptr);
  const auto got = tensor.parameter(), exact = nearest.trained();
  for (int64_t i = 0; i < 1000; ++i) {
    const uint64_t random = RoundingBits(tensor.task().seed, i / 4) >> (16 * (i % 4));
    EXPECT_EQ(got[i], __bfloat162float(__ushort_as_bfloat16(RandomlyRounded(exact[i], random))))
        << i;
  }
}

TEST(CudaAdamW8, SkipsAStep) {
  Tensor tensor(300, ElementType::kFloat32, ElementType::kFloat32, false);
  DeviceArray<float> skip("skip", std::vector<float>{1});
  tensor.task().skip = skip.data();
  const auto before = tensor.parameter();
  LaunchAdamW8(tensor.task(), nullptr);
  EXPECT_EQ(tensor.parameter(), before);
  EXPECT_EQ(tensor.state().first, TrueState(300).first);
}

#ifndef PIVOTAL_CUDA_ON_GPU

std::string FailureOf(void (*launch)(const AdamW8Task&, void*), int64_t size) {
  Tensor tensor(size, ElementType::kFloat32, ElementType::kFloat32, false);
  try {
    launch(tensor.task(), nullptr);
  } catch (const cuda_on_cpu::LaunchFailure& failure) {
    return failure.what();
  }
  return "";
}

TEST(CudaAdamW8, PlantedMistakesAreFound) {
  EXPECT_EQ(FailureOf(LaunchAdamW8, 300), "");
  EXPECT_THAT(FailureOf(AdamW8WithoutBarrier, 300), HasSubstr("StepMomentBlocks"));
  EXPECT_THAT(FailureOf(AdamW8OutOfBounds, 300), HasSubstr("StepMomentBlocks"));
  EXPECT_THAT(FailureOf(AdamW8WithALaneAstray, 300), HasSubstr("StepMomentBlocks"));
}

#endif

}  // namespace
}  // namespace pivotal::kernels::cuda
