// Apache-2.0.
#include "dpo/trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "data/base/error.h"
#include "tests/support/small_phi.h"

namespace pivotal::dpo {
namespace {

std::vector<PromptCompletion> Sentences() {
  std::vector<PromptCompletion> examples;
  for (TokenId i = 0; i < 12; ++i)
    examples.push_back({{1, 10 + i}, {30 + i, 40, static_cast<TokenId>(50 - i), 2}});
  return examples;
}

std::vector<PreferencePair> Pairs() {
  std::vector<PreferencePair> pairs;
  for (TokenId i = 0; i < 10; ++i) {
    auto& pair = pairs.emplace_back();
    pair.id = "pair-" + std::to_string(i);
    pair.prompt_ids = {1, 10 + i, 20 + i};
    pair.chosen_ids = {30};
    pair.rejected_ids = {31};
  }
  return pairs;
}

std::unique_ptr<Objective> Dpo(const model::PhiModel& model,
                               const std::vector<PreferencePair>& pairs, double rpo_alpha) {
  Progress quiet;
  LossOptions loss;
  loss.rpo_alpha = rpo_alpha;
  return MakePreferenceObjective(model, pairs, loss, ReferenceLogProbs(model, pairs, 4, quiet));
}

TrainOptions Fast() {
  TrainOptions options;
  options.optimizer.learning_rate = 1e-2;
  options.batch_size = 4;
  options.epochs = 20;
  return options;
}

std::vector<StepLog> RunSteps(const model::PhiModel& model, const Objective& objective,
                              const TrainOptions& options) {
  std::vector<StepLog> logs;
  Trainer trainer(model, objective, options);
  while (!trainer.done()) logs.push_back(trainer.Step());
  return logs;
}

TEST(Train, NextTokenTrainingLearnsSentences) {
  const auto examples = Sentences();
  const auto model = testing::SmallPhi();
  const auto logs = RunSteps(*model, *MakeSftObjective(*model, examples), Fast());
  ASSERT_EQ(logs.size(), 60u);
  EXPECT_EQ(logs.front().step, 1);
  EXPECT_EQ(logs.back().total_steps, 60);
  EXPECT_GT(logs.front().loss, 2.0);
  EXPECT_LT(logs.back().loss, 0.1);
}

TEST(Train, DpoSeparatesThePairs) {
  const auto pairs = Pairs();
  const auto model = testing::SmallPhi();
  TrainOptions options = Fast();
  options.optimizer.learning_rate = 1e-3;
  const auto logs = RunSteps(*model, *Dpo(*model, pairs, 0.2), options);
  EXPECT_LT(logs.back().loss, logs.front().loss);
  EXPECT_GT(logs.back().metrics.at("rewards/margins"), 0.3);
  EXPECT_EQ(logs.back().metrics.at("rewards/accuracies"), 1.0);
}

TEST(Train, IsDeterministic) {
  const auto examples = Sentences();
  const auto a = testing::SmallPhi(), b = testing::SmallPhi();
  const auto first = RunSteps(*a, *MakeSftObjective(*a, examples), Fast());
  const auto second = RunSteps(*b, *MakeSftObjective(*b, examples), Fast());
  for (std::size_t i = 0; i < first.size(); ++i) ASSERT_EQ(first[i].loss, second[i].loss) << i;
}

// A step of one batch of 12 equals a step of three accumulated batches of 4.
TEST(Train, AccumulationEqualsOneLargeBatch) {
  const auto examples = Sentences();
  const auto a = testing::SmallPhi(), b = testing::SmallPhi();
  TrainOptions whole = Fast(), parts = Fast();
  whole.batch_size = 12;
  parts.gradient_accumulation = 3;
  whole.max_steps = parts.max_steps = 3;
  const auto x = RunSteps(*a, *MakeSftObjective(*a, examples), whole);
  const auto y = RunSteps(*b, *MakeSftObjective(*b, examples), parts);
  ASSERT_EQ(x.size(), 3u);
  ASSERT_EQ(y.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(x[i].loss, y[i].loss, 1e-4);
    EXPECT_NEAR(x[i].grad_norm, y[i].grad_norm, 1e-3);
  }
}

// A short and a long completion in batches of their own have weights by their numbers of tokens.
TEST(Train, EveryTokenOfAStepCountsTheSame) {
  const std::vector<PromptCompletion> examples = {{{1, 10}, {30}},
                                                  {{1, 11}, {31, 32, 33, 34, 35, 36, 2}}};
  const auto a = testing::SmallPhi(), b = testing::SmallPhi();
  TrainOptions whole = Fast(), parts = Fast();
  whole.max_steps = parts.max_steps = 1;
  whole.batch_size = 2;
  parts.batch_size = 1, parts.gradient_accumulation = 2;
  const auto x = RunSteps(*a, *MakeSftObjective(*a, examples), whole);
  const auto y = RunSteps(*b, *MakeSftObjective(*b, examples), parts);
  EXPECT_NEAR(x[0].loss, y[0].loss, 1e-5);
  EXPECT_NEAR(x[0].grad_norm, y[0].grad_norm, 1e-4);
}

TEST(Train, NamesStepAndExamplesWhenTheLossIsNotFinite) {
  const auto pairs = Pairs();
  const auto model = testing::SmallPhi();
  const auto objective = Dpo(*model, pairs, 0);
  at::Tensor norm = model->parameters().at("model.norm.weight");
  norm.fill_(std::numeric_limits<float>::quiet_NaN());
  try {
    RunSteps(*model, *objective, Fast());
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("step 1: the loss is nan"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("pair-"));
  }
}

// Copies weights and state after step 4 into another model and another trainer.
TEST(Train, GoesOnFromAStateAsIfItHadNeverStopped) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const auto examples = Sentences();
    TrainOptions options = Fast();
    options.epochs = 3;
    const auto start = testing::SmallPhi();
    const auto whole = testing::InType(*start, type), first = testing::InType(*start, type),
               second = testing::InType(*start, type);
    const auto expected = RunSteps(*whole, *MakeSftObjective(*whole, examples), options);
    const auto objective = MakeSftObjective(*first, examples);
    Trainer before(*first, *objective, options);
    while (before.log().step < 4) before.Step();
    const auto other = MakeSftObjective(*second, examples);
    Trainer after(*second, *other, options);
    const c10::NoGradGuard no_grad;
    for (const auto& [name, tensor] : second->parameters())
      at::Tensor(tensor).copy_(first->parameters().at(name));
    after.Restore(before.State());
    {
      const at::AutoGradMode with_grad(true);
      for (std::size_t step = 4; !after.done(); ++step) {
        const StepLog log = after.Step();
        EXPECT_EQ(log.step, static_cast<int64_t>(step) + 1);
        EXPECT_EQ(log.loss, expected[step].loss) << step;
        EXPECT_EQ(log.learning_rate, expected[step].learning_rate) << step;
        EXPECT_EQ(log.tokens, expected[step].tokens) << step;
      }
    }
    for (const auto& [name, tensor] : second->parameters())
      EXPECT_TRUE(at::equal(tensor, whole->parameters().at(name))) << name;
  }
}

TEST(Train, RefusesAStateOfOtherWeights) {
  const auto examples = Sentences();
  const auto model = testing::SmallPhi();
  const auto objective = MakeSftObjective(*model, examples);
  Trainer trainer(*model, *objective, Fast());
  TrainState state = trainer.State();
  state.optimizer.tensors.erase(state.optimizer.tensors.begin());
  EXPECT_THROW(trainer.Restore(state), Error);
}

// Measure() gives the loss of one step with all examples, whatever the size of a forward pass.
TEST(Measure, IsTheMeanOverAllExamples) {
  const auto pairs = Pairs();
  const auto model = testing::SmallPhi();
  const auto objective = Dpo(*model, pairs, 0.2);
  Progress quiet;
  const auto measured = Measure(*model, *objective, 3, quiet);
  TrainOptions options = Fast();
  options.batch_size = 10;
  Trainer trainer(*model, *objective, options);
  const StepLog& log = trainer.Step();
  EXPECT_NEAR(measured.at("loss"), log.loss, 1e-6);
  EXPECT_NEAR(measured.at("logps/chosen"), log.metrics.at("logps/chosen"), 1e-5);
}

TEST(Train, RefusesBadOptions) {
  const auto examples = Sentences();
  const auto model = testing::SmallPhi();
  const auto objective = MakeSftObjective(*model, examples);
  const auto refused = [&](auto change) {
    TrainOptions options = Fast();
    change(options);
    EXPECT_THROW(RunSteps(*model, *objective, options), Error);
  };
  refused([](auto& o) { o.optimizer.learning_rate = 0; });
  refused([](auto& o) { o.epochs = 0; });
  refused([](auto& o) { o.batch_size = 0; });
  refused([](auto& o) { o.gradient_accumulation = 0; });
  refused([](auto& o) { o.warmup_ratio = 1; });
  EXPECT_THROW(RunSteps(*model, *MakeSftObjective(*model, {}), Fast()), Error);
}

}  // namespace
}  // namespace pivotal::dpo
