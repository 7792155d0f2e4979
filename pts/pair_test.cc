// Apache-2.0.
#include "pts/pair_test.h"

#include <algorithm>
#include <cmath>

namespace pivotal::pts {
namespace {

constexpr double kSurest = 0.99;  // the most certain that a bet is of an outcome
constexpr double kMost = 1e100;   // evidence is cut here: JSON holds no infinite number

// A Beta distribution of a side's success probability.
class SideBelief {
 public:
  explicit SideBelief(SideGuess guess)
      : successes_(guess.mean * guess.weight), failures_((1 - guess.mean) * guess.weight) {}
  void Add(bool success) { (success ? successes_ : failures_) += 1; }
  double Mean() const { return successes_ / (successes_ + failures_); }
  double Variance() const { return Mean() * (1 - Mean()) / (successes_ + failures_ + 1); }
  double Bet() const { return std::clamp(Mean(), 1 - kSurest, kSurest); }

 private:
  double successes_, failures_;
};

// Returns b of the point (b + least, b) that is nearest to (c, r), where c > r + least.
double NearestPoint(double c, double r, double least) {
  const auto slope = [](double p, double at) { return (p - at) / (at * (1 - at)); };
  double low = r, high = c - least;
  for (int i = 0; i < 50; ++i) {
    const double b = 0.5 * (low + high);
    (slope(c, b + least) + slope(r, b) > 0 ? low : high) = b;
  }
  return 0.5 * (low + high);
}

// Returns the evidence of one pair of outcomes against p(chosen) <= p(rejected) + least, by a bet
// on (c, r); 1 if that agrees with the statement.
double StepEvidence(double c, double r, bool chosen, bool rejected, double least) {
  if (c <= r + least) return 1;
  const double b = NearestPoint(c, r, least);
  const auto ratio = [](double p, double at, bool success) {
    return success ? p / at : (1 - p) / (1 - at);
  };
  return ratio(c, b + least, chosen) * ratio(r, b, rejected);
}

}  // namespace

PairEvidence EvidenceOf(std::span<const char> chosen, std::span<const char> rejected,
                        SideGuess chosen_guess, SideGuess rejected_guess, double gap) {
  PairEvidence evidence;
  SideBelief c(chosen_guess), r(rejected_guess);
  for (std::size_t i = 0; i < std::min(chosen.size(), rejected.size()); ++i) {
    const bool x = chosen[i] != 0, y = rejected[i] != 0;
    const auto add = [&](double least, double& product) {
      product = std::min(kMost, product * StepEvidence(c.Bet(), r.Bet(), x, y, least));
    };
    add(0, evidence.better);
    add(gap, evidence.reaches_gap);
    c.Add(x);
    r.Add(y);
  }
  return evidence;
}

void PairTest::Read(std::span<const char> chosen, std::span<const char> rejected) {
  const auto count = std::min(chosen.size(), rejected.size());
  read_ = static_cast<int32_t>(count);
  if (count == 0) return;
  evidence_ = EvidenceOf(chosen, rejected, chosen_, rejected_, gap_);
  SideBelief c(chosen_), r(rejected_);
  int32_t more = 0;
  for (std::size_t i = 0; i < count; ++i) {
    c.Add(chosen[i] != 0);
    r.Add(rejected[i] != 0);
    more += chosen[i] - rejected[i];
  }
  difference_ = static_cast<double>(more) / read_;
  const double z = (c.Mean() - r.Mean() - gap_) / std::sqrt(c.Variance() + r.Variance());
  const bool knows = Passes() && evidence_.reaches_gap >= kReachesGap;
  open_ = !knows && NormalCdf(z) >= kHopeless && read_ < most_;
}

bool PairTest::Passes() const {
  return evidence_.better >= 1 / (1 - kConfidence) && ReachesGap(difference_, gap_);
}

}  // namespace pivotal::pts
