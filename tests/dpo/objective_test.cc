// Apache-2.0. Compares loss and gradients through a whole model, in float64, with the textbook
// formula and with finite differences.
#include "dpo/objective.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <tuple>

#include "data/base/error.h"
#include "model/lora.h"
#include "tests/support/small_phi.h"

namespace pivotal::dpo {
namespace {

constexpr double kBeta = 0.7, kAlpha = 0.3;

std::vector<PreferencePair> SomePairs() {
  const auto pair = [](const char* id, std::vector<TokenId> prompt, std::vector<TokenId> chosen,
                       std::vector<TokenId> rejected) {
    PreferencePair p;
    p.id = id;
    p.prompt_ids = std::move(prompt);
    p.chosen_ids = std::move(chosen);
    p.rejected_ids = std::move(rejected);
    return p;
  };
  return {pair("single", {1, 5, 9, 4}, {7}, {8}), pair("other", {1, 6}, {30}, {31}),
          pair("long", {1, 5, 9}, {7, 12, 2}, {8, 2})};
}

// Computes the log-probability of `completion` with gradients, by a forward pass of its own and the
// whole softmax.
at::Tensor LogProbTensor(const model::PhiModel& model, const std::vector<TokenId>& prompt,
                         const std::vector<TokenId>& completion) {
  std::vector<int64_t> all(prompt.begin(), prompt.end());
  all.insert(all.end(), completion.begin(), completion.end());
  const at::Tensor tokens = at::tensor(all, at::TensorOptions(at::kLong)).unsqueeze(0);
  const at::Tensor rows = at::log_softmax(model.Logits(model.Hidden(tokens))[0], -1);
  at::Tensor sum = rows.new_zeros({});
  for (std::size_t i = 0; i < completion.size(); ++i)
    sum = sum + rows[static_cast<int64_t>(prompt.size() + i) - 1][completion[i]];
  return sum;
}

// Computes the weight of a side by eq. 2 of arXiv 2406.11827: exp of the mean over tokens of
// log(pi(token) / sum_v pi(v)^2).
double WpoWeight(const model::PhiModel& model, const std::vector<TokenId>& prompt,
                 const std::vector<TokenId>& completion) {
  const c10::NoGradGuard no_grad;
  double sum = 0;
  std::vector<TokenId> prefix = prompt;
  for (const TokenId token : completion) {
    const std::vector<int64_t> all(prefix.begin(), prefix.end());
    const at::Tensor tokens = at::tensor(all, at::TensorOptions(at::kLong)).unsqueeze(0);
    const at::Tensor p = at::softmax(model.Logits(model.Hidden(tokens))[0][-1], -1);
    sum += std::log(p[token].item<double>() / p.square().sum().item<double>());
    prefix.push_back(token);
  }
  return std::exp(sum / static_cast<double>(completion.size()));
}

double LogProb(const model::PhiModel& model, const std::vector<TokenId>& prompt,
               const std::vector<TokenId>& completion) {
  return LogProbTensor(model, prompt, completion).item<double>();
}

// Computes the textbook loss, a mean over pairs, with one forward pass per side.
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

// Changes every weight of `model` a little, so that policy and reference differ.
void Perturb(const model::PhiModel& model) {
  const c10::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model.parameters()) {
    at::Tensor handle = tensor;
    handle.mul_(1.1).add_(0.01);
  }
}

void AskForGradients(const model::PhiModel& model) {
  for (auto [name, weight] : model.parameters()) weight.requires_grad_(true);
}

std::vector<int64_t> All(int64_t count) {
  std::vector<int64_t> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

std::unique_ptr<Objective> Dpo(const model::PhiModel& model,
                               const std::vector<PreferencePair>& pairs, double beta,
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
  AskForGradients(*policy);
  const LossTerms terms = Whole(*objective);
  EXPECT_NEAR(terms.loss.item<double>(), Textbook(*policy, *reference), 1e-8);
  terms.loss.backward();
  for (const char* name :
       {"model.embed_tokens.weight", "model.layers.0.self_attn.qkv_proj.weight",
        "model.layers.1.mlp.gate_up_proj.weight", "model.norm.weight", "lm_head.weight"}) {
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
      EXPECT_NEAR(gradient[i].item<double>(), (above - below) / (2 * kStep), 1e-7)
          << name << " " << i;
    }
  }
}

// Returns pairs of single tokens: on prefixes of one prompt, on a sibling of it, and on another
// prompt.
std::vector<PreferencePair> TrunkPairs() {
  const std::vector<TokenId> trunk = {1, 5, 9, 4, 8, 3, 7, 6, 11, 12, 13, 14, 15};
  std::vector<PreferencePair> pairs;
  for (std::size_t length : {3, 9, 13, 9}) {
    auto& pair = pairs.emplace_back();
    pair.id = "trunk";
    pair.prompt_ids.assign(trunk.begin(), trunk.begin() + length);
    pair.chosen_ids = {static_cast<TokenId>(20 + pairs.size())};
    pair.rejected_ids = {30};
  }
  pairs.push_back(pairs[1]);
  pairs.back().prompt_ids.push_back(44);
  pairs.push_back(SomePairs()[1]);
  return pairs;
}

void ExpectTextbookGradients(const std::vector<PreferencePair>& pairs, LossOptions options) {
  const auto policy = testing::InDouble(*testing::SmallPhi());
  Progress quiet;
  const at::Tensor reference =
      options.UsesReference() ? ReferenceLogProbs(*policy, pairs, 2, quiet) : at::Tensor();
  Perturb(*policy);
  AskForGradients(*policy);
  const LossTerms terms = Whole(*MakePreferenceObjective(*policy, pairs, options, reference));
  terms.loss.backward();
  std::map<std::string, at::Tensor> got;
  for (auto [name, weight] : policy->parameters()) {
    got[name] = weight.grad().clone();
    weight.mutable_grad().reset();
  }
  const auto initial = testing::InDouble(*testing::SmallPhi());
  const auto side = [&](std::vector<TokenId> PreferencePair::*ids) {
    std::vector<at::Tensor> logps, reference;
    std::vector<double> lengths;
    for (const auto& pair : pairs) {
      logps.push_back(LogProbTensor(*policy, pair.prompt_ids, pair.*ids));
      const c10::NoGradGuard no_grad;
      reference.push_back(LogProbTensor(*initial, pair.prompt_ids, pair.*ids));
      lengths.push_back(static_cast<double>((pair.*ids).size()));
    }
    return SideTerms{at::stack(logps), at::stack(reference), at::tensor(lengths, at::kDouble)};
  };
  const SideTerms chosen = side(&PreferencePair::chosen_ids),
                  rejected = side(&PreferencePair::rejected_ids);
  std::vector<double> pair_weights, wpo_weights;
  for (const auto& pair : pairs) {
    pair_weights.push_back(pair.weight);
    wpo_weights.push_back(options.wpo ? WpoWeight(*policy, pair.prompt_ids, pair.chosen_ids) *
                                            WpoWeight(*policy, pair.prompt_ids, pair.rejected_ids)
                                      : 1);
  }
  const at::Tensor weights = at::tensor(pair_weights, at::kDouble);
  at::Tensor loss =
      (ComputeLoss(options, chosen, rejected).loss * weights * at::tensor(wpo_weights, at::kDouble))
          .mean();
  double nll = options.method == PreferenceMethod::kCpo ? options.cpo_alpha : 0;
  for (const auto& [type, weight] : options.losses)
    if (type == LossType::kSft) nll += weight;
  if (nll > 0) loss = loss - nll * (weights * chosen.logps).sum() / chosen.length.sum();
  EXPECT_NEAR(terms.loss.item<double>(), loss.item<double>(), 1e-10);
  loss.backward();
  for (const auto& [name, weight] : policy->parameters())
    EXPECT_LT((weight.grad() - got[name]).abs().max().item<double>(), 1e-8) << name;
}

TEST(PreferenceObjective, GradientsOfPackedPairsAreThoseOfSeparatePasses) {
  for (const std::string& name : LossTypeNames()) {
    LossOptions options;
    options.losses = ParseLosses(name);
    options.beta = kBeta;
    if (options.Has(LossType::kExoPair)) options.label_smoothing = 0.1;
    if (options.Has(LossType::kApoZeroUnpaired)) continue;
    SCOPED_TRACE(name);
    ExpectTextbookGradients(TrunkPairs(),
                            options);  // the normaliser has no gradient for some losses
    ExpectTextbookGradients(SomePairs(), options);
  }
  LossOptions simpo;
  simpo.method = PreferenceMethod::kSimpo;
  LossOptions mix;
  mix.losses = ParseLosses("sigmoid:0.8,bco_pair:0.2,sft:0.5");
  LossOptions difference;
  difference.losses = ParseLosses("sigmoid:0.8,ipo:0.2,aot");
  for (const LossOptions& options : {simpo, mix, difference}) {
    ExpectTextbookGradients(TrunkPairs(), options);
    ExpectTextbookGradients(SomePairs(), options);
  }
  for (const std::string& name : FDivergenceNames()) {
    LossOptions options;
    options.divergence = ParseFDivergence(name);
    SCOPED_TRACE(name);
    ExpectTextbookGradients(TrunkPairs(), options);
    ExpectTextbookGradients(SomePairs(), options);
  }
}

TEST(PreferenceObjective, WeightsOfPairsMultiplyTheirLoss) {
  for (auto pairs : {TrunkPairs(), SomePairs()}) {
    pairs[0].weight = 0.25;
    pairs[1].weight = 0;
    pairs[2].weight = 3;
    LossOptions cpo;
    cpo.method = PreferenceMethod::kCpo;
    LossOptions rpo;
    rpo.rpo_alpha = kAlpha;
    LossOptions mix;
    mix.losses = ParseLosses("sigmoid,apo_zero,sft:0.5");
    for (const LossOptions& options : {LossOptions{}, cpo, rpo, mix})
      ExpectTextbookGradients(pairs, options);
  }
}

TEST(PreferenceObjective, TailsBeyondTheOtherSideAreDiscounted) {
  auto pairs = SomePairs();  // the last one has 3 chosen and 2 rejected tokens
  DiscountTails(pairs, 0.25);
  EXPECT_TRUE(pairs[0].chosen_weights.empty() && pairs[0].rejected_weights.empty());
  EXPECT_EQ(pairs[2].chosen_weights, (std::vector<float>{1, 1, 0.25f}));
  EXPECT_TRUE(pairs[2].rejected_weights.empty());
  pairs[2].rejected_ids = {8};
  DiscountTails(pairs, 0.5);
  EXPECT_EQ(pairs[2].chosen_weights, (std::vector<float>{1, 0.5f, 0.125f}));
  const auto model = testing::InDouble(*testing::SmallPhi());
  Progress quiet;
  const auto& p = pairs[2];
  const auto prefix = [&](std::ptrdiff_t n) {
    return LogProb(*model, p.prompt_ids, {p.chosen_ids.begin(), p.chosen_ids.begin() + n});
  };
  EXPECT_NEAR(ReferenceLogProbs(*model, pairs, 2, quiet)[2][0].item<double>(),
              0.5 * prefix(1) + 0.375 * prefix(2) + 0.125 * prefix(3), 1e-9);
}

// The prompt of one token has no likelihood, so that prompts and pairs are not one to one.
TEST(PreferenceObjective, WeightsOfPairsMultiplyTheLikelihoodOfOrpo) {
  const auto model = testing::InDouble(*testing::SmallPhi());
  auto pairs = SomePairs();
  pairs[0].prompt_ids = {1};
  double sum = 0, tokens = 0;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const auto& [prompt, chosen] = std::tie(pairs[i].prompt_ids, pairs[i].chosen_ids);
    pairs[i].weight = 0.5 + static_cast<double>(i);
    sum -= pairs[i].weight * LogProb(*model, prompt, chosen);
    if (prompt.size() > 1)
      sum -= pairs[i].weight * LogProb(*model, {prompt[0]}, {prompt.begin() + 1, prompt.end()});
    tokens += static_cast<double>(prompt.size() - 1 + chosen.size());
  }
  LossOptions options;
  options.method = PreferenceMethod::kOrpo;
  EXPECT_NEAR(Whole(*MakePreferenceObjective(*model, pairs, options, {}))
                  .metrics.at("nll_loss")
                  .item<double>(),
              sum / tokens, 1e-9);
}

TEST(PreferenceObjective, LossesThatSortRefuseWeights) {
  auto pairs = SomePairs();
  const auto model = testing::SmallPhi();
  LossOptions options;
  options.losses = ParseLosses("sigmoid,aot");
  Progress quiet;
  const at::Tensor reference = ReferenceLogProbs(*model, pairs, 2, quiet);
  EXPECT_NO_THROW(MakePreferenceObjective(*model, pairs, options, reference));
  pairs[1].weight = 0.5;
  EXPECT_THROW(MakePreferenceObjective(*model, pairs, options, reference), Error);
}

TEST(PreferenceObjective, WpoWeightsPairsByThePolicy) {
  auto pairs = SomePairs();
  pairs[1].weight = 0.5;
  pairs[2].chosen_weights = {1, 0.5, 2};  // weights of tokens leave WPO's means as they are
  pairs[2].rejected_weights = {1, 1};
  LossOptions plain;
  LossOptions mix;
  mix.losses = ParseLosses("sigmoid,apo_zero:0.5");
  LossOptions rpo;
  rpo.rpo_alpha = kAlpha;
  for (LossOptions options : {plain, mix, rpo}) {
    options.wpo = true;
    ExpectTextbookGradients(TrunkPairs(), options);
    ExpectTextbookGradients({pairs[0], pairs[1]}, options);
  }
  const auto model = testing::InDouble(*testing::SmallPhi());
  Progress quiet;
  const at::Tensor reference = ReferenceLogProbs(*model, pairs, 2, quiet);
  plain.wpo = true;
  double want = 0;
  for (const auto& p : pairs)
    want += std::log(2) / 3 * p.weight * WpoWeight(*model, p.prompt_ids, p.chosen_ids) *
            WpoWeight(*model, p.prompt_ids, p.rejected_ids);
  EXPECT_NEAR(Whole(*MakePreferenceObjective(*model, pairs, plain, reference)).loss.item<double>(),
              want, 1e-9);
}

TEST(PreferenceObjective, GroupsPairsByTrunk) {
  const auto pairs = TrunkPairs();
  const auto model = testing::SmallPhi();
  const auto groups = Dpo(*model, pairs, kBeta, 0)->Groups();
  // The sibling extends nine tokens of the trunk. In sorted order it follows the longest prefix.
  ASSERT_EQ(groups.size(), 3u);
  std::vector<std::size_t> sizes;
  for (const auto& group : groups) sizes.push_back(group.size());
  EXPECT_EQ(sizes, (std::vector<std::size_t>{4, 1, 1}));
}

// CPO and ORPO add the negative log-likelihood of chosen tokens, a mean over the tokens of the
// step.
TEST(PreferenceObjective, CpoAndOrpoAddTheLikelihood) {
  const auto pairs = SomePairs();
  const auto model = testing::InDouble(*testing::SmallPhi());
  double chosen = 0, prompts = 0;
  for (const auto& pair : pairs) {
    chosen -= LogProb(*model, pair.prompt_ids, pair.chosen_ids);
    prompts -=
        LogProb(*model, {pair.prompt_ids[0]}, {pair.prompt_ids.begin() + 1, pair.prompt_ids.end()});
  }
  LossOptions options;
  options.method = PreferenceMethod::kCpo;
  EXPECT_NEAR(Whole(*MakePreferenceObjective(*model, pairs, options, {}))
                  .metrics.at("nll_loss")
                  .item<double>(),
              chosen / 5, 1e-9);
  options.method = PreferenceMethod::kOrpo;
  EXPECT_NEAR(Whole(*MakePreferenceObjective(*model, pairs, options, {}))
                  .metrics.at("nll_loss")
                  .item<double>(),
              (chosen + prompts) / (5 + 3 + 1 + 2), 1e-9);
}

// The first token of a prompt has no prediction, so a prompt of one token adds nothing.
TEST(PreferenceObjective, OrpoTakesPromptsOfOneToken) {
  auto pairs = SomePairs();
  pairs.resize(1);
  pairs[0].prompt_ids = {1};
  const auto model = testing::InDouble(*testing::SmallPhi());
  LossOptions options;
  options.method = PreferenceMethod::kOrpo;
  EXPECT_NEAR(Whole(*MakePreferenceObjective(*model, pairs, options, {}))
                  .metrics.at("nll_loss")
                  .item<double>(),
              -LogProb(*model, {1}, pairs[0].chosen_ids), 1e-9);
}

TEST(PreferenceObjective, PartsOfAStepAddUp) {
  const auto pairs = TrunkPairs();
  const auto model = testing::InDouble(*testing::SmallPhi());
  for (PreferenceMethod method : {PreferenceMethod::kDpo, PreferenceMethod::kCpo}) {
    LossOptions options;
    options.method = method;
    Progress quiet;
    const at::Tensor reference = ReferenceLogProbs(*model, pairs, 2, quiet);
    const auto objective = MakePreferenceObjective(*model, pairs, options, reference);
    const auto all = All(objective->size());
    const auto step = std::span<const int64_t>(all);
    const double whole = objective->Compute(step, step).loss.item<double>();
    const double parts = objective->Compute(step.first(2), step).loss.item<double>() +
                         objective->Compute(step.subspan(2), step).loss.item<double>();
    EXPECT_NEAR(whole, parts, 1e-10);
  }
}

TEST(DpoObjective, StartsAtLogTwoWithZeroRewards) {
  const auto pairs = SomePairs();
  const auto model = testing::SmallPhi();
  const auto objective = Dpo(*model, pairs, kBeta, 0);
  const LossTerms terms = Whole(*objective);
  EXPECT_NEAR(terms.loss.item<double>(), std::log(2), 1e-5);
  EXPECT_NEAR(terms.metrics.at("rewards/margins").item<double>(), 0, 1e-5);
  EXPECT_EQ(objective->Name(2), "long");
}

TEST(DpoObjective, RefusesPairsLongerThanTheModel) {
  auto pairs = SomePairs();
  pairs[1].prompt_ids.assign(97, 1);
  const auto model = testing::SmallPhi();
  EXPECT_THROW(Dpo(*model, pairs, kBeta, 0), Error);
}

TEST(SftObjective, IsTheNegativeLogLikelihoodOfCompletions) {
  const std::vector<PromptCompletion> examples = {{{1, 4, 5}, {6, 7, 2}}, {{1}, {9, 2}}};
  const auto model = testing::SmallPhi();
  const auto objective = MakeSftObjective(*model, examples);
  const c10::NoGradGuard no_grad;
  const double truth = -LogProb(*model, examples[0].prompt_ids, examples[0].completion_ids) -
                       LogProb(*model, examples[1].prompt_ids, examples[1].completion_ids);
  EXPECT_NEAR(Whole(*objective).loss.item<double>(), truth / 5, 1e-5);
  EXPECT_EQ(objective->Length(0), 5);
}

// Returns pairs whose tokens form two trees with branches, and one pair on a prompt of its own.
std::vector<PreferencePair> BranchingPairs() {
  const std::vector<TokenId> trunk = {1, 5, 9, 4, 7, 33, 12, 40, 41, 42},
                             other = {1, 6, 8, 3, 2, 9, 11, 10, 20};
  std::vector<PreferencePair> pairs;
  const auto add = [&](std::vector<TokenId> prompt, std::vector<TokenId> chosen,
                       std::vector<TokenId> rejected) {
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

struct LossAndGradients {
  double loss = 0;
  std::map<std::string, at::Tensor> gradients;
};

LossAndGradients Gradients(model::PhiModel& model, const Objective& objective, bool checkpointing) {
  model.set_activation_checkpointing(checkpointing);
  const auto trainable = model.Trainable();
  for (const auto& [name, tensor] : trainable)
    at::Tensor(tensor).requires_grad_(true).mutable_grad().reset();
  std::vector<int64_t> all(static_cast<std::size_t>(objective.size()));
  std::iota(all.begin(), all.end(), 0);
  const LossTerms terms = objective.Compute(all, all);
  terms.loss.backward();
  LossAndGradients result{terms.loss.item<double>(), {}};
  for (const auto& [name, tensor] : trainable) result.gradients[name] = tensor.grad();
  return result;
}

// Expects the same loss and gradients from layers that run once and from layers that run twice.
void ExpectSameWithCheckpointing(model::PhiModel& model) {
  const auto pairs = BranchingPairs();
  Progress quiet;
  const auto objective =
      MakePreferenceObjective(model, pairs, {}, ReferenceLogProbs(model, pairs, 4, quiet));
  const LossAndGradients once = Gradients(model, *objective, false),
                         twice = Gradients(model, *objective, true);
  EXPECT_EQ(once.loss, twice.loss);
  double largest = 0;
  for (const auto& [name, gradient] : once.gradients) {
    ASSERT_TRUE(gradient.defined() && twice.gradients.at(name).defined()) << name;
    EXPECT_LT((gradient - twice.gradients.at(name)).abs().max().item<double>(), 1e-12) << name;
    largest = std::max(largest, gradient.abs().max().item<double>());
  }
  EXPECT_GT(largest, 1e-3);
}

TEST(ActivationCheckpointing, ChangesNoGradient) {
  ExpectSameWithCheckpointing(*testing::InDouble(*testing::SmallPhi()));
}

TEST(ActivationCheckpointing, ChangesNoGradientOfAnAdapter) {
  const auto model = testing::InDouble(*testing::SmallPhi());
  model->set_adapter(model::NewAdapter(*model, {.rank = 3}, 1));
  ExpectSameWithCheckpointing(*model);
}

TEST(ActivationCheckpointing, ChangesNoGradientBesideFrozenWeights) {
  const auto model = testing::InDouble(*testing::SmallPhi());
  model->set_frozen({"model.embed_tokens.weight", "model.layers.0.mlp.down_proj.weight"});
  ExpectSameWithCheckpointing(*model);
}

}  // namespace
}  // namespace pivotal::dpo
