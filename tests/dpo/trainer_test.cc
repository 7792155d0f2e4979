// Apache-2.0.
#include "dpo/trainer.h"

#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "data/error.h"
#include "tests/support/small_phi.h"

namespace pivotal::dpo {
namespace {

std::vector<data::PromptCompletion> Sentences() {
  std::vector<data::PromptCompletion> examples;
  for (TokenId i = 0; i < 12; ++i)
    examples.push_back({{1, 10 + i}, {30 + i, 40, static_cast<TokenId>(50 - i), 2}});
  return examples;
}

std::vector<data::PreferencePair> Pairs() {
  std::vector<data::PreferencePair> pairs;
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
                               const std::vector<data::PreferencePair>& pairs, double rpo_alpha) {
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
  Progress quiet;
  Train(model, objective, options, [&](const StepLog& log) { logs.push_back(log); }, quiet);
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

// One batch of 12 and three accumulated batches of 4 are the same step.
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

// A short and a long completion, alone in their batches, count by their tokens, not one each.
TEST(Train, EveryTokenOfAStepCountsTheSame) {
  const std::vector<data::PromptCompletion> examples = {{{1, 10}, {30}},
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

TEST(Train, StopsBetweenStepsWhenAsked) {
  class Stop : public Progress {
    bool StopRequested() const override { return ++calls > 5; }
    mutable int calls = 0;
  } stop;
  const auto examples = Sentences();
  const auto model = testing::SmallPhi();
  int64_t steps = 0;
  EXPECT_THROW(Train(*model, *MakeSftObjective(*model, examples), Fast(),
                     [&](const StepLog& log) { steps = log.step; }, stop),
               Interrupted);
  EXPECT_EQ(steps, 5);
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
