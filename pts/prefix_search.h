// Apache-2.0. Search strategies that estimate p_k by free rollouts from P_k.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pts/strategy.h"

namespace pivotal::pts {

// Returns the position k in (begin, end) that splits the tokens t_(begin+1)..t_end where their
// cumulative log-probability comes closest to half of its total: the earlier one on ties, the
// middle if the total is 0. Requires end - begin >= 2. `logprobs[i]` belongs to t_(i+1); -inf (a
// token that the policy cannot sample) counts as -10,000.
int32_t SplitByLogProb(std::span<const float> logprobs, int32_t begin, int32_t end);

// The published search (Phi-4 Technical Report, arXiv 2412.08905, section 4.3.2) of one response,
// as a state machine: it asks for the values p_k of prefixes and draws no rollouts itself, so that
// a caller can serve many responses in one batch.
//
//   while (!(positions = subdivision.Pending()).empty())
//     for (k : positions) subdivision.Supply(k, estimate of p_k);
//   subdivision.Pivotal();
class Subdivision {
 public:
  // `logprobs` [n], n >= 1: natural logarithms under the sampling policy. `p_query`: p_0 from the
  // rollouts of the prompt. `verdict`: p_n, 0 or 1. `gap` in (0, 1). Throws Error for values out of
  // range.
  Subdivision(std::span<const float> logprobs, double p_query, double verdict, double gap);

  // Returns the positions whose p_k the next round needs, ascending, none twice; none once the
  // search is done.
  std::vector<int32_t> Pending() const;
  // Sets p_k of a pending position; the segment that waited for it is split there. Throws Error for
  // a position that is not pending or a p outside [0, 1].
  void Supply(int32_t position, double p);

  // Returns the positions k of the tokens t_k with abs(p_k - p_(k-1)) >= gap, ascending.
  const std::vector<int32_t>& Pivotal() const { return pivotal_; }

 private:
  struct Segment {
    int32_t begin, end;  // tokens t_(begin+1)..t_end
    int32_t split;       // position at which it is split once p_split is known
  };
  // Queues a segment for a split, or reports its token as pivotal, if p changes by the gap over it.
  void AddSegment(int32_t begin, int32_t end);

  std::vector<float> logprobs_;
  double gap_;
  std::vector<std::optional<double>> values_;  // p_0..p_n
  std::vector<Segment> waiting_;               // disjoint, so no two have the same split
  std::vector<int32_t> pivotal_;
};

// A strategy that takes p_k from `samples` free rollouts that start at P_k; at the end of a
// response it is the verdict.
class PrefixSearch : public Strategy {
 public:
  PrefixSearch(const SuccessTrie& trie, int32_t samples) : trie_(trie), samples_(samples) {}
  double Value(int32_t node) const final;

 protected:
  bool IsKnown(int32_t node) const { return trie_[node].ends || trie_[node].started.samples > 0; }
  RolloutPlan FreeRollouts(int32_t node) const { return {node, false, samples_, 0}; }

  const SuccessTrie& trie_;

 private:
  int32_t samples_;
};

// The published search of every response; with `by_length` segments are split in their middle, not
// at the midpoint of their log-probabilities. Responses share the estimates of common prefixes, p_0
// among them: it comes from rollouts of its own, because those of the prompt decided what is
// searched.
class SubdivideSearch : public PrefixSearch {
 public:
  SubdivideSearch(const SuccessTrie& trie, const StrategyOptions& options, bool by_length);
  std::vector<RolloutPlan> Next() override;
  std::vector<int32_t> Pivotal() const override;

 private:
  // Starts the subdivision of each response. Requires p_0.
  void Start();

  double gap_;
  bool by_length_;
  std::vector<Subdivision> subdivisions_;  // for each response; none before p_0 is known
};

// A strategy that asks for no rollouts and finds nothing.
class NoSearch : public PrefixSearch {
 public:
  using PrefixSearch::PrefixSearch;
  std::vector<RolloutPlan> Next() override { return {}; }
  std::vector<int32_t> Pivotal() const override { return {}; }
};

// Estimates p_k of every prefix.
class ExhaustiveSearch : public PrefixSearch {
 public:
  ExhaustiveSearch(const SuccessTrie& trie, const StrategyOptions& options)
      : PrefixSearch(trie, options.samples), gap_(options.gap) {}
  std::vector<RolloutPlan> Next() override;
  std::vector<int32_t> Pivotal() const override;

 private:
  double gap_;
};

}  // namespace pivotal::pts
