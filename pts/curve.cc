// Apache-2.0.
#include "pts/curve.h"

#include <algorithm>

#include "pts/candidate.h"

namespace pivotal::pts {

void FillCurve(const SuccessTrie& trie, const Strata& strata, double confidence, int32_t response,
               data::ResponseTrace& trace) {
  const double z = NormalQuantile(0.5 + confidence / 2);
  trace.estimates.clear();
  for (int32_t node : trie.Path(response)) {
    const LinearEstimate value = strata.Value(node);
    const Interval bounds = value.Bounds(z);
    const Estimate started = trie[node].started;
    trace.estimates.push_back({trie[node].depth, started.samples, started.successes, value.Mean(),
                               std::max(0.0, bounds.low), std::min(1.0, bounds.high)});
  }
}

void AddPivotal(const SuccessTrie& trie, const Strata& strata, double confidence, int32_t node,
                double before, double after, data::ResponseTrace& trace) {
  data::PivotalToken token;
  token.position = trie[node].depth;
  token.before = before;
  token.after = after;
  const Interval delta = strata.Change(trie[node].parent, node).AnytimeBounds(confidence);
  token.low = std::max(-1.0, delta.low);
  token.high = std::min(1.0, delta.high);
  const auto alternatives = AlternativesTo(trie, strata, node);
  const bool accepted = after > before;
  if (const auto other = PickOther(alternatives, after, accepted)) {
    token.chosen = accepted ? trie[node].token : other->token;
    token.rejected = accepted ? other->token : trie[node].token;
  }
  const double z = NormalQuantile(0.5 + confidence / 2);
  for (const Alternative& alternative : alternatives) {
    const Interval bounds = WilsonInterval(alternative.estimate, z);
    trace.alternatives.push_back({token.position, alternative.token, alternative.logprob,
                                  alternative.estimate.samples, alternative.estimate.successes,
                                  bounds.low, bounds.high});
  }
  trace.pivotal.push_back(token);
}

}  // namespace pivotal::pts
