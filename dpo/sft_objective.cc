// Apache-2.0.
#include <ATen/TensorOperators.h>

#include "data/error.h"
#include "dpo/batch.h"
#include "dpo/batch_plan.h"
#include "dpo/objective.h"

namespace pivotal::dpo {
namespace {

class SftObjective : public Objective {
 public:
  SftObjective(const model::PhiModel& model, std::span<const data::PromptCompletion> examples)
      : model_(model), examples_(examples) {
    for (int64_t i = 0; i < size(); ++i) RequireFits(model, Length(i), Name(i));
  }

  int64_t size() const override { return static_cast<int64_t>(examples_.size()); }
  int64_t Length(int64_t i) const override {
    return static_cast<int64_t>(examples_[i].prompt_ids.size() + examples_[i].completion_ids.size()) - 1;
  }
  std::vector<std::vector<int64_t>> Groups() const override { return Alone(size()); }
  int64_t PackedLength(std::span<const int64_t> examples) const override {
    return Pack(examples).Nodes();
  }
  std::string Name(int64_t i) const override { return fmt::format("example {}", i + 1); }

  LossTerms Compute(std::span<const int64_t> examples,
                    std::span<const int64_t> step) const override {
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
  std::span<const data::PromptCompletion> examples_;
};

}  // namespace

std::unique_ptr<Objective> MakeSftObjective(const model::PhiModel& model,
                                            std::span<const data::PromptCompletion> examples) {
  return std::make_unique<SftObjective>(model, examples);
}

}  // namespace pivotal::dpo
