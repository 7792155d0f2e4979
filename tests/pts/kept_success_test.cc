// Apache-2.0. Tests the score of critical tokens against its formula and against a world whose
// p(success) is known exactly.
#include "pts/kept_success.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "pts/change_posterior.h"
#include "pts/strata.h"
#include "pts/success_trie.h"
#include "tests/pts/answer_world.h"

namespace pivotal::pts {
namespace {

constexpr double kGap = 0.2, kZ = 1.96;

LinearEstimate Constant(double value) {
  LinearEstimate estimate;
  estimate.constant = value;
  return estimate;
}

TEST(KeptBy, IsTheQuotientWhereSomethingWasLost) {
  const KeptSuccess kept = KeptBy(Constant(-0.3), 0.4, kGap, kZ);
  EXPECT_NEAR(kept.share, 0.25, 1e-12);
  EXPECT_NEAR(kept.low, 0.25, 1e-12);  // nothing was sampled
  EXPECT_NEAR(kept.high, 0.25, 1e-12);
  EXPECT_EQ(KeptBy(Constant(0.3), 0.4, kGap, kZ).share, 1);
  EXPECT_EQ(KeptBy(Constant(-0.4), 0.4, kGap, kZ).share, 0);
}

TEST(KeptBy, LossesBelowTheGapAreSmall) {
  EXPECT_NEAR(KeptBy(Constant(-0.01), 0.01, kGap, kZ).share, 0.95, 1e-12);
  EXPECT_NEAR(KeptBy(Constant(-0.2), 0.2, kGap, kZ).share, 0, 1e-12);
}

TEST(KeptBy, TheIntervalIsThatOfTheChange) {
  LinearEstimate change = Constant(-0.5);
  change.terms.push_back({0.5, {20, 10}});
  const Interval bounds = change.Bounds(kZ);
  const KeptSuccess kept = KeptBy(change, 0.5, kGap, kZ);
  EXPECT_NEAR(kept.share, 0.5, 1e-12);
  EXPECT_NEAR(kept.low, 1 + bounds.low / 0.5, 1e-12);
  EXPECT_NEAR(kept.high, 1 + bounds.high / 0.5, 1e-12);
  EXPECT_LT(kept.low, kept.high);
}

TEST(KeptBy, OfASearchIsNearTheTruth) {
  int tokens = 0, critical = 0, outside = 0, found = 0, false_alarms = 0;
  double error = 0, shrunk_error = 0;
  const auto searches = SearchAnswerWorlds(40);
  std::vector<MeasuredChange> measured;
  for (const AnswerSearch& search : searches)
    for (const QueryTrace& trace : search.traces) {
      const SuccessTrie trie = TrieOf(trace);
      for (const auto& [node, change] : ChangesOf(trie, Strata(trie, kGap), kGap))
        measured.push_back(change);
    }
  const ChangePrior prior(measured);
  for (const AnswerSearch& search : searches) {
    for (const QueryTrace& trace : search.traces) {
      const SuccessTrie trie = TrieOf(trace);
      const Strata strata(trie, kGap);
      for (int32_t r = 0; r < trie.responses(); ++r) {
        const auto path = trie.Path(r);
        for (std::size_t k = 1; k < path.size(); ++k) {
          const auto truth = [&](int32_t node) {
            return search.world.Lanes(node == 0 ? 0 : trie[node].token)[0];
          };
          const double before = truth(path[k - 1]), after = truth(path[k]);
          const double want = 1 - std::max(0.0, before - after) / std::max(before, kGap);
          const KeptSuccess kept = KeptBy(strata.Change(path[k - 1], path[k]),
                                          strata.Value(path[k - 1]).Mean(), kGap, kZ);
          ++tokens;
          critical += want < 0.4;
          outside += want < kept.low - 0.15 || want > kept.high + 0.15;
          error += std::abs(kept.share - want);
          const double shrunk =
              KeptShare(prior.Mean({strata.Change(path[k - 1], path[k]).Mean(),
                                    strata.Change(path[k - 1], path[k]).Variance()}),
                        strata.Value(path[k - 1]).Mean(), kGap);
          shrunk_error += std::abs(shrunk - want);
          found += want < 0.4 && shrunk < 0.6;
          false_alarms += want > 0.95 && shrunk < 0.6;
        }
      }
    }
  }
  EXPECT_GT(tokens, 1000);
  EXPECT_GT(critical, 10);
  EXPECT_LE(outside, tokens / 200);
  EXPECT_LT(error / tokens, 0.03);
  EXPECT_LT(shrunk_error, error) << "shrinkage makes the scores better";
  EXPECT_GE(found, critical * 9 / 10);
  EXPECT_LE(false_alarms, critical / 10);
}

}  // namespace
}  // namespace pivotal::pts
