// Apache-2.0.
#include "pts/anchored_search.h"

#include <algorithm>
#include <cmath>

namespace pivotal::pts {
namespace {

// Probability of being pivotal from which a candidate is tested. It has to lie above that of a fork
// without rollouts, or all of those would be tested.
constexpr double kSuspect = 0.3;
constexpr int32_t kFirstRound = 32;  // rollouts of the first rounds
constexpr int32_t kUnit = 4;         // rollouts that are allocated together

// How far a suspect is from a decision, given the rollouts that are planned.
struct SuspectState {
  struct Part {
    double spread;  // squared weight times the variance of one sample of q
    double samples;
    double fraction;
    int32_t stratum;
    double Variance(double more) const { return spread / std::max(0.5, samples + fraction * more); }
  };
  double distance = 0;  // of abs(d_k) from the gap, plus the tolerance
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
    if (trie.CanBePivotal(node, options.gap)) candidates_.push_back({node});
}

std::vector<Strategy::RolloutPlan> AnchoredSearch::Next() {
  if (candidates_.empty()) return {};
  if (exploring_) {
    auto plans = Explore();
    if (!plans.empty()) return plans;
    exploring_ = false;
  }
  return Test();
}

std::vector<int32_t> AnchoredSearch::Pivotal() const {
  std::vector<int32_t> nodes;
  for (const Candidate& candidate : candidates_)
    if (candidate.status == Status::kPivotal) nodes.push_back(candidate.node);
  return nodes;
}

std::vector<Strategy::RolloutPlan> AnchoredSearch::Explore() {
  JumpModel model(trie_, strata_, options_.gap);
  std::vector<RolloutPlan> plans;
  for (const auto& plan : model.Plan(RoundSize(), options_.min_yield / trie_.MeanLength()))
    SpreadRollouts(trie_, strata_, plan.stratum, plan.count, plan.yield, stream_, plans);
  MarkSuspects(model);
  Decide();  // for callers of Pivotal() before the test has ended
  return plans;
}

std::vector<Strategy::RolloutPlan> AnchoredSearch::Test() {
  Decide();
  std::vector<RolloutPlan> plans;
  const auto counts = Allocate(RoundSize());
  for (std::size_t s = 0; s < counts.size(); ++s)
    if (counts[s] > 0)
      SpreadRollouts(trie_, strata_, static_cast<int32_t>(s), counts[s], 0, stream_, plans);
  return plans;
}

void AnchoredSearch::MarkSuspects(const JumpModel& model) {
  for (Candidate& candidate : candidates_)
    candidate.status =
        model.PivotalProbability(candidate.node) >= kSuspect ? Status::kSuspect : Status::kNot;
}

void AnchoredSearch::Decide() {
  const double z = NormalQuantile(options_.confidence);
  for (Candidate& candidate : candidates_) {
    if (candidate.status != Status::kSuspect) continue;
    const LinearEstimate change = strata_.Change(trie_[candidate.node].parent, candidate.node);
    const Interval bounds = change.Bounds(z);
    const double least = std::max(bounds.low, -bounds.high);
    const double most = std::max(bounds.high, -bounds.low);
    const bool reaches = ReachesGap(std::abs(change.Mean()), options_.gap);
    if (reaches && least >= options_.gap - options_.tolerance)
      candidate.status = Status::kPivotal;
    else if (!reaches && most <= options_.gap + options_.tolerance)
      candidate.status = Status::kNot;
  }
}

std::vector<int32_t> AnchoredSearch::Allocate(int32_t count) const {
  std::vector<int32_t> planned(strata_.all().size(), 0);
  std::vector<SuspectState> states;
  for (const Candidate& candidate : candidates_) {
    if (candidate.status != Status::kSuspect) continue;
    const LinearEstimate change = strata_.Change(trie_[candidate.node].parent, candidate.node);
    SuspectState state{std::abs(std::abs(change.Mean()) - options_.gap) + options_.tolerance, {}};
    for (const auto& term : change.terms)
      state.parts.push_back({term.weight * term.weight * SampleVariance(term.estimate),
                             static_cast<double>(term.estimate.samples), term.fraction,
                             term.stratum});
    states.push_back(std::move(state));
  }
  for (int32_t allocated = 0; allocated < count && !states.empty(); allocated += kUnit) {
    const SuspectState& worst = *std::ranges::max_element(
        states, {}, [&](const SuspectState& state) { return state.Ratio(planned); });
    double best = 0;
    int32_t at = -1;
    for (const SuspectState::Part& part : worst.parts) {
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

int32_t AnchoredSearch::RolloutCount() const {
  int32_t count = 0;
  for (int32_t node = 0; node < trie_.size(); ++node) count += trie_[node].leaving_starts;
  return count;
}

// Returns the size of the next round: an eighth of the rollouts so far, so that decisions become
// rarer. What the limit leaves is taken in whole units, so that no round goes past it.
int32_t AnchoredSearch::RoundSize() const {
  const int64_t done = RolloutCount();
  const int64_t left = int64_t{options_.max_rollouts} * trie_.responses() - done;
  return static_cast<int32_t>(
      std::min(std::max<int64_t>(done / 8, kFirstRound), left - left % kUnit));
}

}  // namespace pivotal::pts
