// Apache-2.0.
#include "dpo/unpaired.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "data/base/error.h"
#include "dpo/batch.h"
#include "dpo/reference_scores.h"
#include "dpo/sharded_weights.h"
#include "dpo/step_plan.h"
#include "model/tensor_transfer.h"

namespace pivotal::dpo {
namespace {

int64_t LengthOfExample(const UnpairedExample& example) {
  return std::ssize(example.prompt_ids) + std::ssize(example.completion_ids) - 1;
}

Continuation OwnContinuation(const UnpairedData& data, int64_t i) {
  const UnpairedExample& example = data.examples[i];
  return {example.prompt_ids, example.completion_ids, example.completion_weights};
}

// Returns the mismatched completion of example i, cut where the model's positions end.
Continuation MismatchedContinuation(const model::PhiModel& model, const UnpairedData& data,
                                    int64_t i) {
  Continuation c = OwnContinuation(data, data.mismatched[i]);
  c.prompt = data.examples[i].prompt_ids;
  const auto room =
      static_cast<std::size_t>(model.config().max_position_embeddings + 1 - std::ssize(c.prompt));
  c.completion = c.completion.first(std::min(room, c.completion.size()));
  if (!c.weights.empty()) c.weights = c.weights.first(c.completion.size());
  return c;
}

void CheckExamplesFit(const model::PhiModel& model, const UnpairedData& data) {
  for (const UnpairedExample& example : data.examples)
    RequireFits(model, LengthOfExample(example), "example " + example.id);
}

class UnpairedObjective : public Objective {
 public:
  // The reference is one of `reference` and `following`.
  UnpairedObjective(const model::PhiModel& model, UnpairedData data, const LossOptions& options,
                    at::Tensor reference, const FollowingReference* following)
      : model_(model),
        data_(std::move(data)),
        options_(options),
        reference_(std::move(reference)),
        following_(following) {
    options_.Validate();
    CheckExamplesFit(model, data_);
  }

  int64_t size() const override { return std::ssize(data_.examples); }
  int64_t Length(int64_t i) const override { return LengthOfExample(data_.examples[i]); }
  std::string Name(int64_t i) const override { return data_.examples[i].id; }
  std::vector<std::vector<int64_t>> Groups() const override {
    std::vector<std::span<const TokenId>> prompts;
    for (const UnpairedExample& example : data_.examples) prompts.emplace_back(example.prompt_ids);
    return PrefixGroups(prompts);
  }
  PassSize SizeOf(std::span<const int64_t> examples) const override {
    return Pack(examples, kOwn).Size();
  }

  // Sums log pi/ref of the mismatched completions.
  at::Tensor Survey(std::span<const int64_t> share, int64_t batch) const override {
    if (!options_.UsesKl()) return {};
    const c10::NoGradGuard no_grad;
    at::Tensor sum = at::zeros({1}, model_.options().dtype(at::kDouble));
    const int64_t passes = (std::ssize(share) + batch - 1) / batch;
    ForEachPass(model_, passes, /*backward=*/false, [&](int64_t i) {
      const auto begin = static_cast<std::size_t>(i * batch);
      const auto part =
          share.subspan(begin, std::min(static_cast<std::size_t>(batch), share.size() - begin));
      const Batch built = Pack(part, kMismatched).Build();
      const at::Tensor logps = PerCompletion(built, TargetLogProbs(model_, built));
      sum += (logps - ReferenceOf(part, built, kMismatched)).sum();
    });
    return sum;
  }

  using Objective::Compute;
  LossTerms Compute(std::span<const int64_t> examples, std::span<const int64_t> step,
                    const at::Tensor& survey) const override {
    const auto count = static_cast<double>(step.size());
    const Batch batch = Pack(examples, kOwn).Build();
    const at::Tensor reference = ReferenceOf(examples, batch, kOwn);
    const at::Tensor logps = PerCompletion(batch, TargetLogProbs(model_, batch));
    const at::Tensor ratios = logps - reference;
    const at::Tensor kl = survey.defined() ? (survey[0] / count).clamp_min(0).to(logps.dtype())
                                           : at::zeros({}, logps.options());
    const at::Tensor good = Numbers(examples, logps, [](const UnpairedExample& example) {
      return example.desirable ? 1.0 : 0.0;
    });
    const at::Tensor weights =
        Numbers(examples, logps, [](const UnpairedExample& example) { return example.weight; });
    const at::Tensor loss = ComputeUnpairedLoss(options_, ratios, good, kl) * weights;
    LossTerms terms{loss.sum() / count, {}};
    AddMetrics(step, good, options_.beta * ratios.detach(), logps.detach(), terms);
    if (options_.UsesKl())
      terms.metrics["kl"] = kl.to(at::kDouble) * (static_cast<double>(examples.size()) / count);
    return terms;
  }

 private:
  enum Side { kOwn = 0, kMismatched = 1 };

  BatchBuilder Pack(std::span<const int64_t> examples, Side side) const {
    BatchBuilder builder(model_);
    for (int64_t i : examples) {
      const Continuation c =
          side == kOwn ? OwnContinuation(data_, i) : MismatchedContinuation(model_, data_, i);
      builder.Add(c.prompt, c.completion, c.weights);
    }
    return builder;
  }
  // Returns the log-probabilities of the reference, [examples], of the type and on the device of
  // the policy's.
  at::Tensor ReferenceOf(std::span<const int64_t> examples, const Batch& batch, Side side) const {
    if (following_ != nullptr) {
      const c10::NoGradGuard no_grad;
      return PerCompletion(batch, TargetLogProbs(following_->model(), batch));
    }
    const at::Tensor rows =
        reference_.select(1, side).index_select(0, model::ToDevice(examples, at::kCPU));
    return model::ToDevice(rows.to(batch.completion_length.scalar_type()),
                           batch.completion_length.device());
  }
  // Returns a number of each example, of the type and on the device of `like`.
  template <typename Number>
  at::Tensor Numbers(std::span<const int64_t> examples, const at::Tensor& like,
                     Number number) const {
    std::vector<double> numbers;
    for (int64_t i : examples) numbers.push_back(number(data_.examples[i]));
    return model::ToDevice(
        at::tensor(numbers, at::TensorOptions(at::kDouble)).to(like.scalar_type()), like.device());
  }
  // Adds means over the desirable ("chosen") and the undesirable ("rejected") examples of `step`,
  // as far as there are any. `good` has 1 for desirable ones, else 0.
  void AddMetrics(std::span<const int64_t> step, const at::Tensor& good, const at::Tensor& rewards,
                  const at::Tensor& logps, LossTerms& terms) const {
    const auto desirable = static_cast<double>(
        std::ranges::count_if(step, [&](int64_t i) { return data_.examples[i].desirable; }));
    const double undesirable = static_cast<double>(step.size()) - desirable;
    auto& metrics = terms.metrics;
    const auto add = [&](const char* side, const at::Tensor& mask, double count) {
      if (count == 0) return;
      const auto mean = [&](const at::Tensor& t) {
        return (t * mask).sum().to(at::kDouble) / count;
      };
      metrics[std::string("rewards/") + side] = mean(rewards);
      metrics[std::string("logps/") + side] = mean(logps);
    };
    add("chosen", good, desirable);
    add("rejected", 1 - good, undesirable);
    if (desirable > 0 && undesirable > 0)
      metrics["rewards/margins"] = metrics["rewards/chosen"] - metrics["rewards/rejected"];
  }

  const model::PhiModel& model_;
  UnpairedData data_;
  LossOptions options_;
  at::Tensor reference_;  // [N, 2] or [N, 1] float64, or undefined
  const FollowingReference* following_;
};

}  // namespace

UnpairedData MismatchCompletions(std::span<const UnpairedExample> examples,
                                 const LossOptions& options, int64_t block) {
  UnpairedData data{examples, {}};
  if (!options.UsesKl()) return data;
  const int64_t count = std::ssize(examples);
  if (count < 2) Fail("kto needs two examples at least");
  if (block < 2) Fail("kto needs steps of two examples at least; raise --batch-size");
  for (int64_t i = 0; i < count; ++i) {
    int64_t first = i / block * block;
    const int64_t size = std::min(block, count - first);
    if (size == 1) first -= block;
    const int64_t all = size == 1 ? block + 1 : size;
    const auto before = [&](int64_t distance) {
      return first + (i - first + all - distance) % all;
    };
    int64_t other = before(1);
    for (int64_t distance = 1; distance < all; ++distance) {
      if (examples[before(distance)].prompt_ids == examples[i].prompt_ids) continue;
      other = before(distance);
      break;
    }
    data.mismatched.push_back(other);
  }
  return data;
}

at::Tensor ReferenceLogProbs(const model::PhiModel& model, const UnpairedData& data, int64_t batch,
                             Progress& progress, Ranks& ranks) {
  CheckExamplesFit(model, data);
  const bool pairs = !data.mismatched.empty();
  std::vector<Continuation> continuations;
  for (int64_t i = 0; i < std::ssize(data.examples); ++i) {
    continuations.push_back(OwnContinuation(data, i));
    if (pairs) continuations.push_back(MismatchedContinuation(model, data, i));
  }
  return ScoreContinuations(model, continuations, pairs ? 2 : 1, batch, "examples", progress,
                            ranks);
}

std::unique_ptr<Objective> MakeUnpairedObjective(const model::PhiModel& model, UnpairedData data,
                                                 const LossOptions& options, at::Tensor reference) {
  return std::make_unique<UnpairedObjective>(model, std::move(data), options, std::move(reference),
                                             nullptr);
}

std::unique_ptr<Objective> MakeUnpairedObjective(const model::PhiModel& model, UnpairedData data,
                                                 const LossOptions& options,
                                                 const FollowingReference& reference) {
  return std::make_unique<UnpairedObjective>(model, std::move(data), options, at::Tensor(),
                                             &reference);
}

}  // namespace pivotal::dpo
