// Apache-2.0. Layers that run twice give the loss and the gradients of layers that run once.
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "dpo/objective.h"
#include "model/lora.h"
#include "tests/support/small_phi.h"

namespace pivotal::dpo {
namespace {

// Two trees with branches, and a sequence alone.
std::vector<data::PreferencePair> Pairs() {
  const std::vector<TokenId> trunk = {1, 5, 9, 4, 7, 33, 12, 40, 41, 42}, other = {1, 6, 8, 3, 2, 9, 11, 10, 20};
  std::vector<data::PreferencePair> pairs;
  const auto add = [&](std::vector<TokenId> prompt, std::vector<TokenId> chosen, std::vector<TokenId> rejected) {
    auto& pair = pairs.emplace_back();
    pair.prompt_ids = std::move(prompt);
    pair.chosen_ids = std::move(chosen);
    pair.rejected_ids = std::move(rejected);
  };
  add(trunk, {7, 12, 2}, {8, 13});
  add({trunk.begin(), trunk.begin() + 9}, {50}, {51, 2});
  add(other, {30}, {31, 32, 2});
  add({1, 59}, {17, 18}, {19});
  return pairs;
}

struct Result {
  double loss = 0;
  std::map<std::string, at::Tensor> gradients;
};

Result Gradients(model::PhiModel& model, const Objective& objective, bool checkpointing) {
  model.set_activation_checkpointing(checkpointing);
  const auto trainable = model.Trainable();
  for (const auto& [name, tensor] : trainable) at::Tensor(tensor).requires_grad_(true).mutable_grad().reset();
  std::vector<int64_t> all(static_cast<std::size_t>(objective.size()));
  std::iota(all.begin(), all.end(), 0);
  const LossTerms terms = objective.Compute(all, all);
  terms.loss.backward();
  Result result{terms.loss.item<double>(), {}};
  for (const auto& [name, tensor] : trainable) result.gradients[name] = tensor.grad();
  return result;
}

void ExpectSame(model::PhiModel& model) {
  const auto pairs = Pairs();
  Progress quiet;
  const auto objective =
      MakePreferenceObjective(model, pairs, {}, ReferenceLogProbs(model, pairs, 4, quiet));
  const Result once = Gradients(model, *objective, false), twice = Gradients(model, *objective, true);
  EXPECT_EQ(once.loss, twice.loss);
  double largest = 0;
  for (const auto& [name, gradient] : once.gradients) {
    ASSERT_TRUE(gradient.defined() && twice.gradients.at(name).defined()) << name;
    EXPECT_LT((gradient - twice.gradients.at(name)).abs().max().item<double>(), 1e-12) << name;
    largest = std::max(largest, gradient.abs().max().item<double>());
  }
  EXPECT_GT(largest, 1e-3);
}

TEST(ActivationCheckpointing, ChangesNoGradient) { ExpectSame(*testing::InDouble(*testing::SmallPhi())); }

TEST(ActivationCheckpointing, ChangesNoGradientOfAnAdapter) {
  const auto model = testing::InDouble(*testing::SmallPhi());
  model->set_adapter(model::NewAdapter(*model, {.rank = 3}, 1));
  ExpectSame(*model);
}

TEST(ActivationCheckpointing, ChangesNoGradientBesideFrozenWeights) {
  const auto model = testing::InDouble(*testing::SmallPhi());
  model->set_frozen({"model.embed_tokens.weight", "model.layers.0.mlp.down_proj.weight"});
  ExpectSame(*model);
}

}  // namespace
}  // namespace pivotal::dpo
