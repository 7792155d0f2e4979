// Apache-2.0.
#include "pts/advantages.h"

#include <fmt/format.h>

#include <algorithm>

#include "pivotal/pairs.h"
#include "pts/measured_curve.h"

namespace pivotal::pts {
namespace {

// Rollouts from the prompt, and how many of them are right.
struct FromPrompt {
  double samples = 0, right = 0;
};

FromPrompt CountFromPrompt(const QueryTrace& query) {
  FromPrompt counts;
  for (const RolloutTrace& rollout : query.rollouts) {
    if (rollout.kind != RolloutKind::kQuery) continue;
    ++counts.samples;
    counts.right += rollout.success;
  }
  return counts;
}

}  // namespace

double WeightOfVerdict(const QueryTrace& query, bool success) {
  const FromPrompt counts = CountFromPrompt(query);
  const auto searched = static_cast<double>(query.responses.size());
  const auto right =
      static_cast<double>(std::ranges::count(query.responses, true, &ResponseTrace::success));
  if (counts.samples == 0 || right == 0 || right == searched) return 1;
  return success ? counts.right / counts.samples / (right / searched)
                 : (1 - counts.right / counts.samples) / (1 - right / searched);
}

}  // namespace pivotal::pts

namespace pivotal {
using namespace pts;

std::vector<AdvantageExample> BuildCurveAdvantages(std::span<const QueryTrace> queries) {
  std::vector<AdvantageExample> examples;
  for (const QueryTrace& query : queries) {
    for (std::size_t r = 0; r < query.responses.size(); ++r) {
      const ResponseTrace& response = query.responses[r];
      const std::vector<double> p = CurveOf(query, r);
      AdvantageExample example;
      example.id = fmt::format("{}/{}", query.id, r);
      example.prompt_ids = query.prompt;
      example.completion_ids = response.tokens;
      for (std::size_t k = 1; k < p.size(); ++k)
        example.advantages.push_back(static_cast<float>(p[k] - p[k - 1]));
      example.weight = WeightOfVerdict(query, response.success);
      examples.push_back(std::move(example));
    }
  }
  return examples;
}

std::vector<AdvantageExample> BuildOutcomeAdvantages(std::span<const QueryTrace> queries) {
  std::vector<AdvantageExample> examples;
  for (const QueryTrace& query : queries) {
    const FromPrompt counts = CountFromPrompt(query);
    if (counts.right == 0 || counts.right == counts.samples) continue;
    int32_t number = 0;
    for (const RolloutTrace& rollout : query.rollouts) {
      if (rollout.kind != RolloutKind::kQuery) continue;
      const double advantage = rollout.success - counts.right / counts.samples;
      examples.push_back({fmt::format("{}/outcome/{}", query.id, number++),
                          query.prompt,
                          rollout.tokens,
                          std::vector<float>(rollout.tokens.size(), static_cast<float>(advantage)),
                          {}});
    }
  }
  return examples;
}

}  // namespace pivotal
