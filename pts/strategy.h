// Apache-2.0. Search strategies: which prefixes of a response get rollouts, and when to stop.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/base/names.h"
#include "pivotal/search.h"
#include "pts/strata.h"
#include "pts/success_trie.h"

namespace pivotal::pts {

inline constexpr auto kStrategyNames = data::MakeNameTable<StrategyKind>(
    "strategy", {{StrategyKind::kAnchored, "anchored"},
                 {StrategyKind::kSubdivide, "subdivide"},
                 {StrategyKind::kSubdivideLength, "subdivide-length"},
                 {StrategyKind::kExhaustive, "exhaustive"},
                 {StrategyKind::kPairs, "pairs"},
                 {StrategyKind::kNone, "none"}});

// The search of one query's responses as a state machine: it asks for rollouts, which its caller
// draws and adds to the trie.
//
//   while (!(plans = strategy->Next()).empty()) { draw and add all or some of them; }
class Strategy {
 public:
  // Rollouts that the strategy wants from one node.
  struct RolloutPlan {
    int32_t node = 0;
    bool leaving = false;  // excludes the node's children, so that the rollouts leave here
    int32_t count = 0;
    double yield = 0;  // expected number of tokens decided per generated token; 0: unknown
  };
  virtual ~Strategy() = default;
  // Returns the rollouts to draw next; none once the search is done.
  virtual std::vector<RolloutPlan> Next() = 0;
  // Returns the nodes of the tokens found pivotal so far, ascending.
  virtual std::vector<int32_t> Pivotal() const = 0;
  // Returns the strategy's estimate of p of a node.
  virtual double Value(int32_t node) const = 0;
};

// Adds `count` rollouts of a stratum to `plans`, spread over the nodes at which they leave.
// `stream` keys the strategy's random numbers; those of a stratum go on where earlier rollouts
// ended.
void SpreadRollouts(const SuccessTrie& trie, const Strata& strata, int32_t stratum, int32_t count,
                    double yield, uint64_t stream, std::vector<Strategy::RolloutPlan>& plans);

// `stream` keys the strategy's own random numbers. kPairs takes the tokens of the first `explored`
// responses for searched. The trie must hold all responses and outlive the
// strategy. Throws Error for options out of range.
std::unique_ptr<Strategy> MakeStrategy(const SuccessTrie& trie, const StrategyOptions& options,
                                       uint64_t stream, int32_t explored = 0);

}  // namespace pivotal::pts
