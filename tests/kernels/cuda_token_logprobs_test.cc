// Apache-2.0. The kernel's source runs on the CPU (tests/kernels/cuda_on_cpu.h); where there is a GPU, on that, too.
#include "kernels/cuda/token_logprobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "tests/kernels/cuda_elements.h"

namespace pivotal::kernels::cuda {

// Copies of the source with a mistake each (CMakeLists.txt).
void LogprobsWithoutBarrier(const TokenLogprobs& task, void* stream);
void LogprobsOutOfBounds(const TokenLogprobs& task, void* stream);
void LogprobsWithLanesAstray(const TokenLogprobs& task, void* stream);

namespace {

using cuda_on_cpu::Schedule;
using ::testing::HasSubstr;

struct Shape {
  int64_t tokens, hidden, vocab, splits = 3;
  bool bias = false;
};

class Logprobs {
 public:
  // Hidden states up to `size`, biases of `shift` +- 1.
  Logprobs(const Shape& shape, ElementType type, double size = 1, float shift = 0)
      : shape_(shape), hidden_("hidden", type, RandomFloats(shape.tokens * shape.hidden, size, 1)),
        weights_("weights", type, RandomFloats(shape.vocab * shape.hidden, 1, 2)),
        bias_("bias", Biases(shape, shift)),
        out_("logprobs", static_cast<std::size_t>(shape.tokens)) {
    RandomStream random(4, 4);
    for (int64_t t = 0; t < shape.tokens; ++t) targets_.push_back(static_cast<int32_t>(random.Below(shape.vocab)));
    targets_.front() = 0;
    targets_.back() = static_cast<int32_t>(shape.vocab) - 1;
    targets_array_.emplace("targets", targets_);
    task_ = {.type = type, .tokens = shape.tokens, .hidden_size = shape.hidden, .vocab = shape.vocab,
             .hidden = hidden_.data(), .weights = weights_.data(), .bias = shape.bias ? bias_.data() : nullptr,
             .targets = targets_array_->data(), .logprobs = out_.data(), .splits = shape.splits};
    workspace_.emplace("workspace", static_cast<std::size_t>(TokenLogprobsWorkspace(task_)));
    task_.workspace = workspace_->data();
  }

  const TokenLogprobs& task() const { return task_; }

  // Against the plain twin in double. A logit is a float32 sum of H products, off by H eps |h| |w| at most, and so
  // are the largest and the logarithm of the sum.
  void Check() const {
    const auto hidden = hidden_.values(), weights = weights_.values(), bias = bias_.values(), out = out_.values();
    for (int64_t t = 0; t < shape_.tokens; ++t) {
      std::vector<double> logits(shape_.vocab);
      double size = 1;
      for (int64_t v = 0; v < shape_.vocab; ++v) {
        double sizes = 0;
        for (int64_t i = 0; i < shape_.hidden; ++i) {
          const double product = double{hidden[t * shape_.hidden + i]} * weights[v * shape_.hidden + i];
          logits[v] += product;
          sizes += std::abs(product);
        }
        if (shape_.bias) {
          logits[v] += bias[v];
          sizes += std::abs(bias[v]);
        }
        size = std::max(size, sizes);
      }
      const double max = *std::ranges::max_element(logits);
      double sum = 0;
      for (double x : logits) sum += std::exp(x - max);
      const double want = logits[targets_[t]] - max - std::log(sum);
      const double bound = 0x1p-23 * (std::sqrt(static_cast<double>(shape_.hidden)) * size + std::abs(want) + 40);
      ASSERT_NEAR(out[t], want, bound) << Name(task_.type) << ", token " << t << " of " << shape_.tokens << ", vocabulary "
                                       << shape_.vocab;
    }
  }

 private:
  static std::vector<float> Biases(const Shape& shape, float shift) {
    auto biases = RandomFloats(shape.bias ? shape.vocab : 0, 1, 3);
    for (float& x : biases) x += shift;
    return biases;
  }

  Shape shape_;
  Elements hidden_, weights_;
  DeviceArray<float> bias_, out_;
  std::vector<int32_t> targets_;
  std::optional<DeviceArray<int32_t>> targets_array_;
  std::optional<DeviceArray<float>> workspace_;
  TokenLogprobs task_;
};

TEST(CudaTokenLogprobs, AreTheTwins) {
  for (const Shape& shape : {Shape{1, 1, 7}, Shape{3, 5, 7, 1}, Shape{1, 33, 64, 8}, Shape{65, 16, 65},
                             Shape{130, 20, 97, 4, true}, Shape{5, 48, 1031, 5, true}})
    for (const ElementType type : {ElementType::kFloat32, ElementType::kBfloat16, ElementType::kFloat16}) {
      Logprobs logprobs(shape, type);
      LaunchTokenLogprobs(logprobs.task(), nullptr);
      logprobs.Check();
    }
}

TEST(CudaTokenLogprobs, LargeLogits) {
  Logprobs logprobs({9, 24, 300}, ElementType::kFloat32, 200);
  LaunchTokenLogprobs(logprobs.task(), nullptr);
  logprobs.Check();
}

// So low that exp(logit) is nothing: words beyond the vocabulary, at 0, must not count.
TEST(CudaTokenLogprobs, LowLogits) {
  Logprobs logprobs({3, 8, 70, 2, true}, ElementType::kFloat32, 1, -1000);
  LaunchTokenLogprobs(logprobs.task(), nullptr);
  logprobs.Check();
}

// Phi-4's vocabulary, once.
TEST(CudaTokenLogprobs, AVocabularyOfAHundredThousand) {
  const cuda_on_cpu::ScopedSchedules schedules({Schedule::kForward});
  Logprobs logprobs({2, 4, 100352, 16}, ElementType::kBfloat16, 4);
  LaunchTokenLogprobs(logprobs.task(), nullptr);
  logprobs.Check();
}

TEST(CudaTokenLogprobs, RefusesShapes) {
  const Logprobs logprobs({2, 4, 7}, ElementType::kFloat32);
  TokenLogprobs task = logprobs.task();
  task.splits = 0;
  EXPECT_THROW(LaunchTokenLogprobs(task, nullptr), std::invalid_argument);
  task = logprobs.task();
  task.vocab = 0;
  EXPECT_THROW(LaunchTokenLogprobs(task, nullptr), std::invalid_argument);
}

#ifndef PIVOTAL_CUDA_ON_GPU
// A mistake planted into a copy of the source is found.
std::string Failure(void (*launch)(const TokenLogprobs&, void*)) {
  const Logprobs logprobs({67, 20, 97}, ElementType::kFloat32);
  try {
    launch(logprobs.task(), nullptr);
  } catch (const cuda_on_cpu::LaunchFailure& failure) {
    return failure.what();
  }
  return "nothing found";
}

TEST(CudaTokenLogprobs, AMissingBarrierIsFound) {
  EXPECT_THAT(Failure(LogprobsWithoutBarrier), HasSubstr("kernel SumWords"));
  EXPECT_THAT(Failure(LogprobsWithoutBarrier),
              HasSubstr(cuda_on_cpu::WatchesAccesses() ? "with no barrier between" : "depends on the order"));
}
TEST(CudaTokenLogprobs, AnAccessOutOfBoundsIsFound) {
  EXPECT_THAT(Failure(LogprobsOutOfBounds), HasSubstr("out of bounds: index 1340 of hidden"));
}
TEST(CudaTokenLogprobs, ADivergentShuffleIsFound) {
  EXPECT_THAT(Failure(LogprobsWithLanesAstray), HasSubstr("divergent warp"));
}
#endif

}  // namespace
}  // namespace pivotal::kernels::cuda
