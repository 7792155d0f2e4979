// Apache-2.0. A forest gives each sequence the hidden states that it has alone.
#include "model/token_forest.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <utility>

#include "kernels/philox.h"
#include "tests/support/small_phi.h"

namespace pivotal::model {
namespace {

using Sequences = std::vector<std::vector<TokenId>>;

// Returns sequences that branch off one another at random positions.
Sequences RandomSequences(uint64_t seed, int64_t count) {
  kernels::RandomStream random(seed, kernels::MixStream(0, "forest test"));
  Sequences all;
  for (int64_t i = 0; i < count; ++i) {
    std::vector<TokenId> next = {1};
    if (i > 0 && random.Below(4) > 0) {
      const auto& from = all[random.Below(i)];
      next.assign(from.begin(), from.begin() + 1 + random.Below(static_cast<int64_t>(from.size())));
    }
    for (auto more = random.Below(18); more > 0 && next.size() < 40; --more)
      next.push_back(static_cast<TokenId>(4 + random.Below(50)));
    all.push_back(std::move(next));
  }
  return all;
}

at::Tensor Alone(const PhiModel& model, const std::vector<TokenId>& tokens) {
  return model.Hidden(
      at::tensor(std::vector<int64_t>(tokens.begin(), tokens.end()), at::TensorOptions(at::kLong))
          .unsqueeze(0))[0];
}

void ExpectPackedAsAlone(const PhiConfig& config) {
  const c10::NoGradGuard no_grad;
  const auto model = testing::SmallPhi(config);
  std::size_t tokens = 0, packed = 0;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    const Sequences sequences = RandomSequences(seed, 9);
    ForestBuilder builder(config.rope);
    for (const auto& sequence : sequences) {
      builder.Add(sequence, static_cast<int64_t>(sequence.size()));
      tokens += sequence.size();
    }
    const TokenForest forest = builder.Build(at::kCPU);
    packed += static_cast<std::size_t>(forest.tokens.size(0));
    const at::Tensor all = model->Hidden(forest, {});
    std::map<int64_t, at::Tensor> want;  // the last tokens of sequences, by node
    for (std::size_t s = 0; s < sequences.size(); ++s) {
      const at::Tensor alone = Alone(*model, sequences[s]);
      for (std::size_t column = 0; column < sequences[s].size(); ++column) {
        const int64_t node = builder.Node(static_cast<int64_t>(s), static_cast<int64_t>(column));
        ASSERT_EQ(forest.tokens[node].item<int64_t>(), sequences[s][column]);
        ASSERT_LT((all[node] - alone[static_cast<int64_t>(column)]).abs().max().item<float>(), 1e-4)
            << "seed " << seed << " sequence " << s << " column " << column;
      }
      want[builder.Node(static_cast<int64_t>(s), static_cast<int64_t>(sequences[s].size()) - 1)] =
          alone[-1];
    }
    std::vector<int64_t> sources;
    for (const auto& [node, hidden] : want) sources.push_back(node);
    const at::Tensor some = model->Hidden(forest, sources);
    ASSERT_EQ(some.size(0), static_cast<int64_t>(sources.size()));
    for (std::size_t i = 0; i < sources.size(); ++i)
      EXPECT_LT((some[static_cast<int64_t>(i)] - want[sources[i]]).abs().max().item<float>(), 1e-4);
  }
  EXPECT_LT(packed, tokens);
}

TEST(TokenForest, PackedAsAlone) { ExpectPackedAsAlone(testing::SmallConfig()); }

TEST(TokenForest, PackedAsAloneWithSlidingWindow) {
  auto config = testing::SmallConfig();
  config.sliding_window = 6;
  ExpectPackedAsAlone(config);
}

TEST(TokenForest, PackedAsAloneOnBothSidesOfLongRope) {
  auto config = testing::SmallConfig();
  config.rope.original_length = 14;
  config.rope.short_factor = {1.0, 1.5};
  config.rope.long_factor = {3.0, 7.0};
  config.rope.long_scale = 1.2;
  ExpectPackedAsAlone(config);
}

TEST(TokenForest, PackedAsAloneWithBlockSparseLayers) {
  auto config = testing::SmallConfig();
  config.block_sparse.block = 4;
  config.block_sparse.local_blocks = 2;
  config.block_sparse.vertical_stride = 3;
  ExpectPackedAsAlone(config);
}

TEST(TokenForest, PackedAsAloneWithParallelLayers) {
  auto config = testing::SmallConfig();
  config.architecture = Architecture::kPhi;
  config.norm = PhiConfig::Norm::kLayer;
  config.qkv = PhiConfig::Qkv::kSeparate;
  config.mlp = PhiConfig::Mlp::kGelu;
  config.parallel = config.attention_bias = config.mlp_bias = config.head_bias = true;
  ExpectPackedAsAlone(config);
}

TEST(TokenForest, SharesWhatIsLongEnough) {
  const Sequences sequences = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 20},
                               {1, 2, 3, 4, 5, 6, 7, 8, 9, 21, 22},
                               {1, 2, 3, 4, 5},
                               {1, 2, 40, 41}};
  ForestBuilder builder(RopeConfig{});
  for (const auto& sequence : sequences) builder.Add(sequence, 12);
  const TokenForest forest = builder.Build(at::kCPU);
  // Nine common tokens have two continuations; the third sequence lies within them; two common
  // tokens are too few to share.
  EXPECT_EQ(forest.tokens.size(0), 9 + 1 + 2 + 4);
  EXPECT_EQ(forest.segments.size(), 4u);
  EXPECT_EQ(builder.Node(2, 4), builder.Node(0, 4));
  EXPECT_EQ(builder.Node(1, 8), builder.Node(0, 8));
  EXPECT_NE(builder.Node(3, 1), builder.Node(0, 1));
}

}  // namespace
}  // namespace pivotal::model
