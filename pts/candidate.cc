// Apache-2.0.
#include "pts/candidate.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace pivotal::pts {
namespace {

// Negative where `a` has the lower smoothed rate, 0 where they are equal. Exact.
int64_t CompareRates(Estimate a, Estimate b) {
  return (int64_t{a.successes} + 1) * (int64_t{b.samples} + 2) -
         (int64_t{b.successes} + 1) * (int64_t{a.samples} + 2);
}

}  // namespace

std::vector<Alternative> AlternativesTo(const SuccessTrie& trie, const Strata& strata,
                                        int32_t node) {
  const SuccessTrie::Node& parent = trie[trie[node].parent];
  std::map<TokenId, Alternative> alternatives;
  for (const auto& [token, branch] : parent.branches)
    if (branch.sampled.samples > 0) alternatives[token] = {token, branch.logprob, branch.sampled};
  for (int32_t child : parent.children) {
    if (child == node) continue;
    alternatives[trie[child].token] = {trie[child].token,
                                       static_cast<float>(std::log(trie[child].probability)),
                                       strata.Value(child).AsCounts()};
  }
  std::vector<Alternative> ordered;
  for (const auto& [token, alternative] : alternatives) ordered.push_back(alternative);
  return ordered;
}

std::optional<Alternative> PickOther(std::span<const Alternative> alternatives,
                                     bool trunk_accepted) {
  const auto better = [=](const Alternative& a, const Alternative& b) {
    const int64_t rates = CompareRates(a.estimate, b.estimate);
    if (rates != 0) return trunk_accepted ? rates < 0 : rates > 0;
    if (a.estimate.samples != b.estimate.samples) return a.estimate.samples > b.estimate.samples;
    return a.token < b.token;
  };
  const auto best = std::min_element(alternatives.begin(), alternatives.end(), better);
  if (best == alternatives.end()) return std::nullopt;
  return *best;
}

}  // namespace pivotal::pts
