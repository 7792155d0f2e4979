// Apache-2.0.
#include "model/rms_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/rms_norm.h>
#include <gtest/gtest.h>

namespace pivotal::model {
namespace {

at::Tensor Leaf(at::IntArrayRef shape, at::ScalarType type) {
  return at::rand(shape, at::TensorOptions(at::kDouble)).sub(0.5).to(type).requires_grad_(true);
}

// Gradients of a sum weighed by `by`.
void Backward(const at::Tensor& y, const at::Tensor& by) { (y * by).sum().backward(); }

TEST(RmsNorm, IsThatOfLibTorchWithItsGradients) {
  for (at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const at::Tensor x = Leaf({2, 5, 64}, type), weight = Leaf({64}, type);
    const at::Tensor x2 = x.detach().clone().requires_grad_(true);
    const at::Tensor weight2 = weight.detach().clone().requires_grad_(true);
    const at::Tensor by = at::rand({2, 5, 64}, x.options().requires_grad(false));
    const at::Tensor got = RmsNorm(x, weight, 1e-5);
    const at::Tensor want = at::rms_norm(x2, {64}, weight2, 1e-5);
    EXPECT_TRUE(at::equal(got, want)) << type;
    Backward(got, by);
    Backward(want, by);
    const double near = type == at::kDouble ? 1e-13 : 1e-5;
    EXPECT_TRUE(x.grad().allclose(x2.grad(), near, near)) << type;
    EXPECT_TRUE(weight.grad().allclose(weight2.grad(), near, near)) << type;
  }
}

TEST(RmsNorm, AFrozenWeightHasNoGradient) {
  const at::Tensor x = Leaf({3, 8}, at::kDouble);
  const at::Tensor weight = at::rand({8}, at::TensorOptions(at::kDouble));
  RmsNorm(x, weight, 1e-5).sum().backward();
  EXPECT_TRUE(x.grad().defined());
  EXPECT_FALSE(weight.grad().defined());
}

}  // namespace
}  // namespace pivotal::model
