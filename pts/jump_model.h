// Apache-2.0. A model of p along responses in which few tokens matter; it guides the search.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pts/strata.h"
#include "pts/success_trie.h"

namespace pivotal::pts {

// Prior weights of q = p and of q near p; otherwise q is anything. Chosen on worlds of
// bench/search_vs_truth.cc (seeds 12 and 13): with 0.70 and 0.20, jumps were held for so rare that
// the search did not return to forks where the first rollouts misled it.
inline constexpr double kPriorSame = 0.45, kPriorNear = 0.30;

// The posterior of the model for all responses of a trie, given the counts of one moment.
//
// The prior: most tokens could have been others without any effect, so q_k equals p_k there; for
// some tokens q_k is near p_k, for few it is anything. Backwards from the verdict,
//
//   p_(k-1) = (1 - leave) p_k + leave q_k.
//
// This makes p a hidden Markov chain, here on a grid of 25 levels. Means and covariances of all q,
// and of which tokens are pivotal, follow exactly from passes along the chain. The search decides
// by this model where rollouts go; which tokens it reports rests on counts alone.
class JumpModel {
 public:
  // Plan() leaves out the tokens of the nodes with `settled` [trie.size()] != 0, and their
  // probability is 0; empty: none is settled. Trie and strata must outlive the model.
  JumpModel(const SuccessTrie& trie, const Strata& strata, double gap,
            std::span<const char> settled = {});
  ~JumpModel();

  // Returns the probability that the token of a node has abs(d_k) >= gap; 0 if it cannot.
  double PivotalProbability(int32_t node) const { return pivotal_[node]; }

  // Rollouts that should leave at a stratum.
  struct StratumPlan {
    int32_t stratum, count;
    double yield;  // expected number of tokens that are decided per generated token
  };
  // Plans up to `count` rollouts in units of four. Each unit goes to the stratum with the highest
  // yield: the expected drop of the variance of "abs(d_k) >= gap", summed over tokens, under a
  // linear estimate from the outcomes of rollouts. The covariance is updated for planned rollouts
  // as by a Kalman filter. Stops once the yield is below `min_yield`.
  std::vector<StratumPlan> Plan(int32_t count, double min_yield);

 private:
  struct ResponsePosterior;
  void Fit(int32_t response, double gap, std::span<const char> settled);

  const SuccessTrie& trie_;
  const Strata& strata_;
  std::vector<double> pivotal_;                // for each node
  std::vector<ResponsePosterior> posteriors_;  // for each response
};

}  // namespace pivotal::pts
