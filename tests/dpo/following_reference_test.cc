// Apache-2.0. The reference of TR-DPO, against its formula and against fixed references.
#include "dpo/following_reference.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/base/error.h"
#include "dpo/trainer.h"
#include "model/lora.h"
#include "tests/support/small_phi.h"

namespace pivotal::dpo {
namespace {

std::vector<PreferencePair> Pairs() {
  std::vector<PreferencePair> pairs;
  for (TokenId i = 0; i < 10; ++i) {
    auto& pair = pairs.emplace_back();
    pair.id = "pair-" + std::to_string(i);
    pair.prompt_ids = {1, 10 + i, 20 + i};
    pair.chosen_ids = {30};
    pair.rejected_ids = {31};
    if (i > 6) pair.chosen_ids.push_back(40), pair.rejected_ids.push_back(41);
  }
  return pairs;
}

// Adds `change` to every tensor that is trained.
void Move(const model::PhiModel& model, double change) {
  const c10::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model.Trainable()) at::Tensor(tensor).add_(change);
}

at::Tensor Scores(const model::PhiModel& model) {
  Progress quiet;
  return ReferenceLogProbs(model, Pairs(), 4, quiet);
}

TEST(FollowingReference, MixesAfterEveryNSteps) {
  for (const at::ScalarType type : {at::kDouble, at::kBFloat16}) {
    const auto policy = testing::InType(*testing::SmallPhi(), type);
    policy->set_frozen({"model.embed_tokens.weight"});
    const auto first = testing::InType(*policy, type);
    FollowingReference reference(*policy, 0.25, 3);
    reference.Begin();
    EXPECT_TRUE(Scores(reference.model()).equal(Scores(*policy)));
    EXPECT_FALSE(reference.State().contains("model.embed_tokens.weight"));
    EXPECT_EQ(reference.model().parameters().at("model.embed_tokens.weight").data_ptr(),
              policy->parameters().at("model.embed_tokens.weight").data_ptr())
        << "weights that are not trained are there once";
    std::map<std::string, at::Tensor> want;
    for (const auto& [name, tensor] : policy->Trainable())
      want[name] = tensor.detach().to(at::kDouble).clone();
    for (int64_t step = 1; step <= 7; ++step) {
      Move(*policy, 0.125);
      reference.AfterStep(step);
      if (step % 3 == 0)
        for (auto& [name, tensor] : want)
          tensor = (0.75 * tensor + 0.25 * policy->parameters().at(name).to(at::kDouble))
                       .to(type)
                       .to(at::kDouble);
      for (const auto& [name, tensor] : reference.State()) {
        const double off = (tensor.to(at::kDouble) - want.at(name)).abs().max().item<double>();
        // A sum in float32 may lie on the other side of the middle between two bfloat16.
        EXPECT_LE(off, type == at::kDouble ? 1e-12 : 0.02) << name << " " << step;
      }
    }
    EXPECT_TRUE(policy->parameters().at("model.norm.weight").scalar_type() == type);
    EXPECT_FALSE(Scores(reference.model()).equal(Scores(*policy)));
    EXPECT_FALSE(Scores(reference.model()).equal(Scores(*first)));
  }
}

TEST(FollowingReference, BeginsWithoutTheAdapterAndMixesItsMatrices) {
  const auto policy = testing::InDouble(*testing::SmallPhi());
  const at::Tensor base = Scores(*policy);
  policy->set_adapter(model::NewAdapter(*policy, {.rank = 2}, 1));
  Move(*policy, 0.1);
  FollowingReference reference(*policy, 0.5, 1);
  reference.Begin();
  EXPECT_TRUE(Scores(reference.model()).equal(base));
  EXPECT_FALSE(Scores(*policy).equal(base));
  reference.AfterStep(1);
  const auto trained = policy->Trainable();
  const auto state = reference.State();
  ASSERT_EQ(state.size(), trained.size());
  for (const auto& [name, tensor] : state) {
    const bool is_a = name.find("lora_A") != std::string::npos;
    EXPECT_LT((tensor - trained.at(name) * (is_a ? 1 : 0.5)).abs().max().item<double>(), 1e-12)
        << name;
  }
  reference.AfterStep(2);
  policy->set_adapter(nullptr);
  EXPECT_TRUE(Scores(*policy).equal(base)) << "the weights below are the policy's and stay";
}

TEST(FollowingReference, GivesTheLossOfAFixedReferenceWithItsWeights) {
  const auto pairs = Pairs();
  const auto policy = testing::InDouble(*testing::SmallPhi());
  FollowingReference reference(*policy, 0.3, 1);
  LossOptions options;
  options.losses = ParseLosses("sigmoid,bco_pair:0.5");
  const auto objective = MakePreferenceObjective(*policy, pairs, options, reference);
  reference.Begin();
  const std::vector<int64_t> all = {0, 3, 8, 9, 2};
  for (int64_t step = 1; step < 4; ++step) {
    Move(*policy, 0.03);
    reference.AfterStep(step);
    Move(*policy, 0.01);
    for (const auto& [name, tensor] : policy->Trainable()) {
      at::Tensor(tensor).requires_grad_(true);
      at::Tensor(tensor).mutable_grad().reset();
    }
    const auto fixed = MakePreferenceObjective(*policy, pairs, options, Scores(reference.model()));
    const LossTerms got = objective->Compute(all, all), want = fixed->Compute(all, all);
    EXPECT_NEAR(got.loss.item<double>(), want.loss.item<double>(), 1e-12);
    for (const auto& [name, value] : want.metrics)
      EXPECT_NEAR(got.metrics.at(name).item<double>(), value.item<double>(), 1e-12) << name;
    got.loss.backward();
    std::map<std::string, at::Tensor> gradients;
    for (const auto& [name, tensor] : policy->Trainable()) {
      gradients[name] = tensor.grad().clone();
      at::Tensor(tensor).mutable_grad().reset();
    }
    want.loss.backward();
    for (const auto& [name, tensor] : policy->Trainable())
      EXPECT_LT((gradients.at(name) - tensor.grad()).abs().max().item<double>(), 1e-12) << name;
    for (const auto& [name, tensor] : reference.State()) EXPECT_FALSE(tensor.requires_grad());
  }
}

TEST(FollowingReference, TrainingGoesOnFromItsState) {
  const auto pairs = Pairs();
  TrainOptions options;
  options.optimizer.learning_rate = 1e-2;
  options.batch_size = 4;
  options.epochs = 3;
  struct Training {
    std::unique_ptr<model::PhiModel> model = testing::SmallPhi();
    FollowingReference reference{*model, 0.6, 2};
    std::unique_ptr<Objective> objective;
  };
  const auto start = [&](Training& training) {
    training.objective = MakePreferenceObjective(*training.model, pairs, {}, training.reference);
    training.reference.Begin();
    return std::make_unique<Trainer>(*training.model, *training.objective, options, Alone(),
                                     &training.reference);
  };
  Training whole, first, second;
  const auto all = start(whole), before = start(first), after = start(second);
  std::vector<double> losses;
  while (!all->done()) losses.push_back(all->Step().loss);
  while (before->log().step < 5) before->Step();
  TrainState state = before->State();
  EXPECT_FALSE(state.reference.empty());
  {
    const c10::NoGradGuard no_grad;
    for (const auto& [name, tensor] : second.model->parameters())
      at::Tensor(tensor).copy_(first.model->parameters().at(name));
  }
  after->Restore(state);
  while (!after->done()) {
    const StepLog& log = after->Step();
    EXPECT_EQ(log.loss, losses.at(static_cast<std::size_t>(log.step) - 1)) << log.step;
  }
  for (const auto& [name, tensor] : second.model->parameters())
    EXPECT_TRUE(tensor.equal(whole.model->parameters().at(name))) << name;
  state.reference.erase(state.reference.begin());
  EXPECT_THROW(after->Restore(state), Error);
}

}  // namespace
}  // namespace pivotal::dpo
