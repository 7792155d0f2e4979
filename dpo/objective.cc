// Apache-2.0.
#include "dpo/objective.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "data/base/error.h"
#include "dpo/batch.h"
#include "dpo/reference_scores.h"
#include "dpo/step_plan.h"
#include "model/tensor_transfer.h"

namespace pivotal::dpo {
namespace {

// Returns how many tokens go through the model if `pair` is computed alone.
int64_t LengthOf(const PreferencePair& pair) {
  return static_cast<int64_t>(pair.prompt_ids.size() +
                              std::max(pair.chosen_ids.size(), pair.rejected_ids.size())) -
         1;
}

void CheckFits(const model::PhiModel& model, std::span<const PreferencePair> pairs) {
  for (const auto& pair : pairs) RequireFits(model, LengthOf(pair), "pair " + pair.id);
}

// Groups pairs whose prompts are prefixes of one another.
std::vector<std::vector<int64_t>> PromptGroups(std::span<const PreferencePair> pairs) {
  std::vector<std::span<const TokenId>> prompts;
  for (const auto& pair : pairs) prompts.emplace_back(pair.prompt_ids);
  return PrefixGroups(prompts);
}

void AddSides(BatchBuilder& builder, const PreferencePair& pair) {
  builder.Add(pair.prompt_ids, pair.chosen_ids, pair.chosen_weights);
  builder.Add(pair.prompt_ids, pair.rejected_ids, pair.rejected_weights);
}

class PreferenceObjective : public Objective {
 public:
  // The reference is one of `reference` and `following`, or none.
  PreferenceObjective(const model::PhiModel& model, std::span<const PreferencePair> pairs,
                      const LossOptions& options, at::Tensor reference,
                      const FollowingReference* following)
      : model_(model),
        pairs_(pairs),
        options_(options),
        reference_(std::move(reference)),
        following_(following) {
    options_.Validate();
    CheckFits(model, pairs);
    CheckWeights();
  }

  int64_t size() const override { return static_cast<int64_t>(pairs_.size()); }
  int64_t Length(int64_t i) const override { return LengthOf(pairs_[i]); }
  std::string Name(int64_t i) const override { return pairs_[i].id; }

  std::vector<std::vector<int64_t>> Groups() const override { return PromptGroups(pairs_); }
  PassSize SizeOf(std::span<const int64_t> examples) const override {
    return Pack(examples).Size();
  }

  using Objective::Compute;
  LossTerms Compute(std::span<const int64_t> examples, std::span<const int64_t> step,
                    const at::Tensor&) const override {
    const auto count = static_cast<int64_t>(examples.size());
    const auto pairs = static_cast<double>(step.size());
    const bool single_tokens = std::ranges::all_of(examples, [&](int64_t i) {
      return pairs_[i].chosen_ids.size() == 1 && pairs_[i].rejected_ids.size() == 1;
    });
    const Batch batch = Pack(examples).Build();
    const bool constant =
        single_tokens && !batch.target_weight.defined() && options_.ReadsDifferenceOnly();
    const at::Tensor reference = ReferenceOf(examples, batch);
    at::Tensor squares;
    const at::Tensor per_token =
        TargetLogProbs(model_, batch, constant ? Normaliser::kConstant : Normaliser::kWithGradient,
                       options_.wpo ? &squares : nullptr);
    const at::Tensor logps = PerCompletion(batch, per_token);
    const auto side = [&](int64_t which) {  // 0: chosen, 1: rejected
      const auto select = [&](const at::Tensor& alternating) {
        return alternating.narrow(0, 0, 2 * count).view({count, 2}).select(1, which);
      };
      SideTerms terms{select(logps), {}, select(batch.completion_length)};
      if (reference.defined()) terms.reference = reference.select(1, which);
      return terms;
    };
    const SideTerms chosen = side(0), rejected = side(1);
    const PreferenceLoss result = ComputeLoss(options_, chosen, rejected);
    const at::Tensor margins = result.chosen_rewards - result.rejected_rewards;
    const auto mean = [&](const at::Tensor& t) { return t.detach().sum().to(at::kDouble) / pairs; };
    const auto logged = [&](const SideTerms& side) {
      return options_.AveragesTokens() ? side.logps / side.length : side.logps;
    };
    at::Tensor loss = result.loss;
    if (options_.wpo) {
      const at::Tensor means = MeanPerToken(batch, per_token.detach() - squares);
      loss = loss * at::exp(means.view({count, 2}).sum(1));
    }
    const at::Tensor weights = Weights(examples, logps);
    if (weights.defined()) loss = loss * weights;
    LossTerms terms{loss.sum() / pairs,
                    {{"rewards/chosen", mean(result.chosen_rewards)},
                     {"rewards/rejected", mean(result.rejected_rewards)},
                     {"rewards/margins", mean(margins)},
                     {"rewards/accuracies", mean(margins.gt(0).to(at::kFloat))},
                     {"logps/chosen", mean(logged(chosen))},
                     {"logps/rejected", mean(logged(rejected))}}};
    if (const double weight = NllWeight(); weight > 0) {
      at::Tensor logp = (weights.defined() ? chosen.logps * weights : chosen.logps).sum();
      if (ScoresPrompts()) {
        const at::Tensor prompts = logps.slice(0, 2 * count);
        const at::Tensor prompt_weights = Weights(ScoredPrompts(examples), logps);
        logp = logp + (prompt_weights.defined() ? prompts * prompt_weights : prompts).sum();
      }
      const at::Tensor nll = -logp / NllTokens(step);
      terms.loss = terms.loss + weight * nll;
      terms.metrics["nll_loss"] = nll.detach();
    }
    return terms;
  }

 private:
  // Adds chosen and rejected sides by turns, then the prompts if the loss scores them.
  BatchBuilder Pack(std::span<const int64_t> examples) const {
    BatchBuilder builder(model_);
    for (int64_t i : examples) AddSides(builder, pairs_[i]);
    if (ScoresPrompts()) {
      for (int64_t i : ScoredPrompts(examples)) {
        const auto prompt = std::span(pairs_[i].prompt_ids);
        builder.Add(prompt.first(1), prompt.subspan(1));
      }
    }
    return builder;
  }
  // Returns the log-probabilities of the reference, [examples, 2], of the type and on the device of
  // the policy's; undefined if the method has no reference.
  at::Tensor ReferenceOf(std::span<const int64_t> examples, const Batch& batch) const {
    if (!options_.UsesReference()) return {};
    if (following_ != nullptr) {
      const c10::NoGradGuard no_grad;
      return PerCompletion(batch, TargetLogProbs(following_->model(), batch))
          .view({std::ssize(examples), 2});
    }
    const at::Tensor rows = reference_.index_select(0, model::ToDevice(examples, at::kCPU));
    return model::ToDevice(rows.to(batch.completion_length.scalar_type()),
                           batch.completion_length.device());
  }
  // Returns the examples whose prompts have a token that is predicted.
  std::vector<int64_t> ScoredPrompts(std::span<const int64_t> examples) const {
    std::vector<int64_t> scored;
    for (int64_t i : examples)
      if (pairs_[i].prompt_ids.size() > 1) scored.push_back(i);
    return scored;
  }
  // Throws Error if pairs have weights that the loss has no use for.
  void CheckWeights() {
    for (const PreferencePair& pair : pairs_) {
      if (pair.weight == 1) continue;
      weighted_ = true;
      for (const LossType type : {LossType::kAot, LossType::kAotUnpaired})
        if (options_.Has(type))
          Fail("pair {} has a weight, but loss {} sorts pairs and has no place for it", pair.id,
               LossTypeName(type));
    }
  }
  // Returns the weights of `examples`, of the type and on the device of `like`; undefined if no
  // pair has one.
  at::Tensor Weights(std::span<const int64_t> examples, const at::Tensor& like) const {
    if (!weighted_) return {};
    std::vector<double> weights;
    for (int64_t i : examples) weights.push_back(pairs_[i].weight);
    return model::ToDevice(
        at::tensor(weights, at::TensorOptions(at::kDouble)).to(like.scalar_type()), like.device());
  }
  // Returns the weight of the mean negative log-likelihood of the chosen sides.
  double NllWeight() const {
    if (options_.method == PreferenceMethod::kCpo) return options_.cpo_alpha;
    if (options_.method == PreferenceMethod::kOrpo) return 1.0;
    double weight = 0;
    for (const WeightedLoss& loss : options_.losses)
      if (loss.type == LossType::kSft) weight += loss.weight;
    return weight;
  }
  // ORPO's likelihood includes the prompts, as in TRL.
  bool ScoresPrompts() const { return options_.method == PreferenceMethod::kOrpo; }
  // Returns over how many tokens of `step` the likelihood is a mean.
  double NllTokens(std::span<const int64_t> step) const {
    std::size_t tokens = 0;
    for (int64_t i : step) {
      tokens += pairs_[i].chosen_ids.size();
      if (ScoresPrompts()) tokens += pairs_[i].prompt_ids.size() - 1;
    }
    return static_cast<double>(tokens);
  }

  const model::PhiModel& model_;
  std::span<const PreferencePair> pairs_;
  LossOptions options_;
  at::Tensor reference_;  // [P, 2] float64, or undefined
  const FollowingReference* following_;
  bool weighted_ = false;  // whether a pair has another weight than 1
};

class SftObjective : public Objective {
 public:
  SftObjective(const model::PhiModel& model, std::span<const PromptCompletion> examples)
      : model_(model), examples_(examples) {
    for (int64_t i = 0; i < size(); ++i) RequireFits(model, Length(i), Name(i));
  }

  int64_t size() const override { return static_cast<int64_t>(examples_.size()); }
  int64_t Length(int64_t i) const override {
    return static_cast<int64_t>(examples_[i].prompt_ids.size() +
                                examples_[i].completion_ids.size()) -
           1;
  }
  std::vector<std::vector<int64_t>> Groups() const override { return SingleGroups(size()); }
  PassSize SizeOf(std::span<const int64_t> examples) const override {
    return Pack(examples).Size();
  }
  std::string Name(int64_t i) const override { return fmt::format("example {}", i + 1); }

  using Objective::Compute;
  LossTerms Compute(std::span<const int64_t> examples, std::span<const int64_t> step,
                    const at::Tensor&) const override {
    int64_t tokens = 0;
    for (int64_t i : step) tokens += static_cast<int64_t>(examples_[i].completion_ids.size());
    const at::Tensor logprobs = TargetLogProbs(model_, Pack(examples).Build());
    return {-logprobs.sum() / static_cast<double>(tokens), {}};
  }

 private:
  BatchBuilder Pack(std::span<const int64_t> examples) const {
    BatchBuilder builder(model_);
    for (int64_t i : examples) builder.Add(examples_[i].prompt_ids, examples_[i].completion_ids);
    return builder;
  }

  const model::PhiModel& model_;
  std::span<const PromptCompletion> examples_;
};

}  // namespace

at::Tensor ReferenceLogProbs(const model::PhiModel& model, std::span<const PreferencePair> pairs,
                             int64_t batch, Progress& progress, Ranks& ranks) {
  CheckFits(model, pairs);
  std::vector<Continuation> sides;
  for (const PreferencePair& pair : pairs) {
    sides.push_back({pair.prompt_ids, pair.chosen_ids, pair.chosen_weights});
    sides.push_back({pair.prompt_ids, pair.rejected_ids, pair.rejected_weights});
  }
  return ScoreContinuations(model, sides, 2, batch, "pairs", progress, ranks);
}

void DiscountTails(std::span<PreferencePair> pairs, double alpha) {
  const auto discount = [&](std::size_t tokens, std::size_t shared, std::vector<float>& weights) {
    if (tokens <= shared) return;
    weights.resize(tokens, 1.0f);
    for (std::size_t i = shared; i < tokens; ++i) weights[i] *= static_cast<float>(alpha);
  };
  for (PreferencePair& pair : pairs) {
    discount(pair.chosen_ids.size(), pair.rejected_ids.size(), pair.chosen_weights);
    discount(pair.rejected_ids.size(), pair.chosen_ids.size(), pair.rejected_weights);
  }
}

std::unique_ptr<Objective> MakePreferenceObjective(const model::PhiModel& model,
                                                   std::span<const PreferencePair> pairs,
                                                   const LossOptions& options,
                                                   at::Tensor reference) {
  return std::make_unique<PreferenceObjective>(model, pairs, options, std::move(reference),
                                               nullptr);
}

std::unique_ptr<Objective> MakePreferenceObjective(const model::PhiModel& model,
                                                   std::span<const PreferencePair> pairs,
                                                   const LossOptions& options,
                                                   const FollowingReference& reference) {
  return std::make_unique<PreferenceObjective>(model, pairs, options, at::Tensor(), &reference);
}

std::unique_ptr<Objective> MakeSftObjective(const model::PhiModel& model,
                                            std::span<const PromptCompletion> examples) {
  return std::make_unique<SftObjective>(model, examples);
}

}  // namespace pivotal::dpo
