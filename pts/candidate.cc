// Apache-2.0.
#include "pts/candidate.h"

#include <algorithm>
#include <cmath>

namespace pivotal::pts {
namespace {

constexpr double kCommon = 0.05;  // probability of a token that has something to teach

}  // namespace

std::vector<Alternative> AlternativesTo(const SuccessTrie& trie, const Strata& strata,
                                        int32_t node) {
  const SuccessTrie::Node& parent = trie[trie[node].parent];
  std::vector<Alternative> alternatives;
  for (const auto& [token, branch] : parent.branches)
    if (branch.sampled.samples > 0) alternatives.push_back({token, branch.logprob, branch.sampled});
  for (int32_t child : parent.children) {
    if (child == node) continue;
    alternatives.push_back({trie[child].token,
                            static_cast<float>(std::log(trie[child].probability)),
                            strata.Value(child).AsCounts()});
  }
  std::ranges::sort(alternatives, {}, &Alternative::token);
  return alternatives;
}

std::optional<Alternative> PickOther(std::span<const Alternative> alternatives, double after,
                                     bool trunk_accepted) {
  const auto distance = [=](const Alternative& a) {
    const double d = after - a.estimate.Smoothed();
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
