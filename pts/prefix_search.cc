// Apache-2.0.
#include "pts/prefix_search.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace pivotal::pts {
double PrefixSearch::Value(int32_t node) const {
  if (trie_[node].ends) return trie_[node].success ? 1.0 : 0.0;
  return trie_[node].started.Mean();
}

SubdivideSearch::SubdivideSearch(const SuccessTrie& trie, const StrategyOptions& options,
                                 bool by_length)
    : PrefixSearch(trie, options.samples) {
  for (int32_t r = 0; r < trie.responses(); ++r) {
    const auto path = trie.Path(r);
    std::vector<float> logprobs;
    for (int32_t node : path.subspan(1))
      logprobs.push_back(by_length ? 0.0f : static_cast<float>(std::log(trie[node].probability)));
    subdivisions_.emplace_back(logprobs, Value(path.front()), Value(path.back()), options.gap);
  }
}

// Everything that is known is supplied at once; what is left waits for rollouts.
std::vector<Strategy::Ask> SubdivideSearch::Next() {
  std::set<int32_t> unknown;
  for (int32_t r = 0; r < trie_.responses(); ++r) {
    const auto path = trie_.Path(r);
    bool supplied = true;
    while (supplied) {
      supplied = false;
      for (int32_t k : subdivisions_[r].Pending()) {
        if (!IsKnown(path[k])) continue;
        subdivisions_[r].Supply(k, Value(path[k]));
        supplied = true;
      }
    }
    for (int32_t k : subdivisions_[r].Pending()) unknown.insert(path[k]);
  }
  std::vector<Ask> asks;
  for (int32_t node : unknown) asks.push_back(FreeRollouts(node));
  return asks;
}

std::vector<int32_t> SubdivideSearch::Pivotal() const {
  std::set<int32_t> nodes;
  for (int32_t r = 0; r < trie_.responses(); ++r)
    for (int32_t k : subdivisions_[r].Pivotal()) nodes.insert(trie_.Path(r)[k]);
  return {nodes.begin(), nodes.end()};
}

std::vector<Strategy::Ask> ExhaustiveSearch::Next() {
  std::vector<Ask> asks;
  for (int32_t node = 1; node < trie_.size(); ++node)
    if (!IsKnown(node)) asks.push_back(FreeRollouts(node));
  return asks;
}

std::vector<int32_t> ExhaustiveSearch::Pivotal() const {
  std::vector<int32_t> nodes;
  for (int32_t node = 1; node < trie_.size(); ++node) {
    const int32_t parent = trie_[node].parent;
    if (IsKnown(node) && IsKnown(parent) &&
        ReachesGap(std::abs(Value(node) - Value(parent)), gap_))
      nodes.push_back(node);
  }
  return nodes;
}

}  // namespace pivotal::pts
