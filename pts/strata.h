// Apache-2.0. Stratified sampling along a trie: p of every node as a weighted sum over strata.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pts/estimate.h"
#include "pts/success_trie.h"

namespace pivotal::pts {

// Nodes of a trie whose q is sampled together. A node with several children, or with a token that
// can be pivotal, is a stratum of its own. A run of other nodes, at which rollouts rarely leave, is
// pooled: a rollout of the stratum leaves at one of its nodes, chosen in proportion to the
// probability of leaving there, as a free rollout would choose.
struct Stratum {
  std::vector<int32_t> nodes;  // consecutive nodes of one path
  double mass = 0;  // probability that a rollout from the first node leaves at one of the nodes
};

// The strata of a trie. Reads the trie's counts at every call; the trie must outlive it and must
// not get more responses.
class Strata {
 public:
  // A token can be pivotal if 1 - pi_k >= gap, because abs(d_k) <= 1 - pi_k.
  Strata(const SuccessTrie& trie, double gap);

  const std::vector<Stratum>& all() const { return strata_; }
  // Maps `uniform` in [0, 1) to the node at which a rollout of the stratum leaves.
  int32_t LeavingNode(int32_t stratum, double uniform) const;
  // Returns the stratum of a node; -1 where a response ends.
  int32_t Of(int32_t node) const { return stratum_of_[node]; }
  // Returns q_k for the token of a node: p(success) if another token follows its parent. It is
  // (p_(k-1) - pi_k p_k) / (1 - pi_k).
  LinearEstimate WithoutToken(int32_t node) const;
  // Returns the tokens that a rollout of the stratum is expected to generate: as many as the
  // longest response has from there on.
  double Cost(int32_t stratum) const;
  // Returns the counts of the rollouts that left at the stratum's nodes.
  Estimate Left(int32_t stratum) const;

  // Returns p(P) of a node.
  LinearEstimate Value(int32_t node) const;
  // Returns p(node) - p(ancestor); `ancestor` may be the node itself.
  LinearEstimate Change(int32_t ancestor, int32_t node) const;

  // The completions of a node by where they leave the responses, with probabilities. A rollout that
  // left at one of `nodes` is a sample of those that leave at any of them.
  struct Completions {
    struct Leaving {
      double probability;
      std::span<const int32_t> nodes;  // lives as long as the Strata
    };
    struct Ended {
      double probability;
      int32_t node;  // the end of a response
    };
    std::vector<Leaving> leaving;
    std::vector<Ended> ended;
  };
  Completions CompletionsOf(int32_t node) const;
  // Returns the completions of `ancestor` that do not pass `node`, which is one of its descendants.
  Completions CompletionsBeside(int32_t ancestor, int32_t node) const;

 private:
  // Returns the nodes of a node's stratum from that node to the last.
  std::span<const int32_t> From(int32_t node) const;
  // Adds weight * p(node) to `sum`.
  void AddValue(int32_t node, double weight, LinearEstimate& sum) const;
  // Adds weight * p(a rollout leaves at one of `nodes` and succeeds | it leaves there) to `sum`.
  void AddTerm(std::span<const int32_t> nodes, double weight, LinearEstimate& sum) const;
  // Call leave(nodes, probability) and end(node, probability) for all completions of a node, whose
  // probabilities sum to `weight`; VisitBeside() for those of `ancestor` that do not pass `node`,
  // and it returns the probability, times `weight`, of passing it.
  template <typename Leave, typename End>
  void Visit(int32_t node, double weight, const Leave& leave, const End& end) const;
  template <typename Leave, typename End>
  double VisitBeside(int32_t ancestor, int32_t node, double weight, const Leave& leave,
                     const End& end) const;
  // Calls leave(part, probability) for the rollouts from the first of `nodes` that leave at one of
  // them; returns the probability that one passes them all. Where free rollouts started at a later
  // one of `nodes`, what leaves from there on is a part of its own: they left there more often than
  // rollouts from the first node do.
  template <typename Leave>
  double VisitLeaving(std::span<const int32_t> nodes, double weight, const Leave& leave) const;
  // Returns the expected fraction of the stratum's rollouts that leave at `nodes`.
  double FractionAt(std::span<const int32_t> nodes) const;

  const SuccessTrie& trie_;
  std::vector<Stratum> strata_;
  // For each node: its stratum and its index in Stratum::nodes; -1 where a response ends.
  std::vector<int32_t> stratum_of_, index_in_;
  std::vector<int32_t> height_;  // for each node: tokens to the end of its longest response
  std::vector<double> reach_;    // for each node: probability of reaching it within its stratum
};

}  // namespace pivotal::pts
