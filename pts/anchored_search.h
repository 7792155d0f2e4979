// Apache-2.0. Path-anchored search: draws few rollouts, where they decide which tokens are pivotal.
#pragma once

#include <cstdint>
#include <vector>

#include "pts/jump_model.h"
#include "pts/strata.h"
#include "pts/strategy.h"

namespace pivotal::pts {

// Works backwards from the known verdicts: every p_k is a weighted sum of the q at the nodes below
// (pts/success_trie.h), so all rollouts are drawn so that they leave the responses. With
//
//   d_k = p_k - p_(k-1) = (1 - pi_k) (p_k - q_k),
//
// only tokens with 1 - pi_k >= gap can be pivotal; these are the candidates.
//
// The search first explores: rollouts go where JumpModel expects them to decide most candidates per
// generated token, until that yield is too low. It then tests the suspects: the candidates that are
// pivotal with probability 0.3 or more by JumpModel. The suspect farthest from a decision, by
// the standard error of d_k over its distance to the gap plus the tolerance (Locatelli, Gutzeit and
// Carpentier, ICML 2016), gets the next rollouts, at the strata where they reduce its variance most
// per generated token (Neyman allocation). It is decided once the one-sided confidence interval of
// abs(d_k) lies above the gap less the tolerance, or below the gap plus the tolerance. The interval
// rests on counts alone, not on the model's prior.
class AnchoredSearch : public Strategy {
 public:
  AnchoredSearch(const SuccessTrie& trie, const StrategyOptions& options, uint64_t stream);

  std::vector<RolloutPlan> Next() override;
  std::vector<int32_t> Pivotal() const override;
  double Value(int32_t node) const override { return strata_.Value(node).Mean(); }

 private:
  enum class Status { kNot, kSuspect, kPivotal };
  struct Candidate {
    int32_t node;
    Status status = Status::kNot;
  };

  std::vector<RolloutPlan> Explore();  // asks for none once the yield is too low
  std::vector<RolloutPlan> Test();     // asks for none once all suspects are decided
  // Makes suspects of the candidates that are pivotal with probability 0.3 or more.
  void MarkSuspects(const JumpModel& model);
  // Decides the suspects whose interval allows it.
  void Decide();
  // Returns the number of rollouts for each stratum that bring the suspects nearest to a decision.
  std::vector<int32_t> Allocate(int32_t count) const;
  // Returns the number of rollouts that the search has had so far.
  int32_t RolloutCount() const;
  int32_t RoundSize() const;

  const SuccessTrie& trie_;
  StrategyOptions options_;
  uint64_t stream_;
  Strata strata_;
  std::vector<Candidate> candidates_;  // ascending node
  bool exploring_ = true;
};

}  // namespace pivotal::pts
