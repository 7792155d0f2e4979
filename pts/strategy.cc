// Apache-2.0.
#include "pts/strategy.h"

#include <map>
#include <memory>

#include "data/base/error.h"
#include "kernels/philox.h"
#include "pts/anchored_search.h"
#include "pts/pairs_search.h"
#include "pts/prefix_search.h"

namespace pivotal {

void StrategyOptions::Validate() const {
  pts::kStrategyNames.Name(kind);  // throws for a value that is none of the enum's
  if (!(gap > 0 && gap < 1)) Fail("search: gap is {}, must be in (0, 1)", gap);
  if (samples < 1) Fail("search: samples is {}, must be 1 or larger", samples);
  if (!(tolerance > 0 && tolerance < gap))
    Fail("search: tolerance is {}, must be in (0, gap) = (0, {})", tolerance, gap);
  if (!(confidence >= 0.5 && confidence < 1))
    Fail("search: confidence is {}, must be in [0.5, 1)", confidence);
  if (!(min_yield > 0)) Fail("search: min_yield is {}, must be larger than 0", min_yield);
  if (max_rollouts < 1) Fail("search: max_rollouts is {}, must be 1 or larger", max_rollouts);
}

}  // namespace pivotal

namespace pivotal::pts {

void SpreadRollouts(const SuccessTrie& trie, const Strata& strata, int32_t stratum, int32_t count,
                    double yield, uint64_t stream, std::vector<Strategy::RolloutPlan>& plans) {
  const auto& nodes = strata.all()[stratum].nodes;
  uint32_t draw = 0;  // index of the next random number
  for (int32_t node : nodes) draw += static_cast<uint32_t>(trie[node].leaving_starts);
  const uint64_t key = kernels::MixStream(stream, static_cast<uint64_t>(nodes.front()));
  std::map<int32_t, int32_t> counts;
  for (int32_t i = 0; i < count; ++i)
    ++counts[strata.LeavingNode(stratum, kernels::Uniform(0, key, draw++, 0))];
  for (const auto& [node, rollouts] : counts) plans.push_back({node, true, rollouts, yield});
}

std::unique_ptr<Strategy> MakeStrategy(const SuccessTrie& trie, const StrategyOptions& options,
                                       uint64_t stream, int32_t explored) {
  options.Validate();
  switch (options.kind) {
    case StrategyKind::kAnchored: return std::make_unique<AnchoredSearch>(trie, options, stream);
    case StrategyKind::kSubdivide:
    case StrategyKind::kSubdivideLength:
      return std::make_unique<SubdivideSearch>(trie, options,
                                               options.kind == StrategyKind::kSubdivideLength);
    case StrategyKind::kExhaustive: return std::make_unique<ExhaustiveSearch>(trie, options);
    case StrategyKind::kPairs:
      return std::make_unique<PairsSearch>(trie, options, stream, explored);
    case StrategyKind::kNone: return std::make_unique<NoSearch>(trie, options.samples);
  }
  Fail("strategy {} is unknown", static_cast<int>(options.kind));
}

}  // namespace pivotal::pts
