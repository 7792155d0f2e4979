// Apache-2.0. The published search: Phi-4 Technical Report, arXiv 2412.08905, section 4.3.2.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace pivotal::pts {

// Position k in (begin, end) at which the cumulative log-probability of tokens t_{begin+1}..t_end
// comes closest to half of the segment's total; the earlier one on ties, the middle where the total
// is 0. Requires end - begin >= 2. `logprobs[i]` belongs to token t_{i+1}; -inf (a token that the
// policy cannot sample) counts as a very large negative number.
int32_t SplitByLogProb(std::span<const float> logprobs, int32_t begin, int32_t end);

// Subdivision of one response as a state machine: it asks for the values p_k of prefixes and never
// draws rollouts itself, so that a caller can serve many responses in one batch.
//
//   while (!(positions = subdivision.Pending()).empty())
//     for (k : positions) subdivision.Supply(k, estimate of p_k);
//   subdivision.Pivotal();
class Subdivision {
 public:
  // `logprobs` [n] under the sampling policy, n >= 1; p_0 from the query's rollouts; p_n, the
  // verdict (0 or 1); `gap` in (0, 1). Throws Error for values out of range.
  Subdivision(std::span<const float> logprobs, double p_query, double verdict, double gap);

  // Positions whose p_k the next round needs, ascending, none twice; empty when the search is done.
  std::vector<int32_t> Pending() const;
  // Value of p_k for a pending k. The segment that waited for it is then split there. Throws Error
  // for a position that is not pending or a p outside [0, 1].
  void Supply(int32_t position, double p);

  // p_k where known.
  std::optional<double> At(int32_t position) const;
  // Positions k of the tokens t_k with abs(p_k - p_{k-1}) >= gap, ascending.
  const std::vector<int32_t>& Pivotal() const { return pivotal_; }

 private:
  struct Segment {
    int32_t begin, end;  // tokens t_{begin+1}..t_end
    int32_t split;       // where it will be cut once p_split is known
  };
  void Settle(int32_t begin, int32_t end);  // queue it for a split, report it, or leave it

  std::vector<float> logprobs_;
  double gap_;
  std::vector<std::optional<double>> values_;  // p_0..p_n
  std::vector<Segment> waiting_;               // disjoint, so their splits differ
  std::vector<int32_t> pivotal_;
};

}  // namespace pivotal::pts
