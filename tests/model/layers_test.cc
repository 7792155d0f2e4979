// Apache-2.0. Compares parts of a layer with LibTorch's operators, and recomputed gradients with
// plain ones.
#include "model/layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/support/small_phi.h"

namespace pivotal::model {
namespace {

at::Tensor Leaf(at::IntArrayRef shape, at::ScalarType type) {
  return at::rand(shape, at::TensorOptions(at::kDouble)).sub(0.5).to(type).requires_grad_(true);
}

// Computes the gradients of sum(y * weights).
void Backward(const at::Tensor& y, const at::Tensor& weights) { (y * weights).sum().backward(); }

TEST(RmsNorm, EqualsLibTorchsWithItsGradients) {
  for (at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const at::Tensor x = Leaf({2, 5, 64}, type), weight = Leaf({64}, type);
    const at::Tensor x2 = x.detach().clone().requires_grad_(true);
    const at::Tensor weight2 = weight.detach().clone().requires_grad_(true);
    const at::Tensor weights = at::rand({2, 5, 64}, x.options().requires_grad(false));
    const at::Tensor got = RmsNorm(x, weight, 1e-5);
    const at::Tensor want = at::rms_norm(x2, {64}, weight2, 1e-5);
    EXPECT_TRUE(at::equal(got, want)) << type;
    Backward(got, weights);
    Backward(want, weights);
    const double near = type == at::kDouble ? 1e-13 : type == at::kFloat ? 1e-5 : 2e-2;
    EXPECT_TRUE(x.grad().allclose(x2.grad(), near, near)) << type;
    EXPECT_TRUE(weight.grad().allclose(weight2.grad(), near, near)) << type;
  }
}

// In 16 bits gradients are rounded once, at the end.
TEST(RmsNorm, GradientsIn16BitsAreThoseOfFloat64Rounded) {
  for (at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const at::Tensor x = Leaf({2, 5, 64}, type), weight = Leaf({64}, type);
    const auto wide = [](const at::Tensor& t) {
      return t.detach().to(at::kDouble).requires_grad_(true);
    };
    const at::Tensor x2 = wide(x), weight2 = wide(weight);
    const at::Tensor weights = at::rand({2, 5, 64}, x.options().requires_grad(false));
    Backward(RmsNorm(x, weight, 1e-5), weights);
    Backward(at::rms_norm(x2, {64}, weight2, 1e-5), weights.to(at::kDouble));
    const double near = type == at::kHalf ? 0x1p-11 : 0x1p-8;
    EXPECT_TRUE(x.grad().to(at::kDouble).allclose(x2.grad(), near, 1e-5)) << type;
    EXPECT_TRUE(weight.grad().to(at::kDouble).allclose(weight2.grad(), near, 1e-5)) << type;
  }
}

TEST(RmsNorm, AFrozenWeightHasNoGradient) {
  const at::Tensor x = Leaf({3, 8}, at::kDouble);
  const at::Tensor weight = at::rand({8}, at::TensorOptions(at::kDouble));
  RmsNorm(x, weight, 1e-5).sum().backward();
  EXPECT_TRUE(x.grad().defined());
  EXPECT_FALSE(weight.grad().defined());
}

TEST(SwiGlu, EqualsLibTorchsOperatorsWithTheirGradient) {
  for (at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const at::Tensor x = Leaf({2, 5, 2 * 37}, type);
    const at::Tensor x2 = x.detach().clone().requires_grad_(true);
    const at::Tensor weights = at::rand({2, 5, 37}, x.options().requires_grad(false));
    const at::Tensor got = SwiGlu(x);
    const auto halves = x2.chunk(2, -1);
    const at::Tensor want = at::silu(halves[0]) * halves[1];
    EXPECT_TRUE(at::equal(got, want)) << type;
    EXPECT_TRUE(at::equal(SwiGlu(x.detach()), want)) << type;
    Backward(got, weights);
    Backward(want, weights);
    EXPECT_TRUE(at::equal(x.grad(), x2.grad())) << type;
  }
}

TEST(Rope, RotatesHalvesByTheFormulaWithItsGradient) {
  for (const double partial : {1.0, 0.5}) {
    auto config = testing::SmallConfig();
    config.head_dim = 12;
    config.rope.partial = partial;
    const auto half = config.rotary_dim() / 2;
    const Rope rope(config, at::TensorOptions(at::kDouble));
    const at::Tensor positions = at::arange(7, at::kLong).unsqueeze(0) * 3;
    const RopeAngles angles = rope.Angles(positions, at::Tensor());
    const at::Tensor x = Leaf({1, 7, 3, 2 * half}, at::kDouble);
    const at::Tensor weights = at::rand(x.sizes(), at::TensorOptions(at::kDouble));
    Backward(RotateHalves(x, angles), weights);
    const at::Tensor x2 = x.detach().clone().requires_grad_(true);
    const at::Tensor cos = angles.cos.slice(-1, 0, half), sin = angles.sin.slice(-1, half);
    const auto halves = x2.chunk(2, -1);
    const at::Tensor want =
        at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1);
    Backward(want, weights);
    EXPECT_TRUE(RotateHalves(x, angles).allclose(want, 1e-14, 1e-14));
    EXPECT_TRUE(RotateHalves(x.detach(), angles).allclose(want, 1e-14, 1e-14));
    EXPECT_TRUE(rope.Rotate(x, angles).allclose(want, 1e-14, 1e-14));
    EXPECT_TRUE(x.grad().allclose(x2.grad(), 1e-14, 1e-14));
  }
}

TEST(Recompute, RunsAgainInTheBackwardPass) {
  int calls = 0;
  const at::Tensor weight = at::arange(3, at::kDouble).requires_grad_(true);
  const at::Tensor x = (at::arange(3, at::kDouble) + 1).requires_grad_(true);
  const auto f = [&](const at::Tensor& input) {
    ++calls;
    return (input * weight).square();
  };
  const at::Tensor y = Recompute(f, x);
  EXPECT_EQ(calls, 1);
  y.sum().backward();
  EXPECT_EQ(calls, 2);
  const at::Tensor gx = x.grad().clone(), gw = weight.grad().clone();
  x.mutable_grad().reset();
  weight.mutable_grad().reset();
  f(x).sum().backward();
  EXPECT_TRUE(gx.equal(x.grad()));
  EXPECT_TRUE(gw.equal(weight.grad()));
}

TEST(Recompute, ReachesWeightsBehindAFrozenInput) {
  const at::Tensor weight = at::arange(3, at::kDouble).requires_grad_(true);
  const at::Tensor frozen = at::arange(3, at::kDouble);
  Recompute([&](const at::Tensor& input) { return input * weight; }, frozen).sum().backward();
  EXPECT_TRUE(weight.grad().equal(frozen));
}

TEST(ActivationCheckpointing, GivesTheSameGradients) {
  const auto model = testing::SmallPhi();
  ForestBuilder builder(model->config().rope);
  builder.Add({1, 5, 6, 7, 8, 9, 10, 11, 12, 20, 21}, 12);
  builder.Add({1, 5, 6, 7, 8, 9, 10, 11, 12, 30}, 12);
  builder.Add({1, 40}, 3);
  const TokenForest forest = builder.Build(at::kCPU);
  const int64_t sources[] = {builder.Node(0, 3), builder.Node(0, 10), builder.Node(1, 9)};
  std::vector<int64_t> ascending(std::begin(sources), std::end(sources));
  std::ranges::sort(ascending);
  std::map<std::string, at::Tensor> plain;
  for (bool on : {false, true}) {
    model->set_activation_checkpointing(on);
    for (auto [name, weight] : model->parameters()) weight.requires_grad_(true);
    model->Logits(model->Hidden(forest, ascending)).square().sum().backward();
    for (auto [name, weight] : model->parameters()) {
      if (on) {
        EXPECT_TRUE(weight.grad().allclose(plain[name], 1e-5, 1e-6)) << name;
      }
      plain[name] = weight.grad().clone();
      weight.mutable_grad().reset();
    }
  }
}

}  // namespace
}  // namespace pivotal::model
