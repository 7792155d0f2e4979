// Apache-2.0. Tests of candidate pairs on fresh rollouts: do the sides differ by the gap?
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "pts/estimate.h"

namespace pivotal::pts {

// A guess at the success probability of a side before its fresh rollouts. It weighs as much as
// `weight` of them, above 0.
struct SideGuess {
  double mean = 0.5;
  double weight = 3;
};

// What the fresh rollouts of both sides say about p(chosen) - p(rejected). Both numbers are
// e-values: where their statement is false, the first ever reaches x with a probability of at most
// 1 / x, however often and whenever one looks (Ville's inequality).
struct PairEvidence {
  double better = 1;       // that chosen is better than rejected
  double reaches_gap = 1;  // that it is better by the gap
};

// Returns the evidence in the outcomes (1: success) of both sides, in the order drawn. The longer
// list is read as far as the shorter one reaches. The guesses may rest on anything but these
// outcomes; good ones make the evidence grow faster.
//
// Evidence against p(chosen) <= p(rejected) + d is a product over pairs of outcomes (Turner, Ly and
// Grunwald, "Generic E-variables for exact sequential k-sample tests that allow for optional
// stopping", 2024). Each factor is the likelihood of the two outcomes under (c, r), the
// probabilities that guesses and earlier outcomes give, over that under (b + d, b), the point
// nearest to (c, r) by the Kullback-Leibler divergence at which the statement is just true. Nearest
// means that the factor is (1 + s (x - b - d)) (1 - s (y - b)) for outcomes x and y, with one
// s >= 0. If the probabilities are really (b + d + u, b + v) with u <= v, its mean is
// (1 + s u) (1 - s v) <= 1: no bet wins on average.
PairEvidence EvidenceOf(std::span<const char> chosen, std::span<const char> rejected,
                        SideGuess chosen_guess, SideGuess rejected_guess, double gap);

// A test of one candidate pair that asks for fresh rollouts of both sides in turn until it knows.
class PairTest {
 public:
  static constexpr int32_t kBlock = 4;         // rollouts of each side that are drawn together
  static constexpr double kConfidence = 0.95;  // that chosen is better, of a pair that passes
  static constexpr double kReachesGap = 3;     // evidence for the gap that ends the test
  static constexpr double kHopeless = 0.25;    // posterior of the gap that ends the test

  // `most`: rollouts of each side after which the test ends in any case.
  PairTest(SideGuess chosen, SideGuess rejected, double gap, int32_t most)
      : chosen_(chosen), rejected_(rejected), gap_(gap), most_(most) {}

  // Reads all outcomes drawn so far. The test ends once it passes (Passes(), with evidence
  // kReachesGap for the gap), is hopeless (the gap has a posterior probability below kHopeless), or
  // has `most` rollouts of each side.
  void Read(std::span<const char> chosen, std::span<const char> rejected);
  bool open() const { return open_; }
  // Returns true if the pair holds by what was read: evidence 1 / (1 - kConfidence) that chosen is
  // better, and success rates that differ by the gap.
  bool Passes() const;
  const PairEvidence& evidence() const { return evidence_; }
  // Returns how many rollouts of each side an open test wants to have in all.
  int32_t Wanted() const { return std::min(most_, read_ + kBlock); }

 private:
  SideGuess chosen_, rejected_;
  double gap_;
  int32_t most_;
  int32_t read_ = 0;  // pairs of outcomes
  double difference_ = 0;
  PairEvidence evidence_;
  bool open_ = true;
};

}  // namespace pivotal::pts
