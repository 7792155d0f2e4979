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
namespace {

// Puts all examples through the model, those with common tokens together, and calls
// use(examples, batch, log-probabilities of the batch's targets) for each pass.
template <typename F>
void ForEachScored(const model::PhiModel& model, std::span<const Continuation> continuations,
                   int64_t sides, int64_t batch, const char* unit, Progress& progress, F use) {
  const int64_t count = std::ssize(continuations) / sides;
  std::vector<std::span<const TokenId>> prompts;
  for (int64_t i = 0; i < count; ++i) prompts.push_back(continuations[i * sides].prompt);
  std::vector<int64_t> order;
  for (const auto& group : PrefixGroups(prompts))
    order.insert(order.end(), group.begin(), group.end());
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
    use(examples, built, TargetLogProbs(model, built));
    progress.Update(first + size, "");
  });
  progress.End();
}

// Returns where the share of rank `rank` begins, of `count` examples.
int64_t FirstOfRank(int64_t count, int rank, const Ranks& ranks) {
  return count * rank / ranks.size();
}

}  // namespace

at::Tensor ScoreContinuations(const model::PhiModel& model,
                              std::span<const Continuation> continuations, int64_t sides,
                              int64_t batch, const char* unit, Progress& progress) {
  const c10::InferenceMode inference;
  const int64_t count = std::ssize(continuations) / sides;
  at::Tensor scores = at::empty({count, sides}, at::TensorOptions(at::kDouble));
  ForEachScored(
      model, continuations, sides, batch, unit, progress,
      [&](std::span<const int64_t> examples, const Batch& built, const at::Tensor& logps) {
        scores.index_copy_(0, model::ToDevice(examples, at::kCPU),
                           PerCompletion(built, logps)
                               .to(at::kCPU, at::kDouble)
                               .view({std::ssize(examples), sides}));
      });
  return scores.clone();
}

at::Tensor ScoreContinuations(const model::PhiModel& model,
                              std::span<const Continuation> continuations, int64_t sides,
                              int64_t batch, const char* unit, Progress& progress, Ranks& ranks) {
  const int64_t count = std::ssize(continuations) / sides;
  const int64_t first = FirstOfRank(count, ranks.rank(), ranks);
  const int64_t size = FirstOfRank(count, ranks.rank() + 1, ranks) - first;
  const at::Tensor scores = at::zeros({count, sides}, at::TensorOptions(at::kDouble));
  ranks.Together([&] {
    scores.narrow(0, first, size)
        .copy_(ScoreContinuations(model, continuations.subspan(first * sides, size * sides), sides,
                                  batch, unit, progress));
  });
  ranks.Sum(scores);
  return scores;
}

at::Tensor ScoreTokens(const model::PhiModel& model, std::span<const Continuation> continuations,
                       int64_t batch, const char* unit, Progress& progress, Ranks& ranks) {
  std::vector<int64_t> begins = {0};  // of each completion, in the result
  for (const Continuation& c : continuations)
    begins.push_back(begins.back() + std::ssize(c.completion));
  const int64_t count = std::ssize(continuations);
  const int64_t first = FirstOfRank(count, ranks.rank(), ranks);
  const int64_t size = FirstOfRank(count, ranks.rank() + 1, ranks) - first;
  const at::Tensor scores = at::zeros({begins.back()}, at::TensorOptions(at::kDouble));
  ranks.Together([&] {
    const c10::InferenceMode inference;
    ForEachScored(
        model, continuations.subspan(first, size), 1, batch, unit, progress,
        [&](std::span<const int64_t> examples, const Batch&, const at::Tensor& logps) {
          const at::Tensor values = logps.to(at::kCPU, at::kDouble);
          int64_t done = 0;
          for (const int64_t i : examples) {
            const int64_t tokens = begins[first + i + 1] - begins[first + i];
            scores.narrow(0, begins[first + i], tokens).copy_(values.narrow(0, done, tokens));
            done += tokens;
          }
        });
  });
  ranks.Sum(scores);
  return scores;
}

}  // namespace pivotal::dpo
