// Apache-2.0.
#include "pts/anchored_search.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "kernels/philox.h"

namespace pivotal::pts {
namespace {

constexpr double kSuspect = 0.15;     // probability of being pivotal at which a token is tested
constexpr int32_t kFirstRound = 32;   // rollouts between two looks, at first
constexpr int32_t kUnit = 4;          // rollouts that are allocated together

// How far a suspect is from decided, as rollouts are planned.
struct Doubt {
  struct Part {
    double spread;  // weight squared times the variance of one sample
    double samples;
    double share;
    int32_t stratum;
    double Variance(double more) const { return spread / std::max(0.5, samples + share * more); }
  };
  double distance = 0;  // of the estimate from the gap, plus the tolerance
  std::vector<Part> parts;

  double Variance(const std::vector<int32_t>& planned) const {
    double variance = 0;
    for (const Part& part : parts) variance += part.Variance(planned[part.stratum]);
    return variance;
  }
  double Ratio(const std::vector<int32_t>& planned) const {
    return Variance(planned) / (distance * distance);
  }
};

}  // namespace

AnchoredSearch::AnchoredSearch(const SuccessTrie& trie, const StrategyOptions& options,
                               uint64_t stream)
    : trie_(trie), options_(options), stream_(stream), strata_(trie, options.gap) {
  for (int32_t node = 1; node < trie.size(); ++node)
    if (1 - trie[node].probability >= options.gap) candidates_.push_back({node});
}

std::vector<Strategy::Ask> AnchoredSearch::Next() {
  if (candidates_.empty()) return {};
  ++rounds_;
  if (exploring_) {
    auto asks = Explore();
    if (!asks.empty()) return asks;
    exploring_ = false;
  }
  return Test();
}

std::vector<int32_t> AnchoredSearch::Pivotal() const {
  std::vector<int32_t> nodes;
  for (const Candidate& candidate : candidates_)
    if (candidate.verdict == Verdict::kPivotal) nodes.push_back(candidate.node);
  return nodes;
}

std::vector<Strategy::Ask> AnchoredSearch::Explore() {
  Outlook outlook(trie_, strata_, options_.gap,
                  kernels::MixStream(stream_, static_cast<uint64_t>(rounds_)));
  double length = 0;
  for (int32_t r = 0; r < trie_.responses(); ++r)
    length += static_cast<double>(trie_.Path(r).size() - 1) / trie_.responses();
  std::vector<Ask> asks;
  for (const auto& share : outlook.Plan(RoundSize(), options_.min_yield / length))
    Place(share.stratum, share.count, share.yield, asks);
  Suspect(outlook);
  Decide();  // for those who ask before the test is over
  return asks;
}

std::vector<Strategy::Ask> AnchoredSearch::Test() {
  Decide();
  std::vector<Ask> asks;
  const auto counts = Allocate(RoundSize());
  for (std::size_t s = 0; s < counts.size(); ++s)
    if (counts[s] > 0) Place(static_cast<int32_t>(s), counts[s], 0, asks);
  return asks;
}

void AnchoredSearch::Suspect(const Outlook& outlook) {
  for (Candidate& candidate : candidates_)
    candidate.verdict =
        outlook.Pivotal(candidate.node) >= kSuspect ? Verdict::kSuspect : Verdict::kNot;
}

void AnchoredSearch::Decide() {
  const double z = NormalQuantile(options_.confidence);
  for (Candidate& candidate : candidates_) {
    if (candidate.verdict != Verdict::kSuspect) continue;
    const LinearEstimate change = strata_.Change(trie_[candidate.node].parent, candidate.node);
    const Interval bounds = change.Bounds(z);
    const double least = std::max(bounds.low, -bounds.high);
    const double most = std::max(bounds.high, -bounds.low);
    const bool reaches = ReachesGap(std::abs(change.Mean()), options_.gap);
    if (reaches && least >= options_.gap - options_.tolerance)
      candidate.verdict = Verdict::kPivotal;
    else if (!reaches && most <= options_.gap + options_.tolerance)
      candidate.verdict = Verdict::kNot;
  }
}

std::vector<int32_t> AnchoredSearch::Allocate(int32_t count) const {
  std::vector<int32_t> planned(strata_.all().size(), 0);
  std::vector<Doubt> doubts;
  for (const Candidate& candidate : candidates_) {
    if (candidate.verdict != Verdict::kSuspect) continue;
    const LinearEstimate change = strata_.Change(trie_[candidate.node].parent, candidate.node);
    Doubt doubt{std::abs(std::abs(change.Mean()) - options_.gap) + options_.tolerance, {}};
    for (const auto& term : change.terms)
      doubt.parts.push_back({term.weight * term.weight * SampleVariance(term.estimate),
                             static_cast<double>(term.estimate.samples), term.share, term.stratum});
    doubts.push_back(std::move(doubt));
  }
  for (int32_t placed = 0; placed < count && !doubts.empty(); placed += kUnit) {
    const Doubt& worst = *std::ranges::max_element(
        doubts, {}, [&](const Doubt& doubt) { return doubt.Ratio(planned); });
    double best = 0;
    int32_t at = -1;
    for (const Doubt::Part& part : worst.parts) {
      const double now = part.Variance(planned[part.stratum]);
      const double then = part.Variance(planned[part.stratum] + kUnit);
      const double gain = (now - then) / strata_.Cost(part.stratum);
      if (gain > best) {
        best = gain;
        at = part.stratum;
      }
    }
    if (at < 0) break;
    planned[at] += kUnit;
  }
  return planned;
}

void AnchoredSearch::Place(int32_t stratum, int32_t count, double yield,
                           std::vector<Ask>& asks) const {
  const auto& nodes = strata_.all()[stratum].nodes;
  uint32_t draw = 0;
  for (int32_t node : nodes) draw += static_cast<uint32_t>(trie_[node].struck);
  const uint64_t stream = kernels::MixStream(stream_, static_cast<uint64_t>(nodes.front()));
  std::map<int32_t, int32_t> counts;
  for (int32_t i = 0; i < count; ++i)
    ++counts[strata_.LeavingNode(stratum, kernels::Uniform(0, stream, draw++, 0))];
  for (const auto& [node, rollouts] : counts) asks.push_back({node, true, rollouts, yield});
}

int32_t AnchoredSearch::Drawn() const {
  int32_t drawn = 0;
  for (int32_t node = 0; node < trie_.size(); ++node) drawn += trie_[node].struck;
  return drawn;
}

// Looks become rarer as rollouts add up. What is left of them is taken in whole units, so that no
// round goes past it.
int32_t AnchoredSearch::RoundSize() const {
  const int64_t drawn = Drawn();
  const int64_t left = int64_t{options_.max_rollouts} * trie_.responses() - drawn;
  return static_cast<int32_t>(std::min(std::max<int64_t>(drawn / 8, kFirstRound), left - left % kUnit));
}

}  // namespace pivotal::pts
