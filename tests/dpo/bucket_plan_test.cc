// Apache-2.0.
#include "dpo/bucket_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

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
    int last_part = kHeadPart;
    for (const Bucket& bucket : buckets) {
      int64_t elements = 0;
      for (const std::string& name : bucket.names) {
        EXPECT_TRUE(seen.insert(name).second) << name;
        EXPECT_LE(PartOf(name), last_part) << name;
        last_part = PartOf(name);
        elements += model->parameters().at(name).numel();
      }
      EXPECT_EQ(bucket.last_part, last_part);
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
  for (const Bucket& bucket : buckets) EXPECT_TRUE(bucket.elements <= 100 || bucket.names.size() == 1);
  EXPECT_EQ(buckets.back().names, std::vector<std::string>{"model.embed_tokens.weight"});
}

TEST(PartOf, KnowsThePlacesOfNames) {
  EXPECT_EQ(PartOf("model.layers.12.self_attn.o_proj.lora_A.weight"), 12);
  EXPECT_LT(PartOf("model.embed_tokens.weight"), PartOf("model.layers.0.input_layernorm.weight"));
  for (const char* name : {"lm_head.weight", "lm_head.bias", "model.norm.weight", "model.final_layernorm.bias"})
    EXPECT_GT(PartOf(name), PartOf("model.layers.99.mlp.fc1.weight"));
}

}  // namespace
}  // namespace pivotal::dpo
