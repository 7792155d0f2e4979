// Apache-2.0. Loss and gradient through a whole model, in float64, against the textbook formula and
// finite differences.
#include "dpo/objective.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "data/error.h"
#include "tests/support/small_phi.h"

namespace pivotal::dpo {
namespace {

constexpr double kBeta = 0.7, kAlpha = 0.3;

std::vector<data::PreferencePair> SomePairs() {
  const auto pair = [](const char* id, std::vector<TokenId> prompt, std::vector<TokenId> chosen,
                       std::vector<TokenId> rejected) {
    data::PreferencePair p;
    p.id = id;
    p.prompt_ids = std::move(prompt);
    p.chosen_ids = std::move(chosen);
    p.rejected_ids = std::move(rejected);
    return p;
  };
  return {pair("single", {1, 5, 9, 4}, {7}, {8}), pair("other", {1, 6}, {30}, {31}),
          pair("long", {1, 5, 9}, {7, 12, 2}, {8, 2})};
}

double LogProb(const model::PhiModel& model, const std::vector<TokenId>& prompt,
               const std::vector<TokenId>& completion) {
  std::vector<int64_t> all(prompt.begin(), prompt.end());
  all.insert(all.end(), completion.begin(), completion.end());
  const at::Tensor tokens = at::tensor(all, at::TensorOptions(at::kLong)).unsqueeze(0);
  const at::Tensor rows = at::log_softmax(model.Logits(model.Hidden(tokens))[0], -1);
  double sum = 0;
  for (std::size_t i = 0; i < completion.size(); ++i)
    sum += rows[static_cast<int64_t>(prompt.size() + i) - 1][completion[i]].item<double>();
  return sum;
}

// Mean over pairs of the textbook loss, one forward pass per side.
double Textbook(const model::PhiModel& policy, const model::PhiModel& reference) {
  const c10::NoGradGuard no_grad;
  double sum = 0;
  for (const auto& p : SomePairs()) {
    const double pc = LogProb(policy, p.prompt_ids, p.chosen_ids);
    const double pr = LogProb(policy, p.prompt_ids, p.rejected_ids);
    const double rc = LogProb(reference, p.prompt_ids, p.chosen_ids);
    const double rr = LogProb(reference, p.prompt_ids, p.rejected_ids);
    sum += std::log1p(std::exp(-kBeta * ((pc - rc) - (pr - rr)))) -
           kAlpha * pc / static_cast<double>(p.chosen_ids.size());
  }
  return sum / static_cast<double>(SomePairs().size());
}

// Moves every weight of `model` a little, so that policy and reference differ.
void Perturb(const model::PhiModel& model) {
  const c10::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model.parameters()) {
    at::Tensor handle = tensor;
    handle.mul_(1.1).add_(0.01);
  }
}

std::vector<int64_t> All(int64_t count) {
  std::vector<int64_t> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

std::unique_ptr<Objective> Dpo(const model::PhiModel& model,
                               const std::vector<data::PreferencePair>& pairs, double beta,
                               double rpo_alpha) {
  Progress quiet;
  LossOptions loss;
  loss.beta = beta;
  loss.rpo_alpha = rpo_alpha;
  return MakePreferenceObjective(model, pairs, loss, ReferenceLogProbs(model, pairs, 2, quiet));
}

LossTerms Whole(const Objective& objective) {
  const auto all = All(objective.size());
  return objective.Compute(all, all);
}

TEST(DpoObjective, LossAndGradientMatchTheTextbook) {
  const auto pairs = SomePairs();
  const auto reference = testing::InDouble(*testing::SmallPhi());
  const auto policy = testing::InDouble(*testing::SmallPhi());
  const auto objective = Dpo(*policy, pairs, kBeta, kAlpha);
  Perturb(*policy);
  for (const auto& [name, tensor] : policy->parameters()) {
    at::Tensor handle = tensor;
    handle.requires_grad_(true);
  }
  const LossTerms terms = Whole(*objective);
  EXPECT_NEAR(terms.loss.item<double>(), Textbook(*policy, *reference), 1e-8);
  terms.loss.backward();
  for (const char* name : {"model.embed_tokens.weight", "model.layers.0.self_attn.qkv_proj.weight",
                           "model.layers.1.mlp.gate_up_proj.weight", "model.norm.weight",
                           "lm_head.weight"}) {
    at::Tensor weight = policy->parameters().at(name).detach().flatten();
    const at::Tensor gradient = policy->parameters().at(name).grad().flatten();
    for (int64_t i : {int64_t{5}, weight.numel() / 2, weight.numel() - 3}) {
      constexpr double kStep = 1e-5;
      const double at = weight[i].item<double>();
      const c10::NoGradGuard no_grad;
      weight[i] = at + kStep;
      const double above = Textbook(*policy, *reference);
      weight[i] = at - kStep;
      const double below = Textbook(*policy, *reference);
      weight[i] = at;
      EXPECT_NEAR(gradient[i].item<double>(), (above - below) / (2 * kStep), 1e-7) << name << " " << i;
    }
  }
}

TEST(DpoObjective, StartsAtLogTwoWithZeroRewards) {
  const auto pairs = SomePairs();
  const auto model = testing::SmallPhi();
  const auto objective = Dpo(*model, pairs, kBeta, 0);
  const LossTerms terms = Whole(*objective);
  EXPECT_NEAR(terms.loss.item<double>(), std::log(2), 1e-5);
  EXPECT_NEAR(terms.metrics.at("rewards/margins"), 0, 1e-5);
  EXPECT_EQ(objective->Name(2), "long");
}

TEST(DpoObjective, RefusesPairsLongerThanTheModel) {
  auto pairs = SomePairs();
  pairs[1].prompt_ids.assign(97, 1);
  const auto model = testing::SmallPhi();
  EXPECT_THROW(Dpo(*model, pairs, kBeta, 0), Error);
}

TEST(SftObjective, IsTheNegativeLogLikelihoodOfCompletions) {
  const std::vector<data::PromptCompletion> examples = {{{1, 4, 5}, {6, 7, 2}}, {{1}, {9, 2}}};
  const auto model = testing::SmallPhi();
  const auto objective = MakeSftObjective(*model, examples);
  const c10::NoGradGuard no_grad;
  const double truth = -LogProb(*model, examples[0].prompt_ids, examples[0].completion_ids) -
                       LogProb(*model, examples[1].prompt_ids, examples[1].completion_ids);
  EXPECT_NEAR(Whole(*objective).loss.item<double>(), truth / 5, 1e-5);
  EXPECT_EQ(objective->Length(0), 5);
}

}  // namespace
}  // namespace pivotal::dpo
