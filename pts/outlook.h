// Apache-2.0. What the jump model expects of each token, and which rollouts would tell most.
#pragma once

#include <cstdint>
#include <vector>

#include "pts/strata.h"
#include "pts/success_trie.h"

namespace pivotal::pts {

// The posterior of pts/jump_model.h at one moment, for all responses of a trie.
class Outlook {
 public:
  // `stream` keys the curves that are drawn. Trie and strata outlive it.
  Outlook(const SuccessTrie& trie, const Strata& strata, double gap, uint64_t stream);
  ~Outlook();

  // Probability that the token of a node has abs(d_k) >= gap; 0 for tokens that can't.
  double Pivotal(int32_t node) const { return pivotal_[node]; }

  struct Share {
    int32_t stratum, count;
    double yield;  // expected tokens settled for each generated token
  };
  // Up to `count` rollouts that leave at the strata where they settle most tokens for each token
  // generated, by the expected drop of the variance of the verdicts "pivotal or not": that of a
  // linear estimate from the rollouts' outcomes, kept up to date as rollouts are planned (the
  // covariance update of a Kalman filter). Ends early where the yield falls below `min_yield`.
  std::vector<Share> Plan(int32_t count, double min_yield);

 private:
  struct View;
  void Look(int32_t response, double gap, uint64_t stream);

  const SuccessTrie& trie_;
  const Strata& strata_;
  std::vector<double> pivotal_;
  std::vector<View> views_;  // of each response
};

}  // namespace pivotal::pts
