// Apache-2.0.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "data/error.h"
#include "dpo/batch.h"
#include "dpo/loss.h"
#include "dpo/objective.h"

namespace pivotal::dpo {
namespace {

class DpoObjective : public Objective {
 public:
  DpoObjective(const model::PhiModel& model, std::span<const data::PreferencePair> pairs,
               double beta, double rpo_alpha)
      : model_(model), pairs_(pairs), beta_(beta), rpo_alpha_(rpo_alpha) {
    const int64_t limit = model.config().max_position_embeddings;
    for (int64_t i = 0; i < size(); ++i) {
      if (Length(i) > limit)
        Fail("pair {}: {} tokens, but the model has {} positions", pairs_[i].id, Length(i), limit);
    }
  }

  // Fills the cache of reference log-probabilities: [2 * size], chosen and rejected in turn.
  void CacheReference(int64_t batch, Progress& progress) {
    const c10::NoGradGuard no_grad;
    reference_ = at::empty({2 * size()}, model_.options().dtype(at::kDouble));
    progress.Begin("reference", size(), "pairs");
    std::vector<int64_t> order(static_cast<std::size_t>(size()));
    for (int64_t i = 0; i < size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return Length(a) < Length(b); });
    for (int64_t first = 0; first < size(); first += batch) {
      if (progress.StopRequested()) throw Interrupted("stopped while scoring the reference");
      const auto examples =
          std::span(order).subspan(first, std::min<std::size_t>(batch, order.size() - first));
      const at::Tensor logprobs = LogProbs(examples).to(at::kDouble);
      reference_.index_copy_(0, SideIndex(examples), logprobs);
      progress.Update(first + static_cast<int64_t>(examples.size()), "");
    }
    progress.End();
  }

  int64_t size() const override { return static_cast<int64_t>(pairs_.size()); }
  int64_t Length(int64_t i) const override {
    const auto& pair = pairs_[i];
    return static_cast<int64_t>(pair.prompt_ids.size() +
                                std::max(pair.chosen_ids.size(), pair.rejected_ids.size())) - 1;
  }
  double Weight(int64_t) const override { return 1.0; }
  std::string Name(int64_t i) const override { return pairs_[i].id; }

  LossTerms Compute(std::span<const int64_t> examples) const override {
    const at::Tensor policy = LogProbs(examples);
    const at::Tensor reference =
        reference_.index_select(0, SideIndex(examples)).to(policy.scalar_type());
    std::vector<double> lengths;
    for (int64_t i : examples) lengths.push_back(static_cast<double>(pairs_[i].chosen_ids.size()));
    const SideLogProbs sides = Sides(policy);
    const PreferenceLoss result =
        SigmoidDpoLoss(sides, Sides(reference), at::tensor(lengths, policy.options().requires_grad(false)),
                       beta_, rpo_alpha_);
    const at::Tensor margins = result.chosen_rewards - result.rejected_rewards;
    const auto sum = [](const at::Tensor& t) { return t.detach().sum().item<double>(); };
    return {result.loss.sum(),
            {{"rewards/chosen", sum(result.chosen_rewards)},
             {"rewards/rejected", sum(result.rejected_rewards)},
             {"rewards/margins", sum(margins)},
             {"rewards/accuracies", sum(margins.gt(0).to(at::kFloat))},
             {"logps/chosen", sum(sides.chosen)},
             {"logps/rejected", sum(sides.rejected)}}};
  }

 private:
  // [2 * examples]: chosen and rejected in turn.
  at::Tensor LogProbs(std::span<const int64_t> examples) const {
    BatchBuilder builder;
    for (int64_t i : examples)
      builder.AddPair(pairs_[i].prompt_ids, pairs_[i].chosen_ids, pairs_[i].rejected_ids);
    return SegmentLogProbs(model_, builder.Build(model_.options().device()));
  }

  static SideLogProbs Sides(const at::Tensor& alternating) {
    const at::Tensor sides = alternating.view({-1, 2});
    return {sides.select(1, 0), sides.select(1, 1)};
  }

  at::Tensor SideIndex(std::span<const int64_t> examples) const {
    std::vector<int64_t> index;
    for (int64_t i : examples) index.insert(index.end(), {2 * i, 2 * i + 1});
    return at::tensor(index, at::TensorOptions(at::kLong)).to(model_.options().device());
  }

  const model::PhiModel& model_;
  std::span<const data::PreferencePair> pairs_;
  double beta_, rpo_alpha_;
  at::Tensor reference_;
};

}  // namespace

std::unique_ptr<Objective> MakeDpoObjective(const model::PhiModel& model,
                                            std::span<const data::PreferencePair> pairs,
                                            double beta, double rpo_alpha, int64_t batch,
                                            Progress& progress) {
  auto objective = std::make_unique<DpoObjective>(model, pairs, beta, rpo_alpha);
  objective->CacheReference(batch, progress);
  return objective;
}

}  // namespace pivotal::dpo
