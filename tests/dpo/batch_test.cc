// Apache-2.0.
#include "dpo/batch.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "tests/support/small_phi.h"

namespace pivotal::dpo {
namespace {

using Ids = std::vector<TokenId>;

// Sum of log-probabilities of `completion` after `prompt`, by a forward pass of its own.
double Truth(const model::PhiModel& model, const Ids& prompt, const Ids& completion) {
  const c10::NoGradGuard no_grad;
  std::vector<int64_t> all(prompt.begin(), prompt.end());
  all.insert(all.end(), completion.begin(), completion.end());
  const at::Tensor tokens = at::tensor(all, at::TensorOptions(at::kLong)).unsqueeze(0);
  const at::Tensor logprobs = at::log_softmax(model.Logits(model.Hidden(tokens))[0], -1);
  double sum = 0;
  for (std::size_t i = 0; i < completion.size(); ++i)
    sum += logprobs[static_cast<int64_t>(prompt.size() + i) - 1][completion[i]].item<double>();
  return sum;
}

TEST(Batch, SegmentsMatchSeparateForwardPasses) {
  const auto model = testing::SmallPhi();
  const Ids long_prompt = {1, 7, 8, 9, 10, 11}, short_prompt = {1, 30};
  const Ids words = {4, 5, 6, 2}, other = {40}, single = {50};
  BatchBuilder builder;
  EXPECT_EQ(builder.AddCompletion(short_prompt, words), 0);
  EXPECT_EQ(builder.AddPair(long_prompt, other, single), 1);  // shares one hidden state
  EXPECT_EQ(builder.AddPair(short_prompt, words, other), 3);  // two sequences
  const Batch batch = builder.Build(at::kCPU);
  EXPECT_EQ(batch.tokens.size(0), 4);
  EXPECT_EQ(batch.source.size(0), 4 + 1 + 4 + 1);
  const c10::NoGradGuard no_grad;
  const at::Tensor sums = SegmentLogProbs(*model, batch);
  const double truth[] = {Truth(*model, short_prompt, words), Truth(*model, long_prompt, other),
                          Truth(*model, long_prompt, single), Truth(*model, short_prompt, words),
                          Truth(*model, short_prompt, other)};
  ASSERT_EQ(sums.size(0), 5);
  for (int i = 0; i < 5; ++i) EXPECT_NEAR(sums[i].item<double>(), truth[i], 1e-4) << "segment " << i;
}

}  // namespace
}  // namespace pivotal::dpo
