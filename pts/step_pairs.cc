// Apache-2.0.
#include "pts/step_pairs.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "data/base/error.h"
#include "pivotal/pairs.h"
#include "pts/answers.h"
#include "pts/change_posterior.h"
#include "pts/estimate.h"
#include "pts/measured_curve.h"
#include "pts/response_steps.h"
#include "pts/strata.h"
#include "pts/success_trie.h"
#include "pts/turns.h"

namespace pivotal::pts {
namespace {

using StepTokens = std::vector<TokenId>;

// A whole response to a query, searched or a rollout.
struct Course {
  StepTokens tokens;
  bool success;
};

// Returns the responses that all rollouts of a query are, and the searched ones that are none of
// them.
std::vector<Course> CoursesOf(const QueryTrace& query) {
  std::vector<Course> courses;
  std::set<StepTokens> from_prompt;
  for (const RolloutTrace& rollout : query.rollouts) {
    courses.push_back({ResponseOf(query, rollout), rollout.success});
    if (rollout.kind == RolloutKind::kQuery) from_prompt.insert(rollout.tokens);
  }
  for (const ResponseTrace& response : query.responses)
    if (!from_prompt.contains(response.tokens))
      courses.push_back({response.tokens, response.success});
  return courses;
}

// Returns the step that follows `prefix` in the course with the best record: of the steps that
// ended right at least once, the one with the highest smoothed share of right ones. Of equal ones
// it is the one that was sampled more often, then the first.
std::optional<StepTokens> BestStep(const std::vector<Course>& courses,
                                   std::span<const TokenId> prefix, const StepTokens& wrong,
                                   const Tokenizer& tokenizer) {
  std::map<StepTokens, std::size_t> index;
  std::vector<std::pair<StepTokens, Estimate>> steps;
  for (const Course& course : courses) {
    if (course.tokens.size() <= prefix.size() ||
        !std::equal(prefix.begin(), prefix.end(), course.tokens.begin()))
      continue;
    const auto all = StepsOf(tokenizer, course.tokens);
    const auto next = std::ranges::find_if(
        all, [&](const ResponseStep& step) { return step.end > std::ssize(prefix); });
    if (next == all.end()) continue;
    StepTokens step(course.tokens.begin() + std::ssize(prefix), course.tokens.begin() + next->end);
    if (step == wrong) continue;
    const auto [found, is_new] = index.emplace(step, steps.size());
    if (is_new) steps.emplace_back(std::move(step), Estimate{});
    steps[found->second].second += Estimate{1, course.success};
  }
  const std::pair<StepTokens, Estimate>* best = nullptr;
  const auto rank = [](const Estimate& e) { return std::pair(e.Smoothed(), e.samples); };
  for (const auto& step : steps) {
    if (step.second.successes == 0) continue;
    if (best == nullptr || rank(step.second) > rank(best->second)) best = &step;
  }
  if (best == nullptr) return std::nullopt;
  return best->first;
}

// Returns the step pairs of a query; those of responses with the same beginning once.
std::vector<PreferencePair> StepPairsOf(const QueryTrace& query, const Tokenizer& tokenizer,
                                        const ChangePrior& prior, double gap, double threshold) {
  std::vector<PreferencePair> pairs;
  const std::vector<Course> courses = CoursesOf(query);
  const SuccessTrie trie = TrieOf(query);
  const Strata strata(trie, gap);
  std::set<std::pair<StepTokens, StepTokens>> known;  // prompt, rejected
  for (std::size_t r = 0; r < query.responses.size(); ++r) {
    if (query.responses[r].success) continue;
    const auto& tokens = query.responses[r].tokens;
    std::vector<int32_t> ends;
    for (const ResponseStep& of : StepsOf(tokenizer, tokens)) ends.push_back(of.end);
    const auto step =
        FirstWrongStep(CurveOf(query, r), MeanChanges(trie, strata, prior, static_cast<int32_t>(r)),
                       ends, threshold);
    if (!step) continue;
    PreferencePair pair;
    pair.id = fmt::format("{}/step/{}", query.id, r);
    pair.source = "step";
    pair.prompt_ids = PrefixOf(query, static_cast<int32_t>(r), step->begin);
    pair.rejected_ids.assign(tokens.begin() + step->begin, tokens.begin() + step->end);
    const auto chosen =
        BestStep(courses, std::span(tokens).first(step->begin), pair.rejected_ids, tokenizer);
    if (!chosen || !known.insert({pair.prompt_ids, pair.rejected_ids}).second) continue;
    pair.chosen_ids = *chosen;
    pair.delta = step->change;
    pair.prompt = tokenizer.Decode(pair.prompt_ids, /*at_start=*/true);
    pair.chosen = tokenizer.Decode(pair.chosen_ids);
    pair.rejected = tokenizer.Decode(pair.rejected_ids);
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

}  // namespace

std::optional<WrongStep> FirstWrongStep(std::span<const double> p, std::span<const double> changes,
                                        std::span<const int32_t> ends, double threshold) {
  if (p[0] < threshold) return std::nullopt;
  int32_t begin = 0;
  for (const int32_t end : ends) {
    const auto first = changes.begin() + begin;
    const double change = std::accumulate(first, changes.begin() + end, 0.0);
    const double before = p[static_cast<std::size_t>(begin)];
    if (before >= threshold && before + change < threshold) return WrongStep{begin, end, change};
    begin = end;
  }
  return std::nullopt;
}

}  // namespace pivotal::pts

namespace pivotal {
using namespace pts;

std::vector<PreferencePair> BuildStepPairs(std::span<const QueryTrace> queries,
                                           const Tokenizer& tokenizer, double gap,
                                           const StepPairOptions& options) {
  if (options.count < 0) Fail("step pairs: count is {}, must be 0 or larger", options.count);
  if (!(options.threshold > 0 && options.threshold <= 1))
    Fail("step pairs: threshold is {}, must be above 0 and at most 1", options.threshold);
  for (const QueryTrace& query : queries)
    for (std::size_t r = 0; r < query.responses.size(); ++r) RequireMeasured(query, r);
  const ChangePrior prior(MeasuredChanges(queries, gap));
  std::vector<std::vector<PreferencePair>> pairs;
  for (const QueryTrace& query : queries)
    pairs.push_back(StepPairsOf(query, tokenizer, prior, gap, options.threshold));
  return InTurns(std::move(pairs), options.count);
}

}  // namespace pivotal
