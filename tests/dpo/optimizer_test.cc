// Apache-2.0.
#include "dpo/optimizer.h"

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/small_phi.h"

namespace pivotal::dpo {
namespace {

// AdamW as in arXiv 1711.05101, algorithm 2, for one element, in doubles.
struct Element {
  double value, m = 0, v = 0;
  void Step(double g, int t, double lr, const OptimizerOptions& o, double decay) {
    value -= lr * decay * value;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    value -= lr * (m / (1 - std::pow(o.beta1, t))) /
             (std::sqrt(v / (1 - std::pow(o.beta2, t))) + o.epsilon);
  }
};

// Sets the gradient of every weight to `scale` times the weight plus a constant.
double SetGradients(const model::PhiModel& model, double scale) {
  double square = 0;
  for (const auto& [name, tensor] : model.parameters()) {
    at::Tensor handle = tensor;
    handle.mutable_grad() = tensor.detach() * scale + 0.5;
    square += handle.grad().pow(2).sum().item<double>();
  }
  return std::sqrt(square);
}

TEST(AdamW, MatchesTheAlgorithm) {
  const auto model = testing::InDouble(*testing::SmallPhi());
  OptimizerOptions options;
  options.learning_rate = 1e-2;
  options.weight_decay = 0.1;
  options.max_grad_norm = 3.0;
  AdamW optimizer(*model, options);
  const at::Tensor matrix = model->parameters().at("lm_head.weight").detach().flatten();
  const at::Tensor norm = model->parameters().at("model.norm.weight").detach();
  Element a{matrix[7].item<double>()}, b{norm[3].item<double>()};
  for (int t = 1; t <= 5; ++t) {
    const double ga = matrix[7].item<double>() * t + 0.5, gb = norm[3].item<double>() * t + 0.5;
    const double length = SetGradients(*model, t);
    ASSERT_GT(length, 3.0);
    EXPECT_NEAR(optimizer.Step(0.5), length, 1e-3 * length);
    a.Step(ga * 3.0 / length, t, 0.5e-2, options, 0.1);
    b.Step(gb * 3.0 / length, t, 0.5e-2, options, 0.0);  // norms are not decayed
    EXPECT_NEAR(matrix[7].item<double>(), a.value, 1e-6);
    EXPECT_NEAR(norm[3].item<double>(), b.value, 1e-6);
  }
}

TEST(AdamW, LeavesWeightsAloneWhenTheGradientIsNotFinite) {
  const auto model = testing::SmallPhi();
  AdamW optimizer(*model, {.learning_rate = 1});
  SetGradients(*model, 1);
  at::Tensor norm = model->parameters().at("model.norm.weight");
  norm.mutable_grad()[0] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor before = norm.detach().clone();
  EXPECT_FALSE(std::isfinite(optimizer.Step(1)));
  EXPECT_TRUE(norm.detach().equal(before));
  EXPECT_FALSE(norm.grad().defined());
}

TEST(AdamW, StopsAskingForGradientsWhenItEnds) {
  const auto model = testing::SmallPhi();
  { AdamW optimizer(*model, {}); }
  for (const auto& [name, tensor] : model->parameters()) EXPECT_FALSE(tensor.requires_grad()) << name;
}

}  // namespace
}  // namespace pivotal::dpo
