// Apache-2.0. Recomputation changes memory, not numbers.
#include "model/recompute.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/support/small_phi.h"

namespace pivotal::model {
namespace {

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
