// Apache-2.0. Path-anchored search: few rollouts, placed where they decide which tokens are pivotal.
#pragma once

#include <cstdint>
#include <vector>

#include "pts/outlook.h"
#include "pts/strategy.h"
#include "pts/strata.h"

namespace pivotal::pts {

// Working backwards from the known verdicts, every p_k follows from the q at the nodes below
// (pts/success_trie.h), so only rollouts that leave the responses are drawn. Since
// d_k = (1 - pi_k) (p_k - q_k), only tokens with 1 - pi_k >= gap are candidates.
//
// It explores: rollouts go where they are expected to settle most candidates (pts/outlook.h), until
// that yield is too low. It then tests the suspects, the candidates that the outlook takes for
// pivotal with probability kSuspect or more: the one that is farthest from decided (standard error
// over distance to the gap plus tolerance; Locatelli, Gutzeit and Carpentier, ICML 2016) gets the
// next rollouts, where they reduce its variance most per generated token (Neyman allocation), until
// the confidence interval of its d_k clears the gap on either side, give or take the tolerance. That
// interval rests on counts alone, not on the outlook's prior.
class AnchoredSearch : public Strategy {
 public:
  AnchoredSearch(const SuccessTrie& trie, const StrategyOptions& options, uint64_t stream);

  std::vector<Ask> Next() override;
  std::vector<int32_t> Pivotal() const override;
  double Value(int32_t node) const override { return strata_.Value(node).Mean(); }

 private:
  enum class Verdict { kNot, kSuspect, kPivotal };
  struct Candidate {
    int32_t node;
    Verdict verdict = Verdict::kNot;
  };

  std::vector<Ask> Explore();
  std::vector<Ask> Test();
  void Suspect(const Outlook& outlook);
  void Decide();
  // Rollouts for each stratum that bring the suspects nearest to a decision.
  std::vector<int32_t> Allocate(int32_t count) const;
  // Chooses the nodes at which the rollouts of a stratum leave.
  void Place(int32_t stratum, int32_t count, double yield, std::vector<Ask>& asks) const;
  int32_t Drawn() const;
  int32_t RoundSize() const;

  const SuccessTrie& trie_;
  StrategyOptions options_;
  uint64_t stream_;
  Strata strata_;
  std::vector<Candidate> candidates_;  // ascending node
  bool exploring_ = true;
  int32_t rounds_ = 0;
};

}  // namespace pivotal::pts
