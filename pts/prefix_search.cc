// Apache-2.0.
#include "pts/prefix_search.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace pivotal::pts {
namespace {

// The verdict where a response ends, else what free rollouts from the node said.
double ValueOf(const SuccessTrie& trie, int32_t node) {
  if (trie[node].ends) return trie[node].success ? 1.0 : 0.0;
  return trie[node].started.Mean();
}

}  // namespace

SubdivideSearch::SubdivideSearch(const SuccessTrie& trie, const StrategyOptions& options,
                                 bool by_length)
    : trie_(trie), samples_(options.samples) {
  for (int32_t r = 0; r < trie.responses(); ++r) {
    const auto path = trie.Path(r);
    std::vector<float> logprobs;
    for (int32_t node : path.subspan(1))
      logprobs.push_back(by_length ? 0.0f : static_cast<float>(std::log(trie[node].probability)));
    subdivisions_.emplace_back(logprobs, trie[0].started.Mean(),
                               trie[path.back()].success ? 1.0 : 0.0, options.gap);
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
        if (trie_[path[k]].started.samples == 0) continue;
        subdivisions_[r].Supply(k, ValueOf(trie_, path[k]));
        supplied = true;
      }
    }
    for (int32_t k : subdivisions_[r].Pending()) unknown.insert(path[k]);
  }
  std::vector<Ask> asks;
  for (int32_t node : unknown) asks.push_back({node, false, samples_, 0});
  return asks;
}

std::vector<int32_t> SubdivideSearch::Pivotal() const {
  std::set<int32_t> nodes;
  for (int32_t r = 0; r < trie_.responses(); ++r)
    for (int32_t k : subdivisions_[r].Pivotal()) nodes.insert(trie_.Path(r)[k]);
  return {nodes.begin(), nodes.end()};
}

double SubdivideSearch::Value(int32_t node) const { return ValueOf(trie_, node); }

std::vector<Strategy::Ask> ExhaustiveSearch::Next() {
  std::vector<Ask> asks;
  for (int32_t node = 1; node < trie_.size(); ++node)
    if (!trie_[node].ends && trie_[node].started.samples == 0)
      asks.push_back({node, false, samples_, 0});
  return asks;
}

std::vector<int32_t> ExhaustiveSearch::Pivotal() const {
  std::vector<int32_t> nodes;
  for (int32_t node = 1; node < trie_.size(); ++node) {
    const auto known = [&](int32_t n) { return trie_[n].ends || trie_[n].started.samples > 0; };
    const int32_t parent = trie_[node].parent;
    if (known(node) && known(parent) &&
        ReachesGap(std::abs(Value(node) - Value(parent)), gap_))
      nodes.push_back(node);
  }
  return nodes;
}

double ExhaustiveSearch::Value(int32_t node) const { return ValueOf(trie_, node); }

}  // namespace pivotal::pts
