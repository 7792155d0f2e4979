// Apache-2.0.
#include "dpo/gradient_exchange.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>

#include "data/base/error.h"
#include "dpo/optimizer.h"
#include "tests/support/small_phi.h"

namespace pivotal::dpo {
namespace {

TEST(PlanBuckets, FollowsTheBackwardPassAndBalancesOwners) {
  model::PhiConfig config = testing::SmallConfig();
  config.num_hidden_layers = 12;
  const auto model = testing::SmallPhi(config);
  for (int ranks : {1, 2, 3, 5}) {
    const auto buckets = PlanBuckets(model->Trainable(), ranks);
    std::set<std::string> seen;
    std::vector<int64_t> load(ranks);
    int64_t total = 0, largest = 0;
    int lowest_layer = kHeadLayer;
    for (const Bucket& bucket : buckets) {
      int64_t elements = 0;
      for (const std::string& name : bucket.names) {
        EXPECT_TRUE(seen.insert(name).second) << name;
        EXPECT_LE(LayerOf(name), lowest_layer) << name;
        lowest_layer = LayerOf(name);
        elements += model->parameters().at(name).numel();
      }
      EXPECT_EQ(bucket.lowest_layer, lowest_layer);
      EXPECT_EQ(bucket.elements, elements);
      load.at(bucket.owner) += elements;
      total += elements;
      largest = std::max(largest, elements);
    }
    EXPECT_EQ(seen.size(), model->parameters().size());
    EXPECT_LE(largest, total / (4 * ranks));
    EXPECT_LE(std::ranges::max(load), total / ranks + largest);
  }
}

TEST(PlanBuckets, LargeTensorsTravelAlone) {
  const auto model = testing::SmallPhi();
  const auto buckets = PlanBuckets(model->Trainable(), 2, 100);
  for (const Bucket& bucket : buckets)
    EXPECT_TRUE(bucket.elements <= 100 || bucket.names.size() == 1);
  EXPECT_EQ(buckets.back().names, std::vector<std::string>{"model.embed_tokens.weight"});
}

TEST(LayerOf, OrdersWeightsByTheForwardPass) {
  EXPECT_EQ(LayerOf("model.layers.12.self_attn.o_proj.lora_A.weight"), 12);
  EXPECT_LT(LayerOf("model.embed_tokens.weight"), LayerOf("model.layers.0.input_layernorm.weight"));
  for (const char* name :
       {"lm_head.weight", "lm_head.bias", "model.norm.weight", "model.final_layernorm.bias"})
    EXPECT_GT(LayerOf(name), LayerOf("model.layers.99.mlp.fc1.weight"));
}

// Counts messages. Pretends to be one of two ranks, of which the other one has zero gradients.
class CountingRanks : public Ranks {
 public:
  int size() const override { return 2; }
  void Reduce(const at::Tensor&, int) override { ++reduced; }
  std::atomic<int> reduced = 0;
};

TEST(GradientExchange, SendsWhileTheBackwardPassGoesOn) {
  const auto model = testing::SmallPhi();
  CountingRanks ranks;
  AdamW optimizer(*model, {}, ranks);
  const at::Tensor embedding = model->parameters().at("model.embed_tokens.weight");
  bool sent = false;
  const auto wait = [&](const at::Tensor&) {  // called at the last gradient of the pass
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!sent && std::chrono::steady_clock::now() < end) sent = ranks.reduced > 0;
  };
  const unsigned hook = embedding.register_hook(wait);
  optimizer.BeginBackward(1, {});
  model->Logits(model->Hidden(at::tensor({1, 5, 9}, at::kLong).view({1, 3}))).sum().backward();
  embedding.remove_hook(hook);
  EXPECT_TRUE(sent);
}

TEST(GradientExchange, RefusesAGradientAfterItsBucketWasSent) {
  const auto model = testing::SmallPhi();
  model->set_activation_checkpointing(
      true);  // otherwise autograd adds up both passes' gradients before the hook runs
  CountingRanks ranks;
  AdamW optimizer(*model, {}, ranks);
  const at::Tensor tokens = at::tensor({1, 5, 9}, at::kLong).view({1, 3});
  const at::Tensor twice = model->Hidden(tokens).sum() + model->Hidden(tokens).sum();
  optimizer.BeginBackward(1, {});
  EXPECT_THROW(twice.backward(), Error);
}

}  // namespace
}  // namespace pivotal::dpo
