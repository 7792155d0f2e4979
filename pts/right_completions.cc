// Apache-2.0.
#include "pts/right_completions.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "data/base/error.h"
#include "kernels/philox.h"
#include "pivotal/pairs.h"
#include "pts/answers.h"

namespace pivotal {
namespace {

using Tokens = std::vector<TokenId>;

// A right response, and how many of its tokens stood before the rollout that made it.
struct RightResponse {
  Tokens tokens;
  std::size_t given = 0;
};

std::vector<RightResponse> RightResponsesOf(const QueryTrace& query,
                                            const RightCompletionOptions& options) {
  std::vector<RightResponse> right;
  const auto add = [&](Tokens tokens, std::size_t completion) {
    if (completion == 0) return;
    const std::size_t given = tokens.size() - completion;
    right.push_back({std::move(tokens), given});
  };
  for (const RolloutTrace& rollout : query.rollouts)
    if (pts::IsRightCompletion(rollout, options) && !pts::IsCut(rollout.finish))
      add(pts::ResponseOf(query, rollout), rollout.tokens.size());
  for (const ResponseTrace& response : query.responses)
    if (response.success && !pts::IsCut(response.finish))
      add(response.tokens, response.tokens.size());
  std::ranges::stable_sort(right, {}, &RightResponse::given);
  std::set<Tokens> seen;
  std::erase_if(right, [&](const RightResponse& of) { return !seen.insert(of.tokens).second; });
  return right;
}

}  // namespace

std::vector<PromptCompletion> BuildRightCompletions(std::span<const QueryTrace> queries,
                                                    const RightCompletionOptions& options) {
  if (options.per_query < 0)
    Fail("right completions: per_query is {}, must be 0 or larger", options.per_query);
  std::vector<PromptCompletion> completions;
  for (const QueryTrace& query : queries) {
    auto right = RightResponsesOf(query, options);
    if (options.per_query > 0) {
      kernels::RandomStream random(
          options.seed, kernels::MixStream(kernels::MixStream(0, "right completions"), query.id));
      kernels::LeaveRandom(right, static_cast<std::size_t>(options.per_query), random);
    }
    int32_t number = 0;
    for (const RightResponse& of : right) {
      const auto begin = of.tokens.begin() + static_cast<std::ptrdiff_t>(of.given);
      PromptCompletion completion;
      completion.prompt_ids = query.prompt;
      completion.prompt_ids.insert(completion.prompt_ids.end(), of.tokens.begin(), begin);
      completion.completion_ids.assign(begin, of.tokens.end());
      completion.id = fmt::format("{}/right/{}", query.id, number++);
      completions.push_back(std::move(completion));
    }
  }
  return completions;
}

}  // namespace pivotal
