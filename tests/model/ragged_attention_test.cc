// Apache-2.0. Attention in one call over a forest is that of its segments, one after another.
#include "model/ragged_attention.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/philox.h"
#include "model/attention.h"
#include "model/checkpoint.h"
#include "tests/support/ragged_formula.h"
#include "tests/support/small_phi.h"

namespace pivotal::model {
namespace {

// A forest of sequences that branch off one another at random places. Every third sequence lies
// beyond LongRoPE's limit if `rope` has one below 30.
TokenForest RandomForest(uint64_t seed, const RopeConfig& rope) {
  kernels::RandomStream random(seed, kernels::MixStream(0, "ragged test"));
  std::vector<std::vector<TokenId>> all;
  ForestBuilder builder(rope);
  for (int64_t i = 0; i < 9; ++i) {
    std::vector<TokenId> next = {1};
    if (i > 0 && random.Below(4) > 0) {
      const auto& from = all[random.Below(i)];
      next.assign(from.begin(), from.begin() + 1 + random.Below(static_cast<int64_t>(from.size())));
    }
    for (auto more = 1 + random.Below(18); more > 0 && next.size() < 40; --more)
      next.push_back(static_cast<TokenId>(4 + random.Below(50)));
    builder.Add(next, i % 3 == 0 ? 90 : 10);
    all.push_back(std::move(next));
  }
  return builder.Build(at::kCPU);
}

std::vector<int64_t> RandomSources(uint64_t seed, int64_t nodes) {
  kernels::RandomStream random(seed, kernels::MixStream(1, "ragged test"));
  std::vector<int64_t> sources = {random.Below(nodes)};
  for (int64_t i = 0; i < nodes; ++i)
    if (random.Below(4) == 0 && i != sources[0]) sources.push_back(i);
  std::ranges::sort(sources);
  return sources;
}

struct Inputs {
  at::Tensor query, key, value;
};

Inputs RandomInputs(const PhiConfig& config, int64_t nodes) {
  const auto random = [&](int64_t heads) {
    return at::randn({nodes, heads, config.head_dim}, at::TensorOptions(at::kDouble));
  };
  const at::Tensor query = random(config.num_attention_heads);
  const at::Tensor key = random(config.num_key_value_heads);
  return {query, key, random(config.num_key_value_heads)};
}

// The output of a layer, and the gradients of its sum times fixed random weights.
std::vector<at::Tensor> OutputAndGradients(const ForestAttention& attention, int64_t layer,
                                           const Inputs& inputs, at::TensorOptions options) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& t : {inputs.query, inputs.key, inputs.value})
    leaves.push_back(t.to(options.device(), c10::typeMetaToScalarType(options.dtype()), false, true)
                         .requires_grad_(true));
  const at::Tensor out = attention(layer, leaves[0], leaves[1], leaves[2]);
  const at::Tensor weights =
      at::arange(out.numel(), at::TensorOptions(at::kDouble)).sin().view(out.sizes()).to(options);
  (out * weights).sum().backward();
  std::vector<at::Tensor> all = {out.detach()};
  for (const at::Tensor& leaf : leaves) all.push_back(leaf.grad());
  for (at::Tensor& t : all) t = t.to(at::kCPU, at::kDouble);
  return all;
}

void ExpectSegmentsOneAfterAnother(const PhiConfig& config) {
  const at::TensorOptions options(at::kDouble);
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const TokenForest forest = RandomForest(seed, config.rope);
    const int64_t nodes = forest.tokens.size(0);
    const auto sources = RandomSources(seed, nodes);
    const Inputs inputs = RandomInputs(config, nodes);
    const ForestAttention want(config, forest, sources),
        got(config, forest, sources, testing::ByFormula);
    for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
      const auto expected = OutputAndGradients(want, layer, inputs, options);
      const auto actual = OutputAndGradients(got, layer, inputs, options);
      ASSERT_EQ(actual[0].size(0), layer + 1 < config.num_hidden_layers ? nodes : sources.size());
      for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_EQ(actual[i].sizes(), expected[i].sizes());
        EXPECT_LT((actual[i] - expected[i]).abs().max().item<double>(), 1e-12)
            << "seed " << seed << " layer " << layer << " tensor " << i;
      }
    }
  }
}

TEST(RaggedAttention, IsThatOfSegments) { ExpectSegmentsOneAfterAnother(testing::SmallConfig()); }

TEST(RaggedAttention, IsThatOfSegmentsInEveryKindOfPhi) {
  for (const auto& [name, config] : testing::PhiVariants()) {
    SCOPED_TRACE(name);
    ExpectSegmentsOneAfterAnother(config);
  }
}

TEST(RaggedAttention, IsThatOfSegmentsOnBothSidesOfLongRope) {
  auto config = testing::SmallConfig();
  config.rope.original_length = 30;
  config.rope.short_factor = config.rope.long_factor = {1.0, 1.5};
  config.sliding_window = 7;
  ExpectSegmentsOneAfterAnother(config);
}

TEST(RaggedPlan, KeysAreThePathFromTheRoot) {
  // A trunk of two nodes, a branch of one with two leaves, and a tree of its own.
  const std::vector<TokenForest::Segment> segments = {{2, -1, 0, 9}, {1, 0, 2, 9},  {2, 1, 3, 9},
                                                      {1, 1, 3, 9},  {3, -1, 0, 3}, {1, 0, 2, 9}};
  const RaggedPlan plan = PlanRagged(segments);
  EXPECT_EQ(plan.keys,
            (std::vector<int64_t>{0, 1, 0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 2, 5, 6, 7, 8, 0, 1, 9}));
  EXPECT_EQ(plan.query_starts, (std::vector<int64_t>{0, 2, 3, 5, 6, 9, 10}));
  EXPECT_EQ(plan.key_starts, (std::vector<int64_t>{0, 2, 5, 10, 14, 17, 20}));
  EXPECT_EQ(plan.max_queries, 3);
  EXPECT_EQ(plan.max_keys, 5);
}

TEST(RaggedPlan, TreesWithoutBranchesNeedNoGathering) {
  const std::vector<TokenForest::Segment> segments = {{2, -1, 0, 2}, {5, -1, 0, 5}};
  const RaggedPlan plan = PlanRagged(segments);
  EXPECT_TRUE(plan.keys.empty());
  EXPECT_EQ(plan.key_starts, plan.query_starts);
  EXPECT_EQ(plan.key_starts, (std::vector<int64_t>{0, 2, 7}));
}

TEST(FlashKernel, ServesNoCpu) {
  const auto config = testing::SmallConfig();
  EXPECT_FALSE(FlashKernel(config, at::TensorOptions(at::kFloat)));
  EXPECT_FALSE(FlashKernel(config, at::TensorOptions(at::kBFloat16)));
}

// Compares flash attention in 16 bits with the segments in float64: output and gradients have an
// error of a few roundings of values of their size.
void ExpectFlashNearFloat64(const PhiConfig& config, at::ScalarType type, double epsilon) {
  const at::TensorOptions gpu = at::TensorOptions(ParseDevice("cuda")).dtype(type);
  const RaggedKernel kernel = FlashKernel(config, gpu);
  ASSERT_TRUE(kernel);
  for (uint64_t seed = 0; seed < 4; ++seed) {
    TokenForest forest = RandomForest(seed, config.rope);
    const auto sources = RandomSources(seed, forest.tokens.size(0));
    Inputs inputs = RandomInputs(config, forest.tokens.size(0));
    for (at::Tensor* t : {&inputs.query, &inputs.key, &inputs.value})
      *t = t->to(type).to(at::kDouble);
    const ForestAttention want(config, forest, sources);
    TokenForest there = forest;
    there.tokens = forest.tokens.to(gpu.device());
    const ForestAttention got(config, there, sources, kernel);
    for (const int64_t layer : {int64_t{0}, config.num_hidden_layers - 1}) {
      const auto expected = OutputAndGradients(want, layer, inputs, at::TensorOptions(at::kDouble));
      const auto actual = OutputAndGradients(got, layer, inputs, gpu);
      for (std::size_t i = 0; i < expected.size(); ++i)
        EXPECT_LT((actual[i] - expected[i]).abs().max().item<double>(),
                  8 * epsilon * expected[i].abs().max().item<double>())
            << "seed " << seed << " layer " << layer << " tensor " << i;
    }
  }
}

TEST(FlashKernel, IsNearFloat64OnAGpu) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no GPU here";
  for (const int64_t dim : {4, 64, 80, 96, 128}) {
    for (const int64_t window : {0, 7}) {
      SCOPED_TRACE(::testing::Message() << "head size " << dim << " window " << window);
      auto config = testing::SmallConfig();
      config.head_dim = dim;
      config.sliding_window = window;
      ExpectFlashNearFloat64(config, at::kBFloat16, 1.0 / 256);
      ExpectFlashNearFloat64(config, at::kHalf, 1.0 / 2048);
    }
  }
}

}  // namespace
}  // namespace pivotal::model
