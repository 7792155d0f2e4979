// Apache-2.0.
#include "pts/subdivide.h"

#include <algorithm>
#include <cmath>

#include "data/error.h"
#include "pts/estimator.h"

namespace pivotal::pts {
namespace {

// Finite and not above 0, so that sums stay numbers: -inf and NaN become a large negative value.
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
  Settle(0, static_cast<int32_t>(logprobs.size()));
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
  Settle(segment.begin, position);
  Settle(position, segment.end);
}

std::optional<double> Subdivision::At(int32_t position) const {
  if (position < 0 || position >= static_cast<int32_t>(values_.size()))
    Fail("subdivision: position {} is not in 0..{}", position, values_.size() - 1);
  return values_[position];
}

void Subdivision::Settle(int32_t begin, int32_t end) {
  if (!ReachesGap(std::abs(*values_[end] - *values_[begin]), gap_)) return;
  if (end - begin == 1) {
    pivotal_.insert(std::upper_bound(pivotal_.begin(), pivotal_.end(), end), end);
  } else {
    waiting_.push_back({begin, end, SplitByLogProb(logprobs_, begin, end)});
  }
}

}  // namespace pivotal::pts
