// Apache-2.0. Where rollouts are drawn, and success probabilities along a trie as sums over these places.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pts/linear_estimate.h"
#include "pts/success_trie.h"

namespace pivotal::pts {

// Nodes whose q is sampled together. A node with a token that can be pivotal, or with several
// children, stands alone. The nodes between such ones, at which a rollout rarely leaves, form one
// stratum: its rollouts choose a node in proportion to the probability of leaving there, which is
// how a free rollout would choose.
struct Stratum {
  std::vector<int32_t> nodes;  // down one path
  double mass = 0;             // probability that a rollout from the first node leaves at one of them
};

// Splits the nodes of a trie; reads its counts whenever it is asked. The trie outlives it.
class Strata {
 public:
  // A node stands alone if one of its tokens has 1 - pi >= `gap`: abs(d_k) <= 1 - pi_k.
  Strata(const SuccessTrie& trie, double gap);

  const std::vector<Stratum>& all() const { return strata_; }
  // The node at which rollout number `draw` of a stratum leaves; `uniform` in [0, 1).
  int32_t LeavingNode(int32_t stratum, double uniform) const;
  int32_t Of(int32_t node) const { return stratum_of_[node]; }
  // q_k of a token in a response: p(success) of what may follow its parent in its place.
  LinearEstimate Aside(int32_t node) const;
  // Tokens that a rollout of the stratum generates: those left of the longest response there.
  double Cost(int32_t stratum) const;
  // Rollouts that left at the stratum's nodes.
  Estimate Left(int32_t stratum) const;

  // p(P) of a node.
  LinearEstimate Value(int32_t node) const;
  // p(node) - p(ancestor), for an ancestor (or the node itself).
  LinearEstimate Change(int32_t ancestor, int32_t node) const;

 private:
  // Members of a node's stratum from the node to the last one.
  std::span<const int32_t> From(int32_t node) const;
  // Adds weight * p(node).
  void AddValue(int32_t node, double weight, LinearEstimate& sum) const;
  // Adds weight * (what leaving at `nodes` contributes to p of the first one); returns the
  // probability of passing through them all.
  double AddLeaving(std::span<const int32_t> nodes, double weight, LinearEstimate& sum) const;
  // Of the stratum's samples, the expected share that leaves at `nodes`.
  double ShareOf(std::span<const int32_t> nodes) const;

  const SuccessTrie& trie_;
  std::vector<Stratum> strata_;
  std::vector<int32_t> stratum_of_, place_in_;  // of each node; -1 where a response ends
  std::vector<int32_t> height_;                 // of each node: tokens to the end of its longest response
  std::vector<double> reach_;                   // of each node, from the first one of its stratum
};

}  // namespace pivotal::pts
