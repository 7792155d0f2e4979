// Apache-2.0.
#include "dpo/policy_gradient.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "data/base/error.h"
#include "dpo/batch.h"
#include "dpo/loss.h"
#include "dpo/reference_scores.h"
#include "dpo/step_plan.h"
#include "model/tensor_transfer.h"

namespace pivotal::dpo {
namespace {

int64_t LengthWithPrompt(const AdvantageExample& example) {
  return std::ssize(example.prompt_ids) + std::ssize(example.completion_ids) - 1;
}

void CheckCompletionsFit(const model::PhiModel& model, std::span<const AdvantageExample> examples) {
  for (const AdvantageExample& example : examples)
    RequireFits(model, LengthWithPrompt(example), "example " + example.id);
}

class PolicyObjective : public Objective {
 public:
  PolicyObjective(const model::PhiModel& model, std::span<const AdvantageExample> examples,
                  const LossOptions& options, at::Tensor old, at::Tensor reference)
      : model_(model),
        examples_(examples),
        options_(options),
        old_(std::move(old)),
        reference_(std::move(reference)) {
    options_.Validate();
    CheckCompletionsFit(model, examples);
    for (const AdvantageExample& example : examples) {
      if (example.advantages.size() != example.completion_ids.size())
        Fail("example {}: {} advantages of {} tokens", example.id, example.advantages.size(),
             example.completion_ids.size());
      begins_.push_back(begins_.back() + std::ssize(example.completion_ids));
    }
  }

  int64_t size() const override { return std::ssize(examples_); }
  int64_t Length(int64_t i) const override { return LengthWithPrompt(examples_[i]); }
  std::string Name(int64_t i) const override { return examples_[i].id; }
  std::vector<std::vector<int64_t>> Groups() const override {
    std::vector<std::span<const TokenId>> prompts;
    for (const AdvantageExample& example : examples_) prompts.emplace_back(example.prompt_ids);
    return PrefixGroups(prompts);
  }
  PassSize SizeOf(std::span<const int64_t> examples) const override {
    return Pack(examples).Size();
  }

  using Objective::Compute;
  LossTerms Compute(std::span<const int64_t> examples, std::span<const int64_t> step,
                    const at::Tensor&) const override {
    double tokens = 0;  // of the step
    for (int64_t i : step) tokens += static_cast<double>(examples_[i].completion_ids.size());
    std::vector<double> advantages, weights;
    for (int64_t i : examples) {
      const AdvantageExample& example = examples_[i];
      advantages.insert(advantages.end(), example.advantages.begin(), example.advantages.end());
      weights.insert(weights.end(), example.advantages.size(), example.weight);
    }
    const Batch batch = Pack(examples).Build();
    const at::Tensor logps = TargetLogProbs(model_, batch);
    const auto like_logps = [&](const at::Tensor& values) {
      return model::ToDevice(values.to(logps.scalar_type()), logps.device());
    };
    const auto numbers = [&](const std::vector<double>& values) {
      return like_logps(at::tensor(values, at::TensorOptions(at::kDouble)));
    };
    TokenTerms terms{logps, like_logps(TokensOf(examples, old_)), {}, numbers(advantages)};
    if (options_.kl_weight > 0) terms.reference = like_logps(TokensOf(examples, reference_));
    const TokenLoss result = ComputeTokenLoss(options_, terms);
    const auto mean = [&](const at::Tensor& t) { return t.sum().to(at::kDouble) / tokens; };
    LossTerms sums{
        (result.loss * numbers(weights)).sum() / tokens,
        {{"ratio", mean(result.ratio)}, {"clip_ratio/region_mean", mean(result.clipped)}}};
    if (result.kl.defined()) sums.metrics["kl"] = mean(result.kl);
    return sums;
  }

 private:
  BatchBuilder Pack(std::span<const int64_t> examples) const {
    BatchBuilder builder(model_);
    for (int64_t i : examples) builder.Add(examples_[i].prompt_ids, examples_[i].completion_ids);
    return builder;
  }
  // Returns the numbers of the examples' tokens out of those of all tokens.
  at::Tensor TokensOf(std::span<const int64_t> examples, const at::Tensor& all) const {
    std::vector<at::Tensor> parts;
    for (int64_t i : examples)
      parts.push_back(all.narrow(0, begins_[i], begins_[i + 1] - begins_[i]));
    return at::cat(parts);
  }

  const model::PhiModel& model_;
  std::span<const AdvantageExample> examples_;
  LossOptions options_;
  std::vector<int64_t> begins_ = {0};  // of each example's tokens among those of all
  at::Tensor old_, reference_;         // [tokens] float64 on the CPU
};

}  // namespace

at::Tensor ReferenceLogProbs(const model::PhiModel& model,
                             std::span<const AdvantageExample> examples, int64_t batch,
                             Progress& progress, Ranks& ranks) {
  CheckCompletionsFit(model, examples);
  std::vector<Continuation> continuations;
  for (const AdvantageExample& example : examples)
    continuations.push_back({example.prompt_ids, example.completion_ids, {}});
  return ScoreTokens(model, continuations, batch, "examples", progress, ranks);
}

at::Tensor OldLogProbs(std::span<const AdvantageExample> examples, const at::Tensor& otherwise) {
  std::vector<double> all;
  const auto* scored = otherwise.defined() ? otherwise.const_data_ptr<double>() : nullptr;
  for (const AdvantageExample& example : examples) {
    const auto tokens = std::ssize(example.completion_ids);
    const std::vector<float>& own = example.old_logprobs;
    if (!own.empty())
      all.insert(all.end(), own.begin(), own.end());
    else
      all.insert(all.end(), scored, scored + tokens);
    if (scored != nullptr) scored += tokens;
  }
  return at::tensor(all, at::TensorOptions(at::kDouble));
}

std::unique_ptr<Objective> MakePolicyObjective(const model::PhiModel& model,
                                               std::span<const AdvantageExample> examples,
                                               const LossOptions& options, at::Tensor old,
                                               at::Tensor reference) {
  return std::make_unique<PolicyObjective>(model, examples, options, std::move(old),
                                           std::move(reference));
}

}  // namespace pivotal::dpo
