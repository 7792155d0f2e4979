// Apache-2.0.
#include "pts/pairs_search.h"

namespace pivotal::pts {
namespace {

constexpr double kLikely = 0.5;    // probability of being pivotal from which a token is proposed
constexpr int32_t kLeastLeft = 4;  // rollouts that took other tokens, from which to choose one
constexpr int32_t kRound = 32;     // rollouts that are planned together

}  // namespace

PairsSearch::PairsSearch(const SuccessTrie& trie, const StrategyOptions& options, uint64_t stream,
                         int32_t explored)
    : trie_(trie),
      options_(options),
      stream_(stream),
      strata_(trie, options.gap),
      proposed_(trie.size(), 0),
      settled_(trie.size(), 0) {
  for (int32_t node = 0; node < trie.size(); ++node)
    settled_[node] = trie[node].response < explored;
}

std::vector<Strategy::RolloutPlan> PairsSearch::Next() {
  JumpModel model(trie_, strata_, options_.gap, settled_);
  std::vector<RolloutPlan> plans;
  std::vector<char> asked(trie_.size(), 0);
  for (int32_t node = 1; node < trie_.size(); ++node) {
    if (model.PivotalProbability(node) < kLikely) continue;
    const SuccessTrie::Node& parent = trie_[trie_[node].parent];
    const int32_t missing = kLeastLeft - parent.left.samples;
    if (missing <= 0 || parent.leave == 0) {
      proposed_[node] = settled_[node] = 1;
    } else if (!asked[trie_[node].parent]) {
      asked[trie_[node].parent] = 1;
      plans.push_back({trie_[node].parent, true, missing, 1});
    }
  }
  for (const auto& plan : model.Plan(kRound, options_.min_yield / trie_.MeanLength())) {
    if (asked[strata_.all()[plan.stratum].nodes.front()]) continue;
    SpreadRollouts(trie_, strata_, plan.stratum, plan.count, plan.yield, stream_, plans);
  }
  return plans;
}

std::vector<int32_t> PairsSearch::Pivotal() const {
  std::vector<int32_t> nodes;
  for (int32_t node = 1; node < trie_.size(); ++node)
    if (proposed_[node]) nodes.push_back(node);
  return nodes;
}

}  // namespace pivotal::pts
