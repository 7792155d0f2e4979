// Apache-2.0. How often something holds for the completions of a prefix, by the rollouts of a whole
// search.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "pivotal/trace.h"
#include "pts/strata.h"
#include "pts/success_trie.h"

namespace pivotal::pts {

// An estimated share of completions, with its interval.
struct ShareEstimate {
  double share = 0;
  double low = 0, high = 1;
  int32_t rollouts = 0;  // that it rests on
};

// The difference of two shares of different rollouts, with - without.
struct ShareContrast {
  ShareEstimate with, without;
  double change = 0;
  double low = -1, high = 1;  // by the method of variance estimates recovery
};
ShareContrast Contrast(const ShareEstimate& with, const ShareEstimate& without);

// The rollouts of a stored query as samples of completions. A completion is named by a number: a
// response by its index, a rollout by its index after those of all responses.
class CompletionShares {
 public:
  // A share of fewer rollouts is noise, and is not told, unless all but kMostSampled of it is known
  // from responses whose probability is known.
  static constexpr int32_t kLeastRollouts = 8;
  static constexpr double kMostSampled = 0.1;
  using Holds = std::function<bool(int32_t completion)>;

  // `gap` is that of the strata. The trace must outlive this object.
  CompletionShares(const QueryTrace& trace, double gap);
  CompletionShares(const CompletionShares&) = delete;
  CompletionShares& operator=(const CompletionShares&) = delete;

  const QueryTrace& trace() const { return trace_; }
  const SuccessTrie& trie() const { return trie_; }
  const Strata& strata() const { return strata_; }
  int32_t size() const;  // number of completions

  // Returns, of the completions `of` for which `given` holds, the share for which `event` holds,
  // with its interval at the two-sided normal quantile `z`. It is a quotient of two sums over
  // strata of the same rollouts: its variance is that of a quotient, and its interval that of
  // Wilson for as many rollouts as would have this variance. What no rollout tells of may be
  // anything, which widens the interval. Returns nullopt where that would be noise.
  std::optional<ShareEstimate> Share(const Strata::Completions& of, const Holds& given,
                                     const Holds& event, double z) const;
  // Calls `visit` for each rollout that left at one of the nodes of `of`.
  void ForRollouts(const Strata::Completions& of,
                   const std::function<void(int32_t completion)>& visit) const;

 private:
  const QueryTrace& trace_;
  SuccessTrie trie_;
  Strata strata_;
  std::vector<std::vector<int32_t>> left_at_;  // for each node: completions that left there
};

}  // namespace pivotal::pts
