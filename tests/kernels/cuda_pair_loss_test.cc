// Apache-2.0. The kernels' source runs on the CPU (tests/kernels/cuda_on_cpu.h); where there is a GPU, on that, too.
#include "kernels/cuda/pair_loss.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "tests/kernels/cuda_elements.h"

namespace pivotal::kernels::cuda {

// Copies of the source with a mistake each (CMakeLists.txt).
void PairLossOutOfBounds(const PairLoss& task, void* stream);
void PairLossWithLanesAstray(const PairLoss& task, void* stream);

namespace {

using ::testing::HasSubstr;

// dpo::LossType::kSigmoid by its formula, of c - r.
double Textbook(const PairLossOptions& o, double difference) {
  const auto minus_log_sigmoid = [](double x) { return x > 0 ? std::log1p(std::exp(-x)) : std::log1p(std::exp(x)) - x; };
  const double s = double{o.beta} * difference, e = o.label_smoothing;
  return (1 - e) * minus_log_sigmoid(s) + e * minus_log_sigmoid(-s);
}
// By finite differences, fourth order.
double Slope(const PairLossOptions& o, double at) {
  const double h = 1e-3 / o.beta;
  return (8 * (Textbook(o, at + h) - Textbook(o, at - h)) - (Textbook(o, at + 2 * h) - Textbook(o, at - 2 * h))) / (12 * h);
}

// A few ulps of float32 for values of this size.
double Bound(double value) { return 4e-7 * (std::abs(value) + 1e-3); }

const std::vector<PairLossOptions> kOptions = {
    {}, {.beta = 1, .label_smoothing = 0.25f}, {.beta = 0.05f, .label_smoothing = 0.1f, .gradient_scale = 1.0f / 6}};

class Pairs {
 public:
  // `lengths`: tokens of sides, chosen and rejected in turn.
  Pairs(const PairLossOptions& options, const std::vector<int32_t>& lengths, double size)
      : ends_{0}, reference_(RandomFloats(std::ssize(lengths), size, 2)), options_(options) {
    for (int32_t length : lengths) ends_.push_back(ends_.back() + length);
    logprobs_ = RandomFloats(ends_.back(), size, 1);
    const std::size_t pairs = lengths.size() / 2;
    in_.emplace("logprobs", logprobs_);
    reference_in_.emplace("reference", reference_);
    ends_in_.emplace("ends", ends_);
    loss_.emplace("loss", pairs);
    rewards_.emplace("rewards", 2 * pairs);
    gradient_.emplace("gradient", logprobs_.size());
    task_ = {options, static_cast<int64_t>(pairs), in_->data(), ends_in_->data(), reference_in_->data(), loss_->data(),
             rewards_->data(), gradient_->data()};
  }

  const PairLoss& task() const { return task_; }

  void Check() const {
    const auto loss = loss_->values(), rewards = rewards_->values(), gradient = gradient_->values();
    for (std::size_t p = 0; p < loss.size(); ++p) {
      double ratio[2];
      for (int side = 0; side < 2; ++side) {
        ratio[side] = -double{reference_[2 * p + side]};
        for (int32_t i = ends_[2 * p + side]; i < ends_[2 * p + side + 1]; ++i) ratio[side] += logprobs_[i];
        const double reward = double{options_.beta} * ratio[side];
        EXPECT_NEAR(rewards[2 * p + side], reward, Bound(reward));
      }
      const double want = Textbook(options_, ratio[0] - ratio[1]);
      const double slope = Slope(options_, ratio[0] - ratio[1]) * options_.gradient_scale;
      EXPECT_NEAR(loss[p], want, Bound(want)) << "pair " << p;
      for (int32_t i = ends_[2 * p]; i < ends_[2 * p + 2]; ++i)
        EXPECT_NEAR(gradient[i], i < ends_[2 * p + 1] ? slope : -slope, 1e-8 + Bound(slope))
            << "pair " << p << ", token " << i;
    }
  }

 private:
  std::vector<int32_t> ends_;
  std::vector<float> reference_, logprobs_;
  PairLossOptions options_;
  std::optional<DeviceArray<float>> in_, reference_in_, loss_, rewards_, gradient_;
  std::optional<DeviceArray<int32_t>> ends_in_;
  PairLoss task_;
};

TEST(CudaPairLoss, IsTheTextbooks) {
  const std::vector<std::vector<int32_t>> lengths = {
      {1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {3, 70}, {33, 0, 0, 5, 200, 199, 1, 31, 32, 64, 7, 1}};
  for (const PairLossOptions& options : kOptions)
    for (const auto& sides : lengths)
      for (double size : {0.5, 20.0}) {
        Pairs pairs(options, sides, size);
        LaunchPairLoss(pairs.task(), nullptr);
        pairs.Check();
      }
}

TEST(CudaPairLoss, FiniteForHugeMargins) {
  Pairs pairs({.beta = 1}, {1, 1, 1, 1, 1, 1, 1, 1}, 4000);
  LaunchPairLoss(pairs.task(), nullptr);
  pairs.Check();
}

TEST(CudaTokenPairLoss, IsThatOfTwoRows) {
  for (const ElementType type : {ElementType::kFloat32, ElementType::kBfloat16, ElementType::kFloat16})
    for (const PairLossOptions& options : kOptions)
      for (const bool with_bias : {false, true})
        for (const auto& [pairs, size, vocab] : std::vector<std::array<int64_t, 3>>{{1, 1, 2}, {5, 33, 7}, {9, 64, 300}}) {
          Elements hidden("hidden", type, RandomFloats(pairs * size, 1, 1));
          Elements weights("weights", type, RandomFloats(vocab * size, 1, 2));
          const auto bias = RandomFloats(vocab, 1, 3), reference = RandomFloats(pairs, 2, 4);
          std::vector<int32_t> tokens;
          for (int64_t p = 0; p < pairs; ++p) {
            tokens.push_back(static_cast<int32_t>(5 * p % vocab));
            tokens.push_back(static_cast<int32_t>((vocab - 1 + 3 * p) % vocab));
          }
          DeviceArray<float> bias_in("bias", bias), reference_in("reference", reference), loss("loss", pairs),
              margin_gradient("margin gradient", pairs), hidden_gradient("hidden gradient", pairs * size);
          DeviceArray<int32_t> tokens_in("tokens", tokens);
          LaunchTokenPairLoss({options, type, pairs, size, hidden.data(), weights.data(),
                               with_bias ? bias_in.data() : nullptr, tokens_in.data(), reference_in.data(), loss.data(),
                               margin_gradient.data(), hidden_gradient.data()}, nullptr);
          const auto h = hidden.values(), w = weights.values();
          for (int64_t p = 0; p < pairs; ++p) {
            const int64_t up = tokens[2 * p], down = tokens[2 * p + 1];
            double margin = with_bias ? double{bias[up]} - bias[down] : 0;
            for (int64_t i = 0; i < size; ++i)
              margin += h[p * size + i] * (double{w[up * size + i]} - w[down * size + i]);
            const double off = 4e-7 * static_cast<double>(size);  // of a float32 sum of terms below 2
            const double want = Textbook(options, margin - reference[p]);
            const double slope = Slope(options, margin - reference[p]) * options.gradient_scale;
            ASSERT_NEAR(loss.values()[p], want, Bound(want) + options.beta * off);
            ASSERT_NEAR(margin_gradient.values()[p], slope, 1e-8 + Bound(slope) + options.beta * options.beta * off);
            for (int64_t i = 0; i < size; ++i)
              ASSERT_NEAR(hidden_gradient.values()[p * size + i], slope * (double{w[up * size + i]} - w[down * size + i]),
                          2e-8 + 2 * Bound(slope) + 2 * options.beta * options.beta * off);
          }
        }
}

#ifndef PIVOTAL_CUDA_ON_GPU
// A mistake planted into a copy of the source is found.
std::string Failure(void (*launch)(const PairLoss&, void*)) {
  const Pairs pairs({}, {33, 2, 40, 5}, 1);
  try {
    launch(pairs.task(), nullptr);
  } catch (const cuda_on_cpu::LaunchFailure& failure) {
    return failure.what();
  }
  return "nothing found";
}

TEST(CudaPairLoss, AnAccessOutOfBoundsIsFound) {
  EXPECT_THAT(Failure(PairLossOutOfBounds), HasSubstr("out of bounds: index 80 of logprobs"));
}
TEST(CudaPairLoss, ADivergentShuffleIsFound) {
  EXPECT_THAT(Failure(PairLossWithLanesAstray), HasSubstr("divergent warp"));
}
#endif

}  // namespace
}  // namespace pivotal::kernels::cuda
