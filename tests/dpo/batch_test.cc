// Apache-2.0.
#include "dpo/batch.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "tests/support/small_phi.h"

namespace pivotal::dpo {
namespace {

using Ids = std::vector<TokenId>;

// Computes the log-probability of `completion` after `prompt` by a forward pass of its own.
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

TEST(Batch, CompletionsMatchSeparateForwardPasses) {
  const auto model = testing::SmallPhi();
  const Ids long_prompt = {1, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, short_prompt = {1, 30};
  const Ids longer_prompt = {1, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 3, 4};
  const Ids words = {4, 5, 6, 2}, other = {40}, single = {50};
  const std::vector<std::pair<Ids, Ids>> cases = {
      {short_prompt, words}, {long_prompt, other},  {long_prompt, single},  {longer_prompt, other},
      {long_prompt, words},  {short_prompt, other}, {longer_prompt, words}, {long_prompt, words}};
  BatchBuilder builder(*model);
  for (std::size_t i = 0; i < cases.size(); ++i)
    EXPECT_EQ(builder.Add(cases[i].first, cases[i].second), i);
  const Batch batch = builder.Build();
  // Tokens: the short prompt + 3 of `words`; the long prompt, then 2 + 3 of `words`, or 3 of
  // `words`.
  EXPECT_EQ(batch.forest.tokens.size(0), (2 + 3) + 11 + (2 + 3) + 3);
  const c10::NoGradGuard no_grad;
  const at::Tensor sums = PerCompletion(batch, TargetLogProbs(*model, batch));
  ASSERT_EQ(sums.size(0), static_cast<int64_t>(cases.size()));
  for (std::size_t i = 0; i < cases.size(); ++i)
    EXPECT_NEAR(sums[i].item<double>(), Truth(*model, cases[i].first, cases[i].second), 1e-4) << i;
}

TEST(Batch, SingleTokensOfOnePathCostOnePath) {
  const auto model = testing::SmallPhi();
  BatchBuilder builder(*model);
  const Ids prompt = {1, 5, 6, 7, 8, 9};
  for (std::size_t length : {3, 6, 4}) {
    builder.Add(std::span(prompt).first(length), Ids{20});
    builder.Add(std::span(prompt).first(length), Ids{21});
  }
  const Batch batch = builder.Build();
  EXPECT_EQ(batch.forest.tokens.size(0), 6);
  EXPECT_EQ(batch.sources, (std::vector<int64_t>{2, 3, 5}));
}

TEST(Batch, WeightsScaleTokens) {
  const auto model = testing::SmallPhi();
  const Ids prompt = {1, 5, 6}, words = {4, 5};
  BatchBuilder builder(*model);
  builder.Add(prompt, words, std::vector<float>{0.5f, 2.0f});
  builder.Add(prompt, words);
  const Batch batch = builder.Build();
  const c10::NoGradGuard no_grad;
  const at::Tensor each = TargetLogProbs(*model, batch);
  const at::Tensor sums = PerCompletion(batch, each);
  EXPECT_NEAR(sums[0].item<double>(), 0.5 * each[0].item<double>() + 2 * each[1].item<double>(),
              1e-5);
  EXPECT_NEAR(sums[1].item<double>(), each[2].item<double>() + each[3].item<double>(), 1e-5);
}

// The vocabulary is so large that the logits of 70 positions are computed in parts.
TEST(Batch, SquaresComeBesideUnchangedGradients) {
  model::PhiConfig config = testing::SmallConfig();
  config.vocab_size = 1 << 17;
  config.num_hidden_layers = 1;
  config.tie_word_embeddings = true;
  const auto model = testing::SmallPhi(config);
  const at::Tensor embedding = model->parameters().at("model.embed_tokens.weight");
  at::Tensor(embedding).requires_grad_(true);
  const Ids prompt = {1, 7, 8};
  Ids words;
  for (TokenId i = 0; i < 70; ++i) words.push_back(i * 1800);
  BatchBuilder builder(*model);
  builder.Add(prompt, words);
  const Batch batch = builder.Build();
  const auto gradient = [&](at::Tensor* squares) {
    at::Tensor(embedding).mutable_grad().reset();
    TargetLogProbs(*model, batch, Normaliser::kWithGradient, squares).sum().backward();
    return embedding.grad().clone();
  };
  at::Tensor squares;
  const at::Tensor with = gradient(&squares);
  EXPECT_TRUE(with.equal(gradient(nullptr)));
  EXPECT_GT(with.abs().max().item<double>(), 0);
  EXPECT_FALSE(squares.requires_grad());
  const c10::NoGradGuard no_grad;
  const at::Tensor p =
      at::softmax(model->Logits(model->Hidden(batch.forest, batch.sources)).to(at::kDouble), -1);
  EXPECT_LT((squares - p.square().sum(-1).log()).abs().max().item<double>(), 1e-4);
  EXPECT_NEAR(MeanPerToken(batch, squares)[0].item<double>(), squares.mean().item<double>(), 1e-5);
}

}  // namespace
}  // namespace pivotal::dpo
