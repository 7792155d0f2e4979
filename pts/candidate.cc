// Apache-2.0.
#include "pts/candidate.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace pivotal::pts {
namespace {

constexpr double kCommon = 0.05;  // probability of a token that has something to teach

double SmoothedRate(Estimate estimate) {
  return (estimate.successes + 1.0) / (estimate.samples + 2.0);
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

std::optional<Alternative> PickOther(std::span<const Alternative> alternatives, double after,
                                     bool trunk_accepted) {
  const auto distance = [=](const Alternative& a) {
    const double d = after - SmoothedRate(a.estimate);
    return trunk_accepted ? d : -d;
  };
  const auto is_common = [](const Alternative& a) { return a.logprob >= std::log(kCommon); };
  const auto better = [&](const Alternative& a, const Alternative& b) {
    if (distance(a) <= 0 || distance(b) <= 0) return distance(a) > distance(b);
    if (is_common(a) != is_common(b)) return is_common(a);
    if (distance(a) != distance(b)) return distance(a) > distance(b);
    if (a.estimate.samples != b.estimate.samples) return a.estimate.samples > b.estimate.samples;
    return a.token < b.token;
  };
  const auto best = std::min_element(alternatives.begin(), alternatives.end(), better);
  if (best == alternatives.end() || distance(*best) <= 0) return std::nullopt;
  return *best;
}

}  // namespace pivotal::pts
