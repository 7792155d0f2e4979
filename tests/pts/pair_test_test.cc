// Apache-2.0.
#include "pts/pair_test.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "kernels/philox.h"

namespace pivotal::pts {
namespace {

using Outcomes = std::vector<char>;

// Guesses that are right, wrong, the wrong way round, faint and strong.
struct Guesses {
  SideGuess chosen, rejected;
};
constexpr Guesses kGuesses[] = {{{0.9, 3}, {0.1, 3}},       {{0.6, 3}, {0.4, 3}},
                                {{0.3, 3}, {0.7, 3}},       {{0.5, 0.2}, {0.5, 0.2}},
                                {{0.99, 100}, {0.01, 100}}, {{1, 3}, {0, 3}}};

// Returns the probability of `successes` of n outcomes in one order.
double Likelihood(double p, int32_t successes, int32_t n) {
  return std::pow(p, successes) * std::pow(1 - p, n - successes);
}

int32_t Successes(const Outcomes& outcomes) {
  return static_cast<int32_t>(std::ranges::count(outcomes, 1));
}

// Calls `visit` with all outcomes of n rollouts of each side.
void ForAllOutcomes(int32_t n, const std::function<void(const Outcomes&, const Outcomes&)>& visit) {
  for (int32_t bits = 0; bits < 1 << 2 * n; ++bits) {
    Outcomes chosen, rejected;
    for (int32_t i = 0; i < n; ++i) {
      chosen.push_back((bits >> 2 * i) & 1);
      rejected.push_back((bits >> (2 * i + 1)) & 1);
    }
    visit(chosen, rejected);
  }
}

// Sums of a number over all outcomes with as many successes of each side: [chosen][rejected].
using Sums = std::vector<std::vector<double>>;

double Expectation(const Sums& sums, double chosen, double rejected) {
  const auto n = static_cast<int32_t>(sums.size()) - 1;
  double mean = 0;
  for (int32_t c = 0; c <= n; ++c)
    for (int32_t r = 0; r <= n; ++r)
      mean += sums[c][r] * Likelihood(chosen, c, n) * Likelihood(rejected, r, n);
  return mean;
}

Sums NoSums(int32_t n) { return Sums(n + 1, std::vector<double>(n + 1, 0.0)); }

// Expects that no probabilities with chosen <= rejected + least give an expectation above `bound`.
void ExpectBounded(const Sums& sums, double least, double bound, const char* what) {
  constexpr int32_t kSteps = 50;
  double most = 0;
  for (int32_t r = 0; r <= kSteps; ++r)
    for (int32_t c = 0; c <= kSteps; ++c)
      if (c <= r + kSteps * least + 1e-9)
        most = std::max(most, Expectation(sums, 1.0 * c / kSteps, 1.0 * r / kSteps));
  EXPECT_LE(most, bound * (1 + 1e-9)) << what;
}

TEST(EvidenceOf, IsNoMoreThanOneOnAverageWhereItsStatementIsFalse) {
  constexpr int32_t n = 6;
  for (const double gap : {0.2, 0.5}) {
    for (const Guesses& guesses : kGuesses) {
      Sums better = NoSums(n), reaches = NoSums(n);
      ForAllOutcomes(n, [&](const Outcomes& chosen, const Outcomes& rejected) {
        const auto evidence = EvidenceOf(chosen, rejected, guesses.chosen, guesses.rejected, gap);
        EXPECT_GE(evidence.better, 0);
        EXPECT_GE(evidence.reaches_gap, 0);
        better[Successes(chosen)][Successes(rejected)] += evidence.better;
        reaches[Successes(chosen)][Successes(rejected)] += evidence.reaches_gap;
      });
      ExpectBounded(better, 0, 1, "better");
      ExpectBounded(reaches, gap, 1, "reaches_gap");
    }
  }
}

// One who looks after every pair of outcomes and stops as soon as the evidence is 20 is right no
// less often than one who looks once.
TEST(EvidenceOf, RarelyEverReachesTwentyWhereItsStatementIsFalse) {
  constexpr int32_t n = 6;
  constexpr double gap = 0.2;
  for (const Guesses& guesses : kGuesses) {
    Sums better = NoSums(n), reaches = NoSums(n);
    ForAllOutcomes(n, [&](const Outcomes& chosen, const Outcomes& rejected) {
      PairEvidence most;
      for (std::size_t looks = 1; looks <= n; ++looks) {
        const auto evidence =
            EvidenceOf(std::span(chosen).first(looks), std::span(rejected).first(looks),
                       guesses.chosen, guesses.rejected, gap);
        most.better = std::max(most.better, evidence.better);
        most.reaches_gap = std::max(most.reaches_gap, evidence.reaches_gap);
      }
      better[Successes(chosen)][Successes(rejected)] += most.better >= 20;
      reaches[Successes(chosen)][Successes(rejected)] += most.reaches_gap >= 20;
    });
    ExpectBounded(better, 0, 0.05, "better");
    ExpectBounded(reaches, gap, 0.05, "reaches_gap");
  }
}

Outcomes Draw(kernels::RandomStream& random, double p, int32_t n) {
  Outcomes outcomes;
  for (int32_t i = 0; i < n; ++i) outcomes.push_back(random.Uniform() < p ? 1 : 0);
  return outcomes;
}

// The same for longer tests than can be enumerated, at the border of the statements.
TEST(EvidenceOf, RarelyReachesTwentyInLongTests) {
  constexpr int32_t n = 64, kRuns = 500;
  constexpr double gap = 0.2;
  for (const double p : {0.1, 0.4, 0.7}) {
    kernels::RandomStream random(1, static_cast<uint64_t>(100 * p));
    int better = 0, reaches = 0;
    for (int run = 0; run < kRuns; ++run) {
      const Outcomes equal = Draw(random, p, n), gap_above = Draw(random, p + gap, n),
                     rejected = Draw(random, p, n);
      bool is_better = false, is_reached = false;
      for (std::size_t looks = 4; looks <= n; looks += 4) {
        const auto first = [&](const Outcomes& all) { return std::span(all).first(looks); };
        const SideGuess chosen{0.8}, other{0.2};
        is_better |= EvidenceOf(first(equal), first(rejected), chosen, other, gap).better >= 20;
        is_reached |=
            EvidenceOf(first(gap_above), first(rejected), chosen, other, gap).reaches_gap >= 20;
      }
      better += is_better;
      reaches += is_reached;
    }
    // Three standard deviations of a count whose mean is 1/20 of the runs are 0.03 of them.
    EXPECT_LE(better, 0.08 * kRuns) << p;
    EXPECT_LE(reaches, 0.08 * kRuns) << p;
  }
}

// On the line of equal probabilities the point nearest to (c, r) is their mean.
TEST(EvidenceOf, MultipliesLikelihoodRatios) {
  const SideGuess chosen{0.9, 3}, rejected{0.1, 3};
  const auto better = [&](const Outcomes& c, const Outcomes& r) {
    return EvidenceOf(c, r, chosen, rejected, 0.2).better;
  };
  EXPECT_EQ(better({}, {}), 1);
  EXPECT_NEAR(better({1}, {0}), 0.9 / 0.5 * (0.9 / 0.5), 1e-9);
  EXPECT_NEAR(better({1}, {1}), 0.9 / 0.5 * (0.1 / 0.5), 1e-9);
  EXPECT_NEAR(better({0}, {1}), 0.1 / 0.5 * (0.1 / 0.5), 1e-9);
  // The first outcomes move the beliefs to (2.7 + 1) / 4 = 0.925 and 0.3 / 4 = 0.075.
  EXPECT_NEAR(better({1, 1}, {0, 0}), 3.24 * (0.925 / 0.5) * (0.925 / 0.5), 1e-9);
  // To (2.7 + 0) / 4 = 0.675 and (0.3 + 0) / 4 = 0.075, whose mean is 0.375.
  EXPECT_NEAR(better({0, 1}, {0, 1}), 0.1 / 0.5 * (0.9 / 0.5) * (0.675 / 0.375) * (0.075 / 0.375),
              1e-9);
}

// With a gap the nearest point is found on a fine grid.
TEST(EvidenceOf, BetsAgainstTheNearestPoint) {
  for (const double gap : {0.1, 0.2, 0.5}) {
    for (const auto& [c, r] : {std::pair{0.9, 0.1}, {0.95, 0.3}, {0.7, 0.02}, {0.985, 0.6}}) {
      const auto divergence = [](double p, double q) {
        return p * std::log(p / q) + (1 - p) * std::log((1 - p) / (1 - q));
      };
      double nearest = 0, least = INFINITY;
      for (double b = 1e-5; b + gap < 1; b += 1e-5) {
        const double sum = divergence(c, b + gap) + divergence(r, b);
        if (sum < least) nearest = b, least = sum;
      }
      for (const char x : {0, 1}) {
        for (const char y : {0, 1}) {
          const auto ratio = [](double p, double q, char success) {
            return success ? p / q : (1 - p) / (1 - q);
          };
          const double want = c <= r + gap ? 1 : ratio(c, nearest + gap, x) * ratio(r, nearest, y);
          EXPECT_NEAR(EvidenceOf(Outcomes{x}, Outcomes{y}, {c, 3}, {r, 3}, gap).reaches_gap, want,
                      1e-3 * want)
              << gap << " " << c << " " << r;
        }
      }
    }
  }
}

// Less evidence than there is stays evidence.
TEST(EvidenceOf, IsFinite) {
  const Outcomes right(5000, 1), wrong(5000, 0);
  const auto most = EvidenceOf(right, wrong, {0.9}, {0.1}, 0.2);
  EXPECT_EQ(most.better, 1e100);
  EXPECT_EQ(most.reaches_gap, 1e100);
  EXPECT_GE(EvidenceOf(wrong, right, {0.9}, {0.1}, 0.2).better, 0);
}

TEST(EvidenceOf, ReadsAsFarAsTheShorterListReaches) {
  const Outcomes chosen = {1, 1, 0, 1, 1, 1, 1}, rejected = {0, 1, 0};
  const SideGuess high{0.7}, low{0.4};
  const auto shorter = EvidenceOf(std::span(chosen).first(3), rejected, high, low, 0.2);
  for (const auto& evidence :
       {EvidenceOf(chosen, rejected, high, low, 0.2),
        EvidenceOf(std::span(chosen).first(3), Outcomes{0, 1, 0, 0, 0}, high, low, 0.2)}) {
    EXPECT_EQ(evidence.better, shorter.better);
    EXPECT_EQ(evidence.reaches_gap, shorter.reaches_gap);
  }
}

// What became of a test, and how many rollouts of each side it took.
struct Ended {
  PairTest test;
  Outcomes chosen, rejected;
};

// Runs a test on sides that succeed with the given probabilities.
Ended RunTest(kernels::RandomStream& random, double chosen, double rejected, Guesses guesses,
              int32_t most = 32) {
  Ended ended{PairTest(guesses.chosen, guesses.rejected, 0.2, most), {}, {}};
  while (ended.test.open()) {
    const auto read = std::ssize(ended.chosen);
    const int32_t more = ended.test.Wanted() - static_cast<int32_t>(read);
    EXPECT_GT(more, 0);
    EXPECT_LE(more, PairTest::kBlock);
    for (const char outcome : Draw(random, chosen, more)) ended.chosen.push_back(outcome);
    for (const char outcome : Draw(random, rejected, more)) ended.rejected.push_back(outcome);
    ended.test.Read(ended.chosen, ended.rejected);
  }
  return ended;
}

struct Tally {
  double passes = 0, rollouts = 0;  // means: of tests that pass, of rollouts of each side
};

Tally RunTests(double chosen, double rejected, Guesses guesses, int32_t runs = 1000) {
  kernels::RandomStream random(3, static_cast<uint64_t>(100 * chosen + rejected));
  Tally tally;
  for (int32_t run = 0; run < runs; ++run) {
    const Ended ended = RunTest(random, chosen, rejected, guesses);
    tally.passes += 1.0 * ended.test.Passes() / runs;
    tally.rollouts += static_cast<double>(ended.chosen.size()) / runs;
  }
  return tally;
}

TEST(PairTest, IsSoonOverWhereThePairIsClear) {
  const Guesses good = {{0.8}, {0.3}}, unknown = {{0.5}, {0.5}}, wrong = {{0.4}, {0.6}};
  const Tally strong = RunTests(0.9, 0.1, good);
  EXPECT_GE(strong.passes, 0.99);
  EXPECT_LE(strong.rollouts, 8);
  const Tally guessed = RunTests(0.9, 0.1, unknown);
  EXPECT_GE(guessed.passes, 0.98);
  EXPECT_LE(guessed.rollouts, 12);
  EXPECT_GE(RunTests(0.9, 0.1, wrong).passes, 0.8) << "a wrong guess loses power only";
  EXPECT_GE(RunTests(0.8, 0.3, good).passes, 0.6);
  const Tally none = RunTests(0.5, 0.5, good);
  EXPECT_LE(none.passes, 0.05);
  EXPECT_LE(none.rollouts, 16);
  EXPECT_LE(RunTests(0.3, 0.7, good).passes, 0.01);
}

// Returns P(c - r >= gap) for independent Beta distributions, by summing over a grid.
double PosteriorOfGap(const Outcomes& chosen, const Outcomes& rejected, Guesses guesses,
                      double gap) {
  constexpr int32_t kSteps = 1000;
  const auto density = [](SideGuess guess, const Outcomes& outcomes) {
    const double wins = guess.mean * guess.weight + Successes(outcomes);
    const double losses = (1 - guess.mean) * guess.weight + static_cast<double>(outcomes.size()) -
                          Successes(outcomes);
    std::vector<double> weights;
    double sum = 0;
    for (int32_t i = 0; i < kSteps; ++i) {
      const double p = (i + 0.5) / kSteps;
      weights.push_back(std::pow(p, wins - 1) * std::pow(1 - p, losses - 1));
      sum += weights.back();
    }
    for (double& weight : weights) weight /= sum;
    return weights;
  };
  const auto c = density(guesses.chosen, chosen), r = density(guesses.rejected, rejected);
  double above = 0, below_r = 0;  // sum over r up to c - gap
  const auto shift = static_cast<int32_t>(std::lround(gap * kSteps));
  for (int32_t i = shift; i < kSteps; ++i) {
    below_r += r[i - shift];
    above += c[i] * below_r;
  }
  return above;
}

TEST(PairTest, EndsForOneOfThreeReasons) {
  kernels::RandomStream random(5, 1);
  int passed = 0, hopeless = 0, spent = 0;
  for (int run = 0; run < 400; ++run) {
    const double chosen = random.Uniform(), rejected = random.Uniform();
    const Guesses guesses = {{0.5 + 0.4 * random.Uniform()}, {0.1 + 0.4 * random.Uniform()}};
    const Ended ended = RunTest(random, chosen, rejected, guesses);
    const auto n = static_cast<double>(ended.chosen.size());
    const double difference = (Successes(ended.chosen) - Successes(ended.rejected)) / n;
    const auto evidence =
        EvidenceOf(ended.chosen, ended.rejected, guesses.chosen, guesses.rejected, 0.2);
    EXPECT_EQ(ended.test.evidence().better, evidence.better);
    EXPECT_EQ(ended.test.evidence().reaches_gap, evidence.reaches_gap);
    EXPECT_EQ(ended.test.Passes(), evidence.better >= 20 - 1e-9 && difference >= 0.2 - 1e-9);
    if (ended.test.Passes() && evidence.reaches_gap >= 3) {
      ++passed;
    } else if (n == 32) {
      ++spent;
    } else {  // the test takes a normal distribution for the posterior
      EXPECT_LT(PosteriorOfGap(ended.chosen, ended.rejected, guesses, 0.2), 0.3);
      ++hopeless;
    }
  }
  EXPECT_GT(passed, 50);
  EXPECT_GT(hopeless, 50);
  EXPECT_GT(spent, 5);
}

TEST(PairTest, DrawsNoMoreThanItsLimit) {
  kernels::RandomStream random(7, 1);
  for (const int32_t most : {1, 3, 6}) {
    for (int run = 0; run < 20; ++run) {
      const Ended ended = RunTest(random, 0.6, 0.3, {{0.6}, {0.3}}, most);
      EXPECT_LE(std::ssize(ended.chosen), most);
    }
  }
}

TEST(PairTest, WaitsForBothSides) {
  PairTest test({0.8}, {0.2}, 0.2, 32);
  EXPECT_EQ(test.Wanted(), 4);
  test.Read(Outcomes{1, 1, 1, 1}, {});
  EXPECT_TRUE(test.open());
  EXPECT_FALSE(test.Passes());
  EXPECT_EQ(test.Wanted(), 4);
  EXPECT_EQ(test.evidence().better, 1);
}

// A side that ends the response has its verdict in place of rollouts, as often as `most`.
TEST(PairTest, AVerdictIsReadAsFarAsTheOtherSideHasRollouts) {
  const Outcomes right(32, 1), wrong(32, 0);
  PairTest test({0.8}, {0.2}, 0.2, 32);
  test.Read(right, Outcomes{0, 0, 0, 0});
  EXPECT_EQ(test.evidence().better,
            EvidenceOf(Outcomes(4, 1), Outcomes(4, 0), {0.8}, {0.2}, 0.2).better);
  EXPECT_TRUE(test.Passes());
  PairTest both({0.8}, {0.2}, 0.2, 32);
  both.Read(right, wrong);
  EXPECT_FALSE(both.open());
  EXPECT_TRUE(both.Passes());
  PairTest reversed({0.8}, {0.2}, 0.2, 32);
  reversed.Read(wrong, right);
  EXPECT_FALSE(reversed.open());
  EXPECT_FALSE(reversed.Passes());
}

}  // namespace
}  // namespace pivotal::pts
