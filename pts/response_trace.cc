// Apache-2.0.
#include "pts/response_trace.h"

#include <algorithm>
#include <cmath>

namespace pivotal::pts {
namespace {

constexpr double kCommon = 0.05;  // least probability of a token that goes before rarer ones

}  // namespace

std::vector<Alternative> AlternativesTo(const SuccessTrie& trie, const Strata& strata,
                                        int32_t node) {
  const SuccessTrie::Node& parent = trie[trie[node].parent];
  std::vector<Alternative> alternatives;
  for (const auto& [token, branch] : parent.branches)
    alternatives.push_back({token, branch.logprob, branch.estimate});
  for (int32_t child : parent.children) {
    if (child == node) continue;
    alternatives.push_back({trie[child].token,
                            static_cast<float>(std::log(trie[child].probability)),
                            strata.Value(child).AsCounts()});
  }
  std::ranges::sort(alternatives, {}, &Alternative::token);
  return alternatives;
}

std::optional<Alternative> PickAlternative(std::span<const Alternative> alternatives, double after,
                                           bool raised) {
  const auto distance = [=](const Alternative& a) {
    const double d = after - a.estimate.Smoothed();
    return raised ? d : -d;
  };
  const auto is_common = [](const Alternative& a) { return a.logprob >= std::log(kCommon); };
  const auto better = [&](const Alternative& a, const Alternative& b) {
    if (distance(a) <= 0 || distance(b) <= 0) return distance(a) > distance(b);
    if (is_common(a) != is_common(b)) return is_common(a);
    if (distance(a) != distance(b)) return distance(a) > distance(b);
    if (a.estimate.samples != b.estimate.samples) return a.estimate.samples > b.estimate.samples;
    return a.token < b.token;
  };
  const auto best = std::min_element(alternatives.begin(), alternatives.end(), better);
  if (best == alternatives.end() || distance(*best) <= 0) return std::nullopt;
  return *best;
}

void FillCurve(const SuccessTrie& trie, const Strata& strata, double confidence, int32_t response,
               ResponseTrace& trace) {
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
                double before, double after, ResponseTrace& trace) {
  PivotalToken token;
  token.position = trie[node].depth;
  token.before = before;
  token.after = after;
  const Interval delta = strata.Change(trie[node].parent, node).AnytimeBounds(confidence);
  token.low = std::max(-1.0, delta.low);
  token.high = std::min(1.0, delta.high);
  const auto alternatives = AlternativesTo(trie, strata, node);
  const bool raised = after > before;
  if (const auto other = PickAlternative(alternatives, after, raised)) {
    token.chosen = raised ? trie[node].token : other->token;
    token.rejected = raised ? other->token : trie[node].token;
  }
  for (const Alternative& alternative : alternatives) {
    const Interval bounds = AnytimeInterval(alternative.estimate, confidence);
    trace.alternatives.push_back({token.position, alternative.token, alternative.logprob,
                                  alternative.estimate.samples, alternative.estimate.successes,
                                  bounds.low, bounds.high});
  }
  trace.pivotal.push_back(token);
}

}  // namespace pivotal::pts
