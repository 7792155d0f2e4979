// Apache-2.0.
#include "pts/found_tokens.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "data/base/error.h"
#include "pts/change_posterior.h"
#include "pts/strata.h"
#include "pts/success_trie.h"

namespace pivotal::pts {
namespace {

bool HasPivotal(const QueryTrace& query) {
  return std::ranges::any_of(query.responses,
                             [](const ResponseTrace& r) { return !r.pivotal.empty(); });
}

}  // namespace

void LearnProbabilities(std::span<QueryTrace> run, double gap) {
  std::vector<MeasuredChange> measured;
  std::vector<std::pair<PivotalToken*, MeasuredChange>> found;
  for (QueryTrace& query : run) {
    if (query.responses.empty()) continue;
    if (query.rollouts.empty()) {
      if (HasPivotal(query))
        Fail(
            "problem {}: its pivotal tokens come without rollouts, so how likely they are true is "
            "unknown; search it to know",
            query.id);
      continue;
    }
    const SuccessTrie trie = TrieOf(query);
    const auto changes = ChangesOf(trie, Strata(trie, gap), gap);
    for (const auto& [node, change] : changes) measured.push_back(change);
    for (int32_t r = 0; r < trie.responses(); ++r) {
      for (PivotalToken& token : query.responses[static_cast<std::size_t>(r)].pivotal) {
        const auto at = changes.find(trie.Path(r)[static_cast<std::size_t>(token.position)]);
        token.probability = 0;  // of a token that can't be pivotal
        if (at != changes.end()) found.emplace_back(&token, at->second);
      }
    }
  }
  const ChangePrior prior(measured);
  for (const auto& [token, change] : found) token->probability = prior.Reaches(change, gap);
}

KeptTokens KeepTokens(std::span<QueryTrace> run, double max_false_share) {
  if (!(max_false_share > 0 && max_false_share <= 1))
    Fail("pivotal tokens: max_false_share is {}, must be in (0, 1]", max_false_share);
  std::vector<double> probabilities;
  for (const QueryTrace& query : run)
    for (const ResponseTrace& response : query.responses)
      for (const PivotalToken& token : response.pivotal) probabilities.push_back(token.probability);
  std::ranges::sort(probabilities, std::greater<>());
  KeptTokens kept{static_cast<int64_t>(probabilities.size()), 0, 0};
  double sum = 0, least = 2;  // the least probability that stays
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    sum += 1 - probabilities[i];
    // Equal tokens stay or go together.
    if (i + 1 < probabilities.size() && probabilities[i + 1] == probabilities[i]) continue;
    const double share = sum / static_cast<double>(i + 1);
    if (share > max_false_share) break;
    kept.kept = static_cast<int64_t>(i) + 1;
    kept.false_share = share;
    least = probabilities[i];
  }
  for (QueryTrace& query : run) {
    for (ResponseTrace& response : query.responses) {
      std::erase_if(response.pivotal,
                    [&](const PivotalToken& token) { return token.probability < least; });
      std::erase_if(response.alternatives, [&](const AlternativeToken& other) {
        return std::ranges::find(response.pivotal, other.position, &PivotalToken::position) ==
               response.pivotal.end();
      });
    }
  }
  return kept;
}

}  // namespace pivotal::pts
