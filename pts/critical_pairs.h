// Apache-2.0. Pairs of whole responses with a score for each token: the share of p(success) that it
// keeps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "pivotal/pairs.h"
#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"
#include "pts/change_posterior.h"
#include "pts/kept_success.h"
#include "pts/strata.h"
#include "pts/success_trie.h"

namespace pivotal::pts {

// One side of a pair.
struct CriticalSide {
  std::vector<TokenId> tokens;
  int32_t response = -1;  // -1: a rollout, which has no scores
};

// The pairs of one query, as BuildCriticalPairs() says.
class CriticalPairs {
 public:
  // `prior` and `query` must outlive this object.
  CriticalPairs(const QueryTrace& query, const ChangePrior& prior, double gap);

  std::size_t size() const;
  const CriticalSide& Chosen(std::size_t i) const { return right_[i % right_.size()]; }
  const CriticalSide& Rejected(std::size_t i) const { return wrong_[i % wrong_.size()]; }
  PreferencePair Pair(std::size_t i, const Tokenizer& tokenizer) const;
  // Returns the scores of a searched response's tokens; `z` is a two-sided normal quantile.
  std::vector<KeptSuccess> Scores(int32_t response, double z) const;

 private:
  // Returns the shares of p(success) that the tokens destroy, by the posterior means of the
  // changes.
  std::vector<float> Weights(int32_t response) const;

  const QueryTrace& query_;
  const ChangePrior& prior_;
  double gap_;
  std::vector<CriticalSide> right_, wrong_;  // all searched ones, else a rollout; empty: none
  SuccessTrie trie_;
  Strata strata_;
};

}  // namespace pivotal::pts
