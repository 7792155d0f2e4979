// Apache-2.0. Strategies that estimate p_k by free rollouts from P_k.
#pragma once

#include <cstdint>
#include <vector>

#include "pts/strategy.h"
#include "pts/subdivide.h"

namespace pivotal::pts {

// p_k is the verdict where a response ends, else what `samples` free rollouts from there said.
class PrefixSearch : public Strategy {
 public:
  PrefixSearch(const SuccessTrie& trie, int32_t samples) : trie_(trie), samples_(samples) {}
  double Value(int32_t node) const final;

 protected:
  bool IsKnown(int32_t node) const { return trie_[node].ends || trie_[node].started.samples > 0; }
  Ask FreeRollouts(int32_t node) const { return {node, false, samples_, 0}; }

  const SuccessTrie& trie_;

 private:
  int32_t samples_;
};

// The published search, or with `by_length` the middle of a segment in place of the midpoint of its
// log-probabilities; p_0 from the prompt's rollouts. One estimate for each prefix of the query.
class SubdivideSearch : public PrefixSearch {
 public:
  SubdivideSearch(const SuccessTrie& trie, const StrategyOptions& options, bool by_length);
  std::vector<Ask> Next() override;
  std::vector<int32_t> Pivotal() const override;

 private:
  std::vector<Subdivision> subdivisions_;  // of each response
};

// Draws responses and leaves them as they are.
class NoSearch : public PrefixSearch {
 public:
  using PrefixSearch::PrefixSearch;
  std::vector<Ask> Next() override { return {}; }
  std::vector<int32_t> Pivotal() const override { return {}; }
};

// p_k of every prefix.
class ExhaustiveSearch : public PrefixSearch {
 public:
  ExhaustiveSearch(const SuccessTrie& trie, const StrategyOptions& options)
      : PrefixSearch(trie, options.samples), gap_(options.gap) {}
  std::vector<Ask> Next() override;
  std::vector<int32_t> Pivotal() const override;

 private:
  double gap_;
};

}  // namespace pivotal::pts
