// Apache-2.0. KTO against the formulas of arXiv 2402.01306, computed with a forward pass for each
// completion in float64.
#include "dpo/unpaired.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "data/base/error.h"
#include "dpo/trainer.h"
#include "tests/support/small_phi.h"
#include "tests/support/thread_ranks.h"

namespace pivotal::dpo {
namespace {

using ::testing::ElementsAre;
using Ids = std::vector<TokenId>;

constexpr double kBeta = 0.6, kDesirable = 1.3, kUndesirable = 0.7;

LossOptions Kto(const std::string& loss = "sigmoid") {
  LossOptions options;
  options.method = PreferenceMethod::kKto;
  options.losses = ParseLosses(loss);
  options.beta = kBeta;
  options.desirable_weight = kDesirable;
  options.undesirable_weight = kUndesirable;
  options.Validate();
  return options;
}

// Returns seven examples; some share prompts or their beginnings, one has a weight.
std::vector<UnpairedExample> Examples() {
  std::vector<UnpairedExample> examples;
  const auto add = [&](Ids prompt, Ids completion, bool desirable) {
    examples.push_back({"e" + std::to_string(examples.size()),
                        std::move(prompt),
                        std::move(completion),
                        {},
                        desirable});
  };
  add({1, 5, 9, 4}, {7}, true);
  add({1, 6}, {30, 31, 2}, false);
  add({1, 5, 9}, {8, 12}, true);
  add({1, 5, 9, 4, 8}, {40, 2}, true);
  add({1, 44}, {17}, false);
  add({1, 50, 51}, {20, 21, 22, 23}, false);
  add({1, 52}, {24}, true);
  examples[2].weight = 2.5;
  return examples;
}

at::Tensor LogProbOf(const model::PhiModel& model, const Ids& prompt, const Ids& completion) {
  std::vector<int64_t> all(prompt.begin(), prompt.end());
  all.insert(all.end(), completion.begin(), completion.end());
  const at::Tensor tokens = at::tensor(all, at::TensorOptions(at::kLong)).unsqueeze(0);
  const at::Tensor rows = at::log_softmax(model.Logits(model.Hidden(tokens))[0], -1);
  at::Tensor sum = rows.new_zeros({});
  for (std::size_t i = 0; i < completion.size(); ++i)
    sum = sum + rows[static_cast<int64_t>(prompt.size() + i) - 1][completion[i]];
  return sum;
}

// Changes every weight a little and asks for gradients.
void Perturb(const model::PhiModel& model) {
  const c10::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model.parameters()) at::Tensor(tensor).mul_(1.1).add_(0.01);
  for (auto [name, weight] : model.parameters()) weight.requires_grad_(true);
}

struct Textbook {
  at::Tensor loss;
  double kl = 0;
};

// Computes the mean of lambda_y - v(x, y) (eq. 7) with z_0 from the mismatched completions. The
// sum lambda - lambda sigmoid(...) is written out for both kinds.
Textbook OfTextbook(const model::PhiModel& policy, const model::PhiModel& reference,
                    const UnpairedData& data, bool unpaired_apo) {
  const auto ratio = [&](const Ids& prompt, const Ids& completion) {
    at::Tensor before;
    {
      const c10::NoGradGuard no_grad;
      before = LogProbOf(reference, prompt, completion);
    }
    return LogProbOf(policy, prompt, completion) - before;
  };
  const auto count = static_cast<double>(data.examples.size());
  Textbook result{at::zeros({}, at::kDouble)};
  for (std::size_t i = 0; i < data.mismatched.size(); ++i)
    result.kl +=
        ratio(data.examples[i].prompt_ids, data.examples[data.mismatched[i]].completion_ids)
            .item<double>() /
        count;
  result.kl = std::max(result.kl, 0.0);
  for (const UnpairedExample& example : data.examples) {
    const at::Tensor r = ratio(example.prompt_ids, example.completion_ids);
    at::Tensor loss;
    if (unpaired_apo)
      loss = example.desirable ? 1 - (kBeta * r).sigmoid() : (kBeta * r).sigmoid();
    else
      loss = 1 - (example.desirable ? kBeta * (r - result.kl) : kBeta * (result.kl - r)).sigmoid();
    loss = loss * (example.desirable ? kDesirable : kUndesirable);
    result.loss = result.loss + loss * example.weight / count;
  }
  return result;
}

std::vector<int64_t> All(const Objective& objective) {
  std::vector<int64_t> all(static_cast<std::size_t>(objective.size()));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

void ExpectTextbook(const std::string& loss, int64_t block, bool follows) {
  const auto examples = Examples();
  const auto policy = testing::InDouble(*testing::SmallPhi()),
             first = testing::InDouble(*testing::SmallPhi());
  const LossOptions options = Kto(loss);
  const UnpairedData data = MismatchCompletions(examples, options, block);
  Progress quiet;
  FollowingReference following(*policy, 0.5, 1);
  following.Begin();
  const auto objective = follows
                             ? MakeUnpairedObjective(*policy, data, options, following)
                             : MakeUnpairedObjective(*policy, data, options,
                                                     ReferenceLogProbs(*policy, data, 3, quiet));
  Perturb(*policy);
  const auto all = All(*objective);
  const LossTerms terms = objective->Compute(all, all);
  terms.loss.backward();
  std::map<std::string, at::Tensor> got;
  for (auto [name, weight] : policy->parameters()) {
    got[name] = weight.grad().clone();
    weight.mutable_grad().reset();
  }
  const Textbook want = OfTextbook(*policy, *first, data, loss == "apo_zero_unpaired");
  EXPECT_NEAR(terms.loss.item<double>(), want.loss.item<double>(), 1e-10);
  if (options.UsesKl()) {
    EXPECT_NEAR(terms.metrics.at("kl").item<double>(), want.kl, 1e-10);
  } else {
    EXPECT_FALSE(terms.metrics.contains("kl"));
  }
  want.loss.backward();
  for (const auto& [name, weight] : policy->parameters())
    EXPECT_LT((weight.grad() - got[name]).abs().max().item<double>(), 1e-9) << name;
  double chosen = 0, rejected = 0;
  const c10::NoGradGuard no_grad;
  for (const auto& example : examples)
    (example.desirable ? chosen : rejected) +=
        LogProbOf(*policy, example.prompt_ids, example.completion_ids).item<double>();
  EXPECT_NEAR(terms.metrics.at("logps/chosen").item<double>(), chosen / 4, 1e-9);
  EXPECT_NEAR(terms.metrics.at("logps/rejected").item<double>(), rejected / 3, 1e-9);
  EXPECT_NEAR(terms.metrics.at("rewards/margins").item<double>(),
              terms.metrics.at("rewards/chosen").item<double>() -
                  terms.metrics.at("rewards/rejected").item<double>(),
              1e-12);
}

TEST(UnpairedObjective, LossAndGradientMatchTheTextbook) {
  for (int64_t block : {7, 4, 3}) ExpectTextbook("sigmoid", block, false);
  ExpectTextbook("sigmoid", 7, true);
  ExpectTextbook("apo_zero_unpaired", 7, false);
  ExpectTextbook("apo_zero_unpaired", 7, true);
}

// The textbook's estimate above 0 and one below 0, which counts as 0.
TEST(UnpairedObjective, TheKlTermIsNeverNegative) {
  const auto examples = Examples();
  const auto policy = testing::InDouble(*testing::SmallPhi());
  const LossOptions options = Kto();
  const UnpairedData data = MismatchCompletions(examples, options, 7);
  Progress quiet;
  const at::Tensor reference = ReferenceLogProbs(*policy, data, 3, quiet);
  for (const double shift : {0.5, -0.5}) {
    const at::Tensor shifted = reference.clone();
    shifted.select(1, 1).sub_(shift);
    const auto objective = MakeUnpairedObjective(*policy, data, options, shifted);
    const auto all = All(*objective);
    const LossTerms terms = objective->Compute(all, all);
    const double kl = std::max(shift, 0.0);
    EXPECT_NEAR(terms.metrics.at("kl").item<double>(), kl, 1e-9);
    const auto loss = [&](double x) { return 1 - 1 / (1 + std::exp(-x)); };
    EXPECT_NEAR(
        terms.loss.item<double>(),
        (kDesirable * (1 + 1 + 1 + 2.5) * loss(-kBeta * kl) + kUndesirable * 3 * loss(kBeta * kl)) /
            7,
        1e-9);
  }
}

TEST(UnpairedObjective, PartsOfAStepAddUp) {
  const auto examples = Examples();
  const auto policy = testing::InDouble(*testing::SmallPhi());
  const LossOptions options = Kto();
  const UnpairedData data = MismatchCompletions(examples, options, 7);
  Progress quiet;
  const auto objective =
      MakeUnpairedObjective(*policy, data, options, ReferenceLogProbs(*policy, data, 3, quiet));
  Perturb(*policy);
  const auto all = All(*objective);
  const std::span<const int64_t> step = all;
  const at::Tensor survey =
      objective->Survey(step.first(3), 2) + objective->Survey(step.subspan(3), 9);
  const LossTerms whole = objective->Compute(step, step),
                  a = objective->Compute(step.first(2), step, survey),
                  b = objective->Compute(step.subspan(2), step, survey);
  EXPECT_NEAR(whole.loss.item<double>(), (a.loss + b.loss).item<double>(), 1e-12);
  for (const auto& [name, value] : whole.metrics)
    EXPECT_NEAR(value.item<double>(), (a.metrics.at(name) + b.metrics.at(name)).item<double>(),
                1e-12)
        << name;
  const std::vector<int64_t> good = {0, 2, 3};
  const LossTerms terms = objective->Compute(good, good);
  EXPECT_TRUE(terms.metrics.contains("rewards/chosen"));
  EXPECT_FALSE(terms.metrics.contains("rewards/rejected"));
  EXPECT_FALSE(terms.metrics.contains("rewards/margins"));
}

TEST(MismatchCompletions, RotatesThemInBlocks) {
  std::vector<UnpairedExample> examples;
  for (TokenId i = 0; i < 7; ++i) examples.push_back({"", {1, 10 + i}, {20 + i}, {}, true});
  EXPECT_THAT(MismatchCompletions(examples, Kto(), 100).mismatched,
              ElementsAre(6, 0, 1, 2, 3, 4, 5));
  EXPECT_THAT(MismatchCompletions(examples, Kto(), 4).mismatched, ElementsAre(3, 0, 1, 2, 6, 4, 5));
  EXPECT_THAT(MismatchCompletions(examples, Kto(), 3).mismatched, ElementsAre(2, 0, 1, 5, 3, 4, 5))
      << "the last block has one example";
  EXPECT_TRUE(MismatchCompletions(examples, Kto("apo_zero_unpaired"), 1).mismatched.empty());
  examples[1].prompt_ids = examples[2].prompt_ids = examples[0].prompt_ids;
  EXPECT_THAT(MismatchCompletions(examples, Kto(), 5).mismatched, ElementsAre(4, 4, 4, 2, 3, 6, 5))
      << "another prompt is looked for";
  EXPECT_THAT(MismatchCompletions(std::span(examples).first(3), Kto(), 5).mismatched,
              ElementsAre(2, 0, 1))
      << "there is no other prompt";
  EXPECT_THROW(MismatchCompletions(std::span(examples).first(1), Kto(), 5), Error);
  EXPECT_THROW(MismatchCompletions(examples, Kto(), 1), Error);
}

// The model has 96 positions. Its own completion of 3 tokens fits after a prompt of 94 tokens, that
// of the other example does not.
TEST(UnpairedObjective, MismatchedCompletionsAreCutWhereTheModelEnds) {
  std::vector<UnpairedExample> examples = {{"long", Ids(94, 5), {7, 8, 9}, {}, true},
                                           {"short", {1, 6}, {30, 31, 32, 33, 34}, {}, false}};
  const auto model = testing::InDouble(*testing::SmallPhi());
  const UnpairedData data = MismatchCompletions(examples, Kto(), 2);
  Progress quiet;
  const c10::NoGradGuard no_grad;
  const at::Tensor reference = ReferenceLogProbs(*model, data, 2, quiet);
  EXPECT_NEAR(reference[0][1].item<double>(),
              LogProbOf(*model, examples[0].prompt_ids, {30, 31, 32}).item<double>(), 1e-9);
  EXPECT_NEAR(reference[1][1].item<double>(),
              LogProbOf(*model, examples[1].prompt_ids, {7, 8, 9}).item<double>(), 1e-9);
  const auto objective = MakeUnpairedObjective(*model, data, Kto(), reference);
  const auto all = All(*objective);
  EXPECT_NEAR(objective->Survey(all, 1).item<double>(), 0, 1e-9);
  examples[0].completion_ids.push_back(3);
  EXPECT_THROW(MakeUnpairedObjective(*model, data, Kto(), reference), Error);
}

struct Outcome {
  std::vector<StepLog> logs;
  std::map<std::string, double> measured;
  model::ParameterMap weights;
};

Outcome TrainKto(int64_t batch_size, int64_t accumulation, Ranks& ranks) {
  const auto examples = Examples();
  const auto model = testing::InDouble(*testing::SmallPhi());
  TrainOptions options;
  options.optimizer.learning_rate = 1e-2;
  options.batch_size = batch_size;
  options.gradient_accumulation = accumulation;
  options.epochs = 4;
  const UnpairedData data = MismatchCompletions(examples, Kto(), options.StepSize());
  Progress quiet;
  const auto objective =
      MakeUnpairedObjective(*model, data, Kto(), ReferenceLogProbs(*model, data, 3, quiet, ranks));
  Outcome outcome;
  for (Trainer trainer(*model, *objective, options, ranks); !trainer.done();)
    outcome.logs.push_back(trainer.Step());
  outcome.measured = Measure(*model, *objective, 3, quiet, ranks);
  for (const auto& [name, tensor] : model->Trainable())
    outcome.weights[name] = tensor.detach().clone();
  return outcome;
}

void ExpectSame(const Outcome& got, const Outcome& want) {
  ASSERT_EQ(got.logs.size(), want.logs.size());
  for (std::size_t i = 0; i < want.logs.size(); ++i) {
    EXPECT_NEAR(got.logs[i].loss, want.logs[i].loss, 1e-9) << i;
    ASSERT_EQ(got.logs[i].metrics.size(), want.logs[i].metrics.size());
    for (const auto& [name, value] : want.logs[i].metrics)
      EXPECT_NEAR(got.logs[i].metrics.at(name), value, 1e-9) << name << " " << i;
  }
  for (const auto& [name, value] : want.measured)
    EXPECT_NEAR(got.measured.at(name), value, 1e-9) << name;
  for (const auto& [name, weight] : want.weights)
    EXPECT_LT((got.weights.at(name) - weight).abs().max().item<double>(), 1e-9) << name;
}

TEST(UnpairedObjective, PassesAndRanksOfAStepShareTheKlTerm) {
  const Outcome alone = TrainKto(4, 1, Alone());
  double kl = 0;
  for (const StepLog& log : alone.logs) kl = std::max(kl, log.metrics.at("kl"));
  EXPECT_GT(kl, 1e-3);
  EXPECT_LT(alone.logs.back().loss, alone.logs.front().loss);
  ExpectSame(TrainKto(2, 2, Alone()), alone);
  for (int count : {2, 3}) {
    std::vector<Outcome> outcomes(count);
    testing::RunRanks(count, [&](Ranks& ranks) { outcomes[ranks.rank()] = TrainKto(4, 1, ranks); });
    ExpectSame(outcomes[0], alone);
  }
}

}  // namespace
}  // namespace pivotal::dpo
