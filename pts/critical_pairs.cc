// Apache-2.0.
#include "pts/critical_pairs.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/base/error.h"
#include "pts/answers.h"
#include "pts/measured_curve.h"
#include "pts/turns.h"

namespace pivotal::pts {
namespace {

// Returns the searched responses with a verdict, or else the first rollout with it.
std::vector<CriticalSide> SidesOf(const QueryTrace& query, bool success) {
  std::vector<CriticalSide> sides;
  for (int32_t r = 0; r < std::ssize(query.responses); ++r)
    if (query.responses[static_cast<std::size_t>(r)].success == success)
      sides.push_back({query.responses[static_cast<std::size_t>(r)].tokens, r});
  if (!sides.empty()) return sides;
  const auto found = std::ranges::find(query.rollouts, success, &RolloutTrace::success);
  if (found != query.rollouts.end()) sides.push_back({ResponseOf(query, *found), -1});
  return sides;
}

}  // namespace

CriticalPairs::CriticalPairs(const QueryTrace& query, const ChangePrior& prior, double gap)
    : query_(query),
      prior_(prior),
      gap_(gap),
      right_(SidesOf(query, true)),
      wrong_(SidesOf(query, false)),
      trie_(TrieOf(query)),
      strata_(trie_, gap) {}

std::size_t CriticalPairs::size() const {
  if (right_.empty() || wrong_.empty() || wrong_[0].response < 0) return 0;
  return std::max(right_.size(), wrong_.size());
}

PreferencePair CriticalPairs::Pair(std::size_t i, const Tokenizer& tokenizer) const {
  PreferencePair pair;
  pair.id = fmt::format("{}/critical/{}", query_.id, i);
  pair.source = "critical";
  pair.prompt_ids = query_.prompt;
  pair.chosen_ids = Chosen(i).tokens;
  pair.rejected_ids = Rejected(i).tokens;
  pair.rejected_weights = Weights(Rejected(i).response);
  pair.prompt = tokenizer.Decode(pair.prompt_ids, /*at_start=*/true);
  pair.chosen = tokenizer.Decode(pair.chosen_ids);
  pair.rejected = tokenizer.Decode(pair.rejected_ids);
  return pair;
}

std::vector<KeptSuccess> CriticalPairs::Scores(int32_t response, double z) const {
  const auto path = trie_.Path(response);
  std::vector<KeptSuccess> scores;
  for (std::size_t k = 1; k < path.size(); ++k)
    scores.push_back(
        KeptBy(strata_.Change(path[k - 1], path[k]), strata_.Value(path[k - 1]).Mean(), gap_, z));
  return scores;
}

std::vector<float> CriticalPairs::Weights(int32_t response) const {
  const auto path = trie_.Path(response);
  const auto changes = MeanChanges(trie_, strata_, prior_, response);
  std::vector<float> weights;
  for (std::size_t k = 0; k < changes.size(); ++k)
    weights.push_back(
        static_cast<float>(1 - KeptShare(changes[k], strata_.Value(path[k]).Mean(), gap_)));
  return weights;
}

}  // namespace pivotal::pts

namespace pivotal {
using namespace pts;

std::vector<PreferencePair> BuildCriticalPairs(std::span<const QueryTrace> queries,
                                               const Tokenizer& tokenizer, double gap,
                                               const ResponsePairOptions& options) {
  if (options.count < 0) Fail("critical pairs: count is {}, must be 0 or larger", options.count);
  for (const QueryTrace& query : queries)
    for (std::size_t r = 0; r < query.responses.size(); ++r) RequireMeasured(query, r);
  const ChangePrior prior(MeasuredChanges(queries, gap));
  std::vector<std::vector<PreferencePair>> pairs;
  for (const QueryTrace& query : queries) {
    const CriticalPairs of(query, prior, gap);
    std::vector<PreferencePair>& all = pairs.emplace_back();
    for (std::size_t i = 0; i < of.size(); ++i) all.push_back(of.Pair(i, tokenizer));
  }
  return InTurns(std::move(pairs), options.count);
}

}  // namespace pivotal
