// Apache-2.0.
#include "pts/completion_shares.h"

#include <algorithm>
#include <cmath>

namespace pivotal::pts {
namespace {

// The rollouts of one stratum.
struct StratumCount {
  double probability = 0;
  int32_t rollouts = 0, given = 0, events = 0;  // events: of those given
};

// Returns the variance of one rollout's given * (event - share).
double QuotientVariance(const StratumCount& count, double share) {
  const double given = static_cast<double>(count.given) / count.rollouts;
  const double events = (count.events + 1.0) / (count.given + 2.0);
  const double off = events - share;
  return given * (events * (1 - events) + off * off) - given * given * off * off;
}

}  // namespace

ShareContrast Contrast(const ShareEstimate& with, const ShareEstimate& without) {
  const double change = with.share - without.share;
  const double below = std::hypot(with.share - with.low, without.high - without.share);
  const double above = std::hypot(with.high - with.share, without.share - without.low);
  return {with, without, change, std::max(-1.0, change - below), std::min(1.0, change + above)};
}

CompletionShares::CompletionShares(const QueryTrace& trace, double gap)
    : trace_(trace),
      trie_(TrieOf(trace)),
      strata_(trie_, gap),
      left_at_(static_cast<std::size_t>(trie_.size())) {
  const auto leaving = LeavingNodes(trace, trie_);
  for (std::size_t i = 0; i < leaving.size(); ++i)
    if (leaving[i] >= 0)
      left_at_[static_cast<std::size_t>(leaving[i])].push_back(
          static_cast<int32_t>(trace.responses.size() + i));
}

int32_t CompletionShares::size() const {
  return static_cast<int32_t>(trace_.responses.size() + trace_.rollouts.size());
}

std::optional<ShareEstimate> CompletionShares::Share(const Strata::Completions& of,
                                                     const Holds& given, const Holds& event,
                                                     double z) const {
  std::vector<StratumCount> counts;
  double all = 0, held = 0, unknown = 0, ended_all = 0;  // probabilities; held: given and event
  int32_t rollouts = 0;
  for (const auto& leaving : of.leaving) {
    StratumCount count{leaving.probability};
    for (const int32_t node : leaving.nodes)
      for (const int32_t completion : left_at_[static_cast<std::size_t>(node)]) {
        ++count.rollouts;
        if (!given(completion)) continue;
        ++count.given;
        count.events += event(completion) ? 1 : 0;
      }
    if (count.rollouts == 0) {
      unknown += leaving.probability;
      continue;
    }
    all += leaving.probability * count.given / count.rollouts;
    held += leaving.probability * count.events / count.rollouts;
    rollouts += count.given;
    counts.push_back(count);
  }
  for (const auto& ended : of.ended) {
    const int32_t response = trie_[ended.node].response;
    if (!given(response)) continue;
    all += ended.probability;
    ended_all += ended.probability;
    held += event(response) ? ended.probability : 0;
  }
  const bool is_sampled = all - ended_all + unknown > kMostSampled * (all + unknown);
  if (all <= 0 || (rollouts < kLeastRollouts && is_sampled)) return std::nullopt;

  ShareEstimate estimate{held / all, 0, 1, rollouts};
  double variance = 0;
  for (const StratumCount& count : counts) {
    const double weight = count.probability / all;
    variance += weight * weight * QuotientVariance(count, estimate.share) / count.rollouts;
  }
  const double smooth = (estimate.share * rollouts + 1) / (rollouts + 2);
  const double samples = smooth * (1 - smooth) / std::max(variance, 1e-12);
  const Interval known = WilsonInterval(estimate.share, samples, z);
  // Of what is unknown, all or nothing may be given and hold.
  estimate.low = known.low * all / (all + unknown);
  estimate.high = (known.high * all + unknown) / (all + unknown);
  return estimate;
}

void CompletionShares::ForRollouts(const Strata::Completions& of,
                                   const std::function<void(int32_t)>& visit) const {
  for (const auto& leaving : of.leaving)
    for (const int32_t node : leaving.nodes)
      for (const int32_t completion : left_at_[static_cast<std::size_t>(node)]) visit(completion);
}

}  // namespace pivotal::pts
