// Apache-2.0.
#include "dpo/reference_scores.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <vector>

#include "dpo/batch.h"
#include "dpo/sharded_weights.h"
#include "dpo/step_plan.h"
#include "model/tensor_transfer.h"
#include "pivotal/error.h"

namespace pivotal::dpo {

at::Tensor ScoreContinuations(const model::PhiModel& model,
                              std::span<const Continuation> continuations, int64_t sides,
                              int64_t batch, const char* unit, Progress& progress) {
  const c10::InferenceMode inference;
  const int64_t count = std::ssize(continuations) / sides;
  std::vector<std::span<const TokenId>> prompts;
  for (int64_t i = 0; i < count; ++i) prompts.push_back(continuations[i * sides].prompt);
  std::vector<int64_t> order;
  for (const auto& group : PrefixGroups(prompts))
    order.insert(order.end(), group.begin(), group.end());
  at::Tensor scores = at::empty({count, sides}, at::TensorOptions(at::kDouble));
  progress.Begin("reference", count, unit);
  ForEachPass(model, (count + batch - 1) / batch, /*backward=*/false, [&](int64_t pass) {
    const int64_t first = pass * batch;
    if (progress.StopRequested()) throw Interrupted("stopped while scoring the reference");
    const int64_t size = std::min(batch, count - first);
    const auto examples = std::span(order).subspan(first, size);
    BatchBuilder builder(model);
    for (int64_t i : examples)
      for (const Continuation& c : continuations.subspan(i * sides, sides))
        builder.Add(c.prompt, c.completion, c.weights);
    const Batch built = builder.Build();
    scores.index_copy_(0, model::ToDevice(examples, at::kCPU),
                       PerCompletion(built, TargetLogProbs(model, built))
                           .to(at::kCPU, at::kDouble)
                           .view({size, sides}));
    progress.Update(first + size, "");
  });
  progress.End();
  return scores.clone();
}

at::Tensor ScoreContinuations(const model::PhiModel& model,
                              std::span<const Continuation> continuations, int64_t sides,
                              int64_t batch, const char* unit, Progress& progress, Ranks& ranks) {
  const int64_t count = std::ssize(continuations) / sides;
  const int64_t first = count * ranks.rank() / ranks.size();
  const int64_t size = count * (ranks.rank() + 1) / ranks.size() - first;
  const at::Tensor scores = at::zeros({count, sides}, at::TensorOptions(at::kDouble));
  ranks.Together([&] {
    scores.narrow(0, first, size)
        .copy_(ScoreContinuations(model, continuations.subspan(first * sides, size * sides), sides,
                                  batch, unit, progress));
  });
  ranks.Sum(scores);
  return scores;
}

}  // namespace pivotal::dpo
