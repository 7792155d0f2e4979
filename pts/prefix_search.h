// Apache-2.0. Strategies that estimate p_k by free rollouts from P_k.
#pragma once

#include <memory>
#include <vector>

#include "pts/strategy.h"
#include "pts/subdivide.h"

namespace pivotal::pts {

// The published search, or with `by_length` the middle of a segment in place of the midpoint of its
// log-probabilities; p_0 from the prompt's rollouts. One estimate for each prefix of the query.
class SubdivideSearch : public Strategy {
 public:
  SubdivideSearch(const SuccessTrie& trie, const StrategyOptions& options, bool by_length);
  std::vector<Ask> Next() override;
  std::vector<int32_t> Pivotal() const override;
  double Value(int32_t node) const override;

 private:
  const SuccessTrie& trie_;
  int32_t samples_;
  std::vector<Subdivision> subdivisions_;  // of each response
};

// p_k of every prefix.
class ExhaustiveSearch : public Strategy {
 public:
  ExhaustiveSearch(const SuccessTrie& trie, const StrategyOptions& options)
      : trie_(trie), gap_(options.gap), samples_(options.samples) {}
  std::vector<Ask> Next() override;
  std::vector<int32_t> Pivotal() const override;
  double Value(int32_t node) const override;

 private:
  const SuccessTrie& trie_;
  double gap_;
  int32_t samples_;
};

}  // namespace pivotal::pts
