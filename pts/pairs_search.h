// Apache-2.0. Search for pairs: proposes tokens that are likely to be pivotal, for a test at once.
#pragma once

#include <cstdint>
#include <vector>

#include "pts/jump_model.h"
#include "pts/strata.h"
#include "pts/strategy.h"

namespace pivotal::pts {

// Explores as AnchoredSearch does. A token that JumpModel holds for likely to be pivotal is
// proposed at once, and gets no more rollouts: the test of its pair on fresh rollouts decides.
class PairsSearch : public Strategy {
 public:
  // The first `explored` responses were searched before: no rollouts are drawn for their tokens.
  PairsSearch(const SuccessTrie& trie, const StrategyOptions& options, uint64_t stream,
              int32_t explored);

  std::vector<RolloutPlan> Next() override;
  std::vector<int32_t> Pivotal() const override;
  double Value(int32_t node) const override { return strata_.Value(node).Mean(); }

 private:
  const SuccessTrie& trie_;
  StrategyOptions options_;
  uint64_t stream_;
  Strata strata_;
  std::vector<char> proposed_, settled_;  // for each node
};

}  // namespace pivotal::pts
