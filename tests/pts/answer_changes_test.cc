// Apache-2.0. Tests the posterior of change points: against the exact model of two answers, against
// sums over a grid, and its calibration on worlds.
#include "pts/answer_changes.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "pts/jump_model.h"
#include "tests/pts/answer_world.h"

namespace pivotal::pts {
namespace {

constexpr double kGap = 0.2;

// Sums over all points of a grid on the distributions of three answers, for a response of two steps
// that ends in answer 1.
class GridTruth {
 public:
  GridTruth(const AnswerStep& first, const AnswerStep& second) {
    std::array<double, 3> end = {0, 1, 0};
    for (const Draw& late : DrawsAfter(end, second.counts)) {
      const auto p = Moved(end, late.q, second.leave);
      const double change = Variation(end, late.q) * second.leave;
      for (const Draw& early : DrawsAfter(p, first.counts)) {
        const double weight = late.weight * early.weight;
        Add(weight, Variation(p, early.q) * first.leave, 0);
        Add(weight, change, 1);
        sum_ += weight;
      }
    }
  }
  double Probability(int step) const { return reaches_[step] / sum_; }
  double Mean(int step) const { return mean_[step] / sum_; }

 private:
  static constexpr int kCells = 40;  // of the grid, along each answer
  using Point = std::array<double, 3>;
  struct Draw {
    Point q;
    double weight;
  };

  static Point Moved(const Point& p, const Point& q, double leave) {
    Point moved;
    for (int a = 0; a < 3; ++a) moved[a] = (1 - leave) * p[a] + leave * q[a];
    return moved;
  }
  static double Variation(const Point& p, const Point& q) {
    return (std::abs(p[0] - q[0]) + std::abs(p[1] - q[1]) + std::abs(p[2] - q[2])) / 2;
  }
  static double Likelihood(const Point& q, const AnswerCounts& counts) {
    double log = 0;
    for (int a = 0; a < 3; ++a)
      if (counts[a] > 0) log += counts[a] * std::log(std::max(q[a], 0.004));
    return std::exp(log);
  }
  // Adds the weights of a Dirichlet distribution on the middles of the grid's cells.
  static void AddDirichlet(std::vector<Draw>& draws, double probability, const Point& parameters,
                           const AnswerCounts& counts) {
    const std::size_t begin = draws.size();
    double total = 0;
    for (int i = 0; i < kCells; ++i) {
      for (int j = 0; i + j < kCells; ++j) {
        const double third = 1.0 / 3;
        const Point q = {(i + third) / kCells, (j + third) / kCells,
                         (kCells - i - j - 2 * third) / kCells};
        double log = 0;
        for (int a = 0; a < 3; ++a) log += (parameters[a] - 1) * std::log(q[a]);
        total += std::exp(log);
        draws.push_back({q, std::exp(log)});
      }
    }
    for (std::size_t i = begin; i < draws.size(); ++i)
      draws[i].weight *= probability / total * Likelihood(draws[i].q, counts);
  }
  static std::vector<Draw> DrawsAfter(const Point& p, const AnswerCounts& counts) {
    std::vector<Draw> draws = {{p, 0.45 * Likelihood(p, counts)}};
    Point near = {1, 0.5, 0.5};
    AddDirichlet(draws, 0.25, near, counts);
    for (int a = 0; a < 3; ++a) near[a] += 12 * p[a];
    AddDirichlet(draws, 0.30, near, counts);
    return draws;
  }
  void Add(double weight, double change, int step) {
    mean_[step] += weight * change;
    if (change >= kGap) reaches_[step] += weight;
  }

  double sum_ = 0;
  std::array<double, 2> reaches_ = {}, mean_ = {};
};

TEST(AnswerChanges, AreThoseOfSumsOverAGrid) {
  const std::vector<std::array<AnswerStep, 2>> cases = {
      {AnswerStep{0.5, {0, 8, 0}, 1}, AnswerStep{0.6, {0, 7, 1}, 2}},
      {AnswerStep{0.5, {6, 2, 0}, 1}, AnswerStep{0.6, {0, 3, 0}, 2}},
      {AnswerStep{0.7, {0, 1, 5}, 1}, AnswerStep{0.4, {2, 2, 2}, 2}},
      {AnswerStep{0.3, {0, 0, 0}, 1}, AnswerStep{0.9, {0, 0, 4}, 2}}};
  for (const auto& steps : cases) {
    const GridTruth truth(steps[0], steps[1]);
    const auto changes = AnswerChanges(steps, 1, kGap, 7);
    ASSERT_EQ(changes.size(), 2);
    for (int s = 0; s < 2; ++s) {
      EXPECT_EQ(changes[s].node, s + 1);
      EXPECT_NEAR(changes[s].probability, truth.Probability(s), 0.05);
      EXPECT_NEAR(changes[s].mean, truth.Mean(s), 0.02);
    }
  }
}

TEST(AnswerChanges, AreAFunctionOfTheirArguments) {
  const std::vector<AnswerStep> steps = {{0.5, {6, 2, 0}, 1}, {0.6, {0, 3, 0}, 2}};
  const auto once = AnswerChanges(steps, 1, kGap, 7), again = AnswerChanges(steps, 1, kGap, 7);
  for (int s = 0; s < 2; ++s) EXPECT_EQ(once[s].probability, again[s].probability);
  EXPECT_NE(once[0].probability, AnswerChanges(steps, 1, kGap, 8)[0].probability);
}

// Calls visit(search, trace, table, strata, response, change) for every token that can be a change
// point, of all responses of searched worlds. The answers are right and wrong if `verdicts`.
template <typename Visit>
void EachChange(int32_t worlds, bool verdicts, Visit&& visit) {
  for (const AnswerSearch& search : SearchAnswerWorlds(worlds)) {
    for (const QueryTrace& trace : search.traces) {
      const auto table =
          verdicts ? VerdictsAsAnswers(trace) : ReadAnswers(trace, kAnswerIsLastToken);
      const AnswerStrata strata(trace, table, kGap);
      for (int32_t r = 0; r < strata.trie().responses(); ++r)
        for (const AnswerChange& change :
             AnswerChanges(AnswerSteps(strata, r, kGap), table.of_response[r], kGap, 1))
          if (change.node >= 0) visit(search, trace, table, strata, r, change);
    }
  }
}

// With the answers right and wrong the model is JumpModel's but for its grid and its form of
// "near".
TEST(AnswerChanges, AgreeWithTheModelOfTwoAnswers) {
  double difference = 0, most = 0;
  int32_t tokens = 0;
  EachChange(12, true,
             [&](const AnswerSearch&, const QueryTrace&, const AnswerTable&,
                 const AnswerStrata& strata, int32_t response, const AnswerChange& change) {
               // On a token of several responses JumpModel tells the largest of their
               // probabilities.
               for (int32_t r = 0; r < strata.trie().responses(); ++r) {
                 const auto path = strata.trie().Path(r);
                 if (r != response && std::ranges::find(path, change.node) != path.end()) return;
               }
               const JumpModel model(strata.trie(), strata.strata(), kGap);
               const double d =
                   std::abs(change.probability - model.PivotalProbability(change.node));
               difference += d;
               most = std::max(most, d);
               ++tokens;
             });
  ASSERT_GT(tokens, 300);
  EXPECT_LT(difference / tokens, 0.02);
  EXPECT_LT(most, 0.4);
}

// Of the tokens that are held for changes with some probability, about so many are. Among them are
// tokens that lead from one wrong answer to another, which p(success) does not show.
TEST(AnswerChanges, AreCalibratedOnWorlds) {
  struct Bin {
    double expected = 0, true_ones = 0, tokens = 0;
  };
  std::array<Bin, 2> bins;  // held for less and for more likely than not
  double squares = 0, unseen_by_success = 0;
  EachChange(40, false,
             [&](const AnswerSearch& search, const QueryTrace& trace, const AnswerTable& table,
                 const AnswerStrata& strata, int32_t response, const AnswerChange& change) {
               const int32_t k = strata.trie()[change.node].depth;
               const auto before = search.world.Truth(table, trace, response, k - 1);
               const auto after = search.world.Truth(table, trace, response, k);
               double variation = 0;
               for (std::size_t a = 0; a < before.size(); ++a)
                 variation += std::abs(after[a] - before[a]) / 2;
               Bin& bin = bins[change.probability < 0.5 ? 0 : 1];
               bin.expected += change.probability;
               bin.true_ones += variation >= kGap;
               ++bin.tokens;
               squares += (change.mean - variation) * (change.mean - variation);
               unseen_by_success += variation >= kGap && change.probability >= 0.5 &&
                                    std::abs(after[0] - before[0]) < kGap - 0.05;
             });
  ASSERT_GT(bins[0].tokens, 800);
  ASSERT_GT(bins[1].tokens, 80);
  EXPECT_NEAR(bins[0].expected / bins[0].tokens, bins[0].true_ones / bins[0].tokens, 0.06);
  EXPECT_NEAR(bins[1].expected / bins[1].tokens, bins[1].true_ones / bins[1].tokens, 0.06);
  EXPECT_LT(std::sqrt(squares / (bins[0].tokens + bins[1].tokens)), 0.08);
  EXPECT_GT(unseen_by_success, 15);
}

}  // namespace
}  // namespace pivotal::pts
