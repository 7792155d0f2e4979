// Apache-2.0.
#include "pts/prefix_search.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "data/base/error.h"
#include "pts/estimate.h"

namespace pivotal::pts {
namespace {

// Returns the log-probability as a finite number, so that sums stay finite: -inf and NaN become
// -10,000.
double Bounded(float logprob) {
  constexpr double kFloor = -1e4;
  return logprob > kFloor ? std::min(static_cast<double>(logprob), 0.0) : kFloor;
}

}  // namespace

int32_t SplitByLogProb(std::span<const float> logprobs, int32_t begin, int32_t end) {
  if (begin < 0 || end - begin < 2 || end > static_cast<int32_t>(logprobs.size()))
    Fail("subdivision: segment [{}, {}) of {} tokens cannot be split", begin, end, logprobs.size());
  double total = 0;
  for (int32_t i = begin; i < end; ++i) total += Bounded(logprobs[i]);
  if (total == 0) return begin + (end - begin) / 2;
  int32_t best = begin + 1;
  double best_distance = INFINITY;
  double cumulative = 0;
  for (int32_t k = begin + 1; k < end; ++k) {
    cumulative += Bounded(logprobs[k - 1]);
    const double distance = std::abs(cumulative - total / 2);
    if (distance < best_distance) {
      best = k;
      best_distance = distance;
    }
  }
  return best;
}

Subdivision::Subdivision(std::span<const float> logprobs, double p_query, double verdict,
                         double gap)
    : logprobs_(logprobs.begin(), logprobs.end()), gap_(gap), values_(logprobs.size() + 1) {
  if (logprobs.empty()) Fail("subdivision: a response needs at least one token");
  if (!(p_query >= 0 && p_query <= 1)) Fail("subdivision: p_0 is {}, not in [0, 1]", p_query);
  if (verdict != 0 && verdict != 1) Fail("subdivision: the verdict is {}, not 0 or 1", verdict);
  if (!(gap > 0 && gap < 1)) Fail("subdivision: gap is {}, not in (0, 1)", gap);
  values_.front() = p_query;
  values_.back() = verdict;
  AddSegment(0, static_cast<int32_t>(logprobs.size()));
}

std::vector<int32_t> Subdivision::Pending() const {
  std::vector<int32_t> positions;
  for (const Segment& segment : waiting_) positions.push_back(segment.split);
  std::sort(positions.begin(), positions.end());
  return positions;
}

void Subdivision::Supply(int32_t position, double p) {
  if (!(p >= 0 && p <= 1)) Fail("subdivision: p_{} is {}, not in [0, 1]", position, p);
  const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                  [=](const Segment& s) { return s.split == position; });
  if (found == waiting_.end()) Fail("subdivision: position {} is not pending", position);
  const Segment segment = *found;
  waiting_.erase(found);
  values_[position] = p;
  AddSegment(segment.begin, position);
  AddSegment(position, segment.end);
}

void Subdivision::AddSegment(int32_t begin, int32_t end) {
  if (!ReachesGap(std::abs(*values_[end] - *values_[begin]), gap_)) return;
  if (end - begin == 1) {
    pivotal_.insert(std::upper_bound(pivotal_.begin(), pivotal_.end(), end), end);
  } else {
    waiting_.push_back({begin, end, SplitByLogProb(logprobs_, begin, end)});
  }
}

double PrefixSearch::Value(int32_t node) const {
  if (trie_[node].ends) return trie_[node].success ? 1.0 : 0.0;
  return trie_[node].started.Mean();
}

SubdivideSearch::SubdivideSearch(const SuccessTrie& trie, const StrategyOptions& options,
                                 bool by_length)
    : PrefixSearch(trie, options.samples), gap_(options.gap), by_length_(by_length) {}

void SubdivideSearch::Start() {
  for (int32_t r = 0; r < trie_.responses(); ++r) {
    const auto path = trie_.Path(r);
    std::vector<float> logprobs;
    for (int32_t node : path.subspan(1))
      logprobs.push_back(by_length_ ? 0.0f : static_cast<float>(std::log(trie_[node].probability)));
    subdivisions_.emplace_back(logprobs, Value(path.front()), Value(path.back()), gap_);
  }
}

// Supplies every value that is known already; what is still pending needs rollouts.
std::vector<Strategy::RolloutPlan> SubdivideSearch::Next() {
  if (!IsKnown(0)) return {FreeRollouts(0)};
  if (subdivisions_.empty()) Start();
  std::set<int32_t> unknown;
  for (int32_t r = 0; r < trie_.responses(); ++r) {
    const auto path = trie_.Path(r);
    bool supplied = true;
    while (supplied) {
      supplied = false;
      for (int32_t k : subdivisions_[r].Pending()) {
        if (!IsKnown(path[k])) continue;
        subdivisions_[r].Supply(k, Value(path[k]));
        supplied = true;
      }
    }
    for (int32_t k : subdivisions_[r].Pending()) unknown.insert(path[k]);
  }
  std::vector<RolloutPlan> plans;
  for (int32_t node : unknown) plans.push_back(FreeRollouts(node));
  return plans;
}

std::vector<int32_t> SubdivideSearch::Pivotal() const {
  std::set<int32_t> nodes;
  for (int32_t r = 0; r < static_cast<int32_t>(subdivisions_.size()); ++r)
    for (int32_t k : subdivisions_[r].Pivotal()) nodes.insert(trie_.Path(r)[k]);
  return {nodes.begin(), nodes.end()};
}

std::vector<Strategy::RolloutPlan> ExhaustiveSearch::Next() {
  std::vector<RolloutPlan> plans;
  for (int32_t node = 0; node < trie_.size(); ++node)
    if (!IsKnown(node)) plans.push_back(FreeRollouts(node));
  return plans;
}

std::vector<int32_t> ExhaustiveSearch::Pivotal() const {
  std::vector<int32_t> nodes;
  for (int32_t node = 1; node < trie_.size(); ++node) {
    const int32_t parent = trie_[node].parent;
    if (IsKnown(node) && IsKnown(parent) && ReachesGap(std::abs(Value(node) - Value(parent)), gap_))
      nodes.push_back(node);
  }
  return nodes;
}

}  // namespace pivotal::pts
