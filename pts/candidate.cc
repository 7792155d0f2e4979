// Apache-2.0.
#include "pts/candidate.h"

#include <algorithm>
#include <map>

namespace pivotal::pts {
namespace {

using Tokens = std::span<const TokenId>;

// The token that the rollout sampled after `prefix`; nullopt if it does not pass through it.
std::optional<TokenId> SampledAfter(const data::QueryTrace& trace,
                                    const data::RolloutTrace& rollout, Tokens prefix) {
  if (rollout.forced >= 0) return std::nullopt;
  const auto given = static_cast<std::size_t>(rollout.position);
  if (given > prefix.size()) return std::nullopt;
  if (given > 0) {
    const Tokens trunk = Tokens(trace.responses[rollout.response].tokens).first(given);
    if (!std::ranges::equal(trunk, prefix.first(given))) return std::nullopt;
  }
  const Tokens rest = prefix.subspan(given);
  if (rollout.tokens.size() <= rest.size()) return std::nullopt;
  if (!std::ranges::equal(rest, Tokens(rollout.tokens).first(rest.size()))) return std::nullopt;
  return rollout.tokens[rest.size()];
}

// Negative where `a` has the lower smoothed rate, 0 where they are equal. Exact.
int64_t CompareRates(Estimate a, Estimate b) {
  return (int64_t{a.successes} + 1) * (int64_t{b.samples} + 2) -
         (int64_t{b.successes} + 1) * (int64_t{a.samples} + 2);
}

}  // namespace

std::vector<Alternative> AlternativesAt(const data::QueryTrace& trace, int32_t response,
                                        int32_t position) {
  const Tokens trunk(trace.responses[response].tokens);
  const Tokens prefix = trunk.first(position - 1);
  std::map<TokenId, Estimate> counts;
  for (const data::RolloutTrace& rollout : trace.rollouts) {
    const auto token = SampledAfter(trace, rollout, prefix);
    if (!token || *token == trunk[position - 1]) continue;
    Estimate& estimate = counts[*token];
    ++estimate.samples;
    estimate.successes += rollout.success;
  }
  std::vector<Alternative> alternatives;
  for (const auto& [token, estimate] : counts) alternatives.push_back({token, estimate});
  return alternatives;
}

std::optional<Alternative> PickOther(std::span<const Alternative> alternatives,
                                     bool trunk_accepted) {
  const auto better = [=](const Alternative& a, const Alternative& b) {
    const int64_t rates = CompareRates(a.estimate, b.estimate);
    if (rates != 0) return trunk_accepted ? rates < 0 : rates > 0;
    if (a.estimate.samples != b.estimate.samples) return a.estimate.samples > b.estimate.samples;
    return a.token < b.token;
  };
  const auto best = std::min_element(alternatives.begin(), alternatives.end(), better);
  if (best == alternatives.end()) return std::nullopt;
  return *best;
}

}  // namespace pivotal::pts
