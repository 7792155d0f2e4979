// Apache-2.0. The policy gradient against the formulas of PPO (arXiv 1707.06347) and GRPO
// (2402.03300), computed with a forward pass for each completion in float64. trl_parity_test.cc
// compares it with TRL's GRPOTrainer.
#include "dpo/policy_gradient.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "data/base/error.h"
#include "dpo/trainer.h"
#include "tests/support/error_text.h"
#include "tests/support/small_phi.h"
#include "tests/support/thread_ranks.h"

namespace pivotal::dpo {
namespace {

using testing::ErrorText;
using ::testing::HasSubstr;
using Ids = std::vector<TokenId>;

LossOptions Ppo(double kl_weight = 0.3) {
  LossOptions options;
  options.method = PreferenceMethod::kPpo;
  options.clip_ratio = 0.1;
  options.kl_weight = kl_weight;
  options.Validate();
  return options;
}

// Returns five examples; some share prompts or the beginnings of completions, one has a weight, one
// knows the policy that sampled it.
std::vector<AdvantageExample> AdvantageExamples() {
  std::vector<AdvantageExample> examples = {
      {"a", {1, 5, 9, 4}, {7, 8, 2}, {0.5f, -0.25f, 0.25f}, {}},
      {"b", {1, 5, 9, 4}, {7, 12}, {-0.5f, 0.0f}, {-2.5f, -3.0f}},
      {"c", {1, 6}, {30, 31, 32, 2}, {0.1f, 0.1f, 0.1f, 0.1f}, {}},
      {"d", {1, 5}, {9}, {-1.0f}, {}},
      {"e", {1, 44, 45}, {17, 18}, {0.75f, -0.75f}, {}}};
  examples[2].weight = 1.5;
  return examples;
}

// Returns the log-probabilities of the completion's tokens.
at::Tensor TokensUnder(const model::PhiModel& model, const AdvantageExample& example) {
  std::vector<int64_t> all(example.prompt_ids.begin(), example.prompt_ids.end());
  all.insert(all.end(), example.completion_ids.begin(), example.completion_ids.end());
  const at::Tensor tokens = at::tensor(all, at::TensorOptions(at::kLong)).unsqueeze(0);
  const at::Tensor rows = at::log_softmax(model.Logits(model.Hidden(tokens))[0], -1);
  const auto prompt = std::ssize(example.prompt_ids), n = std::ssize(example.completion_ids);
  return rows.narrow(0, prompt - 1, n)
      .gather(1, tokens[0].narrow(0, prompt, n).unsqueeze(1))
      .squeeze(1);
}

// Changes every weight by `factor` and asks for gradients.
void Move(const model::PhiModel& model, double factor) {
  const c10::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model.parameters()) at::Tensor(tensor).mul_(factor);
  for (auto [name, weight] : model.parameters()) weight.requires_grad_(true);
}

struct TextbookGradient {
  at::Tensor loss;
  double ratio = 0, clipped = 0, kl = 0;  // means over tokens
};

TextbookGradient OfFormulas(const model::PhiModel& policy, const model::PhiModel& first,
                            std::span<const AdvantageExample> examples, const LossOptions& o) {
  TextbookGradient result{at::zeros({}, at::kDouble)};
  double tokens = 0;
  for (const AdvantageExample& example : examples)
    tokens += static_cast<double>(example.completion_ids.size());
  for (const AdvantageExample& example : examples) {
    const at::Tensor logps = TokensUnder(policy, example);
    const at::Tensor before = TokensUnder(first, example).detach();
    for (std::size_t t = 0; t < example.completion_ids.size(); ++t) {
      const auto row = static_cast<int64_t>(t);
      const double advantage = example.advantages[t], reference = before[row].item<double>();
      const double old = example.old_logprobs.empty() ? reference : example.old_logprobs[t];
      const at::Tensor ratio = (logps[row] - old).exp();
      const double r = ratio.item<double>();
      // The smaller of the two products: a ratio beyond the bound counts as the bound if that is
      // less good.
      const bool clips =
          advantage > 0 ? r > 1 + o.clip_ratio : advantage < 0 && r < 1 - o.clip_ratio;
      const at::Tensor surrogate =
          clips ? at::zeros({}, at::kDouble) +
                      advantage * (advantage > 0 ? 1 + o.clip_ratio : 1 - o.clip_ratio)
                : ratio * advantage;
      const at::Tensor inverse = (reference - logps[row]).exp();
      const at::Tensor kl = inverse - (reference - logps[row]) - 1;
      result.loss = result.loss + example.weight * (o.kl_weight * kl - surrogate) / tokens;
      result.ratio += r / tokens;
      result.clipped += clips / tokens;
      result.kl += kl.item<double>() / tokens;
    }
  }
  return result;
}

std::vector<int64_t> AllOf(const Objective& objective) {
  std::vector<int64_t> all(static_cast<std::size_t>(objective.size()));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

TEST(PolicyObjective, LossAndGradientMatchTheFormulas) {
  const auto examples = AdvantageExamples();
  Progress quiet;
  for (const double kl_weight : {0.3, 0.0}) {
    const auto policy = testing::InDouble(*testing::SmallPhi()),
               first = testing::InDouble(*testing::SmallPhi());
    const LossOptions options = Ppo(kl_weight);
    const at::Tensor scores = ReferenceLogProbs(*policy, examples, 2, quiet);
    const auto objective =
        MakePolicyObjective(*policy, examples, options, OldLogProbs(examples, scores),
                            kl_weight > 0 ? scores : at::Tensor());
    Move(*policy, 1.05);
    const auto all = AllOf(*objective);
    const LossTerms terms = objective->Compute(all, all);
    terms.loss.backward();
    std::map<std::string, at::Tensor> got;
    for (auto [name, weight] : policy->parameters()) {
      got[name] = weight.grad().clone();
      weight.mutable_grad().reset();
    }
    const TextbookGradient want = OfFormulas(*policy, *first, examples, options);
    EXPECT_NEAR(terms.loss.item<double>(), want.loss.item<double>(), 1e-10);
    EXPECT_NEAR(terms.metrics.at("ratio").item<double>(), want.ratio, 1e-10);
    EXPECT_NEAR(terms.metrics.at("clip_ratio/region_mean").item<double>(), want.clipped, 1e-12);
    EXPECT_GT(want.clipped, 0.1);
    EXPECT_LT(want.clipped, 0.9);
    if (kl_weight > 0) {
      EXPECT_NEAR(terms.metrics.at("kl").item<double>(), want.kl, 1e-10);
      EXPECT_GT(want.kl, 1e-3);
    } else {
      EXPECT_FALSE(terms.metrics.contains("kl"));
    }
    want.loss.backward();
    for (const auto& [name, weight] : policy->parameters())
      EXPECT_LT((weight.grad() - got[name]).abs().max().item<double>(), 1e-9) << name;
  }
}

// Before the first step the ratio is 1 and the divergence 0: the gradient is that of -sum A log pi.
TEST(PolicyObjective, BeginsAsThePlainPolicyGradient) {
  auto examples = AdvantageExamples();
  examples[1].old_logprobs.clear();
  examples[2].weight = 1;
  const auto policy = testing::InDouble(*testing::SmallPhi());
  Progress quiet;
  const at::Tensor scores = ReferenceLogProbs(*policy, examples, 2, quiet);
  const auto objective = MakePolicyObjective(*policy, examples, Ppo(), scores, scores);
  Move(*policy, 1);
  const auto all = AllOf(*objective);
  const LossTerms terms = objective->Compute(all, all);
  terms.loss.backward();
  EXPECT_NEAR(terms.metrics.at("ratio").item<double>(), 1, 1e-12);
  EXPECT_NEAR(terms.metrics.at("kl").item<double>(), 0, 1e-12);
  std::map<std::string, at::Tensor> got;
  for (auto [name, weight] : policy->parameters()) {
    got[name] = weight.grad().clone();
    weight.mutable_grad().reset();
  }
  at::Tensor plain = at::zeros({}, at::kDouble);
  for (const AdvantageExample& example : examples) {
    const std::vector<double> advantages(example.advantages.begin(), example.advantages.end());
    plain = plain -
            (TokensUnder(*policy, example) * at::tensor(advantages, at::TensorOptions(at::kDouble)))
                    .sum() /
                12;
  }
  plain.backward();
  for (const auto& [name, weight] : policy->parameters())
    EXPECT_LT((weight.grad() - got[name]).abs().max().item<double>(), 1e-9) << name;
}

// The derivative by the log-probability, from differences of the loss.
TEST(ComputeTokenLoss, GradientIsThatOfDifferences) {
  const auto row = [](std::vector<double> values) {
    return at::tensor(values, at::TensorOptions(at::kDouble));
  };
  const at::Tensor old = row({-1, -1, -1, -1, -1, -1}),
                   reference = row({-2, -1, -0.5, -1, -1.1, -3}),
                   advantages = row({1, 1, -1, -1, 0, 0.5});
  // Ratios inside the bounds, above them and below them for advantages of both signs.
  const at::Tensor at_point = row({-0.95, -0.5, -1.5, -0.5, -0.5, -1.5});
  const auto loss = [&](const at::Tensor& logps) {
    return ComputeTokenLoss(Ppo(), {logps, old, reference, advantages});
  };
  at::Tensor logps = at_point.clone();
  logps.requires_grad_(true);
  const TokenLoss result = loss(logps);
  result.loss.sum().backward();
  const double step = 1e-6;
  const at::Tensor slope = (loss(at_point + step).loss - loss(at_point - step).loss) / (2 * step);
  EXPECT_LT((slope - logps.grad()).abs().max().item<double>(), 1e-8);
  const double clipped[] = {0, 1, 1, 0, 0, 0};
  for (int i = 0; i < 6; ++i) EXPECT_EQ(result.clipped[i].item<double>(), clipped[i]) << i;
}

TEST(PolicyObjective, PartsOfAStepAddUp) {
  const auto examples = AdvantageExamples();
  const auto policy = testing::InDouble(*testing::SmallPhi());
  Progress quiet;
  const at::Tensor scores = ReferenceLogProbs(*policy, examples, 3, quiet);
  const auto objective =
      MakePolicyObjective(*policy, examples, Ppo(), OldLogProbs(examples, scores), scores);
  Move(*policy, 1.05);
  const auto all = AllOf(*objective);
  const std::span<const int64_t> step = all;
  const LossTerms whole = objective->Compute(step, step),
                  a = objective->Compute(step.first(2), step, {}),
                  b = objective->Compute(step.subspan(2), step, {});
  EXPECT_NEAR(whole.loss.item<double>(), (a.loss + b.loss).item<double>(), 1e-12);
  for (const auto& [name, value] : whole.metrics)
    EXPECT_NEAR(value.item<double>(), (a.metrics.at(name) + b.metrics.at(name)).item<double>(),
                1e-12)
        << name;
}

struct Trained {
  std::vector<StepLog> logs;
  model::ParameterMap weights;
};

Trained TrainPolicy(int64_t batch_size, int64_t accumulation, Ranks& ranks) {
  const auto examples = AdvantageExamples();
  const auto model = testing::InDouble(*testing::SmallPhi());
  TrainOptions options;
  options.optimizer.learning_rate = 1e-2;
  options.batch_size = batch_size;
  options.gradient_accumulation = accumulation;
  options.epochs = 4;
  Progress quiet;
  const at::Tensor scores = ReferenceLogProbs(*model, examples, 2, quiet, ranks);
  const auto objective =
      MakePolicyObjective(*model, examples, Ppo(), OldLogProbs(examples, scores), scores);
  Trained result;
  for (Trainer trainer(*model, *objective, options, ranks); !trainer.done();)
    result.logs.push_back(trainer.Step());
  for (const auto& [name, tensor] : model->Trainable())
    result.weights[name] = tensor.detach().clone();
  return result;
}

TEST(PolicyObjective, PassesAndRanksOfAStepMakeTheSameSteps) {
  const Trained alone = TrainPolicy(4, 1, Alone());
  const auto expect_same = [&](const Trained& got) {
    ASSERT_EQ(got.logs.size(), alone.logs.size());
    for (std::size_t i = 0; i < alone.logs.size(); ++i) {
      EXPECT_NEAR(got.logs[i].loss, alone.logs[i].loss, 1e-9) << i;
      for (const auto& [name, value] : alone.logs[i].metrics)
        EXPECT_NEAR(got.logs[i].metrics.at(name), value, 1e-9) << name << " " << i;
    }
    for (const auto& [name, weight] : alone.weights)
      EXPECT_LT((got.weights.at(name) - weight).abs().max().item<double>(), 1e-9) << name;
  };
  expect_same(TrainPolicy(2, 2, Alone()));
  for (int count : {2, 3}) {
    std::vector<Trained> results(count);
    testing::RunRanks(count,
                      [&](Ranks& ranks) { results[ranks.rank()] = TrainPolicy(4, 1, ranks); });
    expect_same(results[0]);
  }
}

TEST(PolicyObjective, RefusesWhatDoesNotFit) {
  auto examples = AdvantageExamples();
  const auto model = testing::SmallPhi();
  examples[3].advantages.push_back(1);
  EXPECT_THAT(ErrorText([&] { MakePolicyObjective(*model, examples, Ppo(), {}, {}); }),
              HasSubstr("example d: 2 advantages of 1 tokens"));
  examples[3] = {"long", Ids(95, 5), {7, 8, 9}, {1, 1, 1}, {}};
  EXPECT_THAT(ErrorText([&] { MakePolicyObjective(*model, examples, Ppo(), {}, {}); }),
              HasSubstr("example long: 97 tokens"));
  const auto invalid = [](auto change) {
    LossOptions options = Ppo();
    change(options);
    return ErrorText([&] { options.Validate(); });
  };
  EXPECT_THAT(invalid([](LossOptions& o) { o.clip_ratio = 1; }), HasSubstr("clip ratio"));
  EXPECT_THAT(invalid([](LossOptions& o) { o.kl_weight = -1; }), HasSubstr("kl weight"));
  EXPECT_THAT(invalid([](LossOptions& o) { o.losses = {{LossType::kIpo}}; }),
              HasSubstr("loss ipo cannot be combined with objective ppo"));
  EXPECT_THAT(invalid([](LossOptions& o) { o.rpo_alpha = 1; }), HasSubstr("rpo alpha"));
  EXPECT_THAT(invalid([](LossOptions& o) { o.label_smoothing = 0.1; }), HasSubstr("ppo"));
  EXPECT_THAT(invalid([](LossOptions& o) { o.reference_sync_steps = 2; }),
              HasSubstr("reference sync steps would have no effect on ppo"));
}

}  // namespace
}  // namespace pivotal::dpo
