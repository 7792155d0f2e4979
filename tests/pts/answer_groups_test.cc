// Apache-2.0. Tests groups of alternatives against a sum over all partitions, and on worlds in
// which it is known which tokens mean the same.
#include "pts/answer_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <numeric>

#include "tests/pts/answer_world.h"

namespace pivotal::pts {
namespace {

using ::testing::ElementsAre;

// Returns the posterior probability of each partition, as the groups of the items. An item joins a
// group before it with its size, or a new one with 1; the outcomes are predicted one after the
// other from what their group has shown.
std::map<std::vector<int32_t>, double> AllPartitions(const std::vector<AnswerCounts>& items) {
  std::map<std::vector<int32_t>, double> partitions;
  std::vector<int32_t> groups;
  std::vector<AnswerCounts> shown;
  std::vector<int32_t> sizes;
  const std::function<void(double)> place = [&](double probability) {
    const std::size_t i = groups.size();
    if (i == items.size()) {
      partitions[groups] = probability;
      return;
    }
    for (std::size_t g = 0; g <= sizes.size(); ++g) {
      const bool is_new = g == sizes.size();
      if (is_new) {
        sizes.push_back(0);
        shown.push_back({1, 0.5, 0.5});
      }
      const AnswerCounts before = shown[g];
      double likelihood = is_new ? 1 : sizes[g];
      for (std::size_t a = 0; a < 3; ++a)
        for (int n = 0; n < items[i][a]; ++n) {
          likelihood *= shown[g][a] / (shown[g][0] + shown[g][1] + shown[g][2]);
          shown[g][a] += 1;
        }
      ++sizes[g];
      groups.push_back(static_cast<int32_t>(g));
      place(probability * likelihood);
      groups.pop_back();
      shown[g] = before;
      --sizes[g];
      if (is_new) {
        sizes.pop_back();
        shown.pop_back();
        break;
      }
    }
  };
  place(1);
  double sum = 0;
  for (const auto& [partition, probability] : partitions) sum += probability;
  for (auto& [partition, probability] : partitions) probability /= sum;
  return partitions;
}

TEST(GroupByAnswer, IsTheMostProbableOfAllPartitions) {
  const std::vector<std::vector<AnswerCounts>> cases = {
      {{9, 1, 0}, {7, 1, 0}, {0, 8, 1}, {0, 4, 0}, {1, 0, 5}, {0, 1, 0}},
      {{3, 0, 0}, {0, 3, 0}, {0, 0, 3}, {1, 1, 1}},
      {{5, 5, 0}, {4, 6, 0}, {6, 3, 1}},
      {{0, 0, 0}, {2, 0, 0}}};
  for (const auto& items : cases) {
    const auto partitions = AllPartitions(items);
    std::vector<double> with_first;
    const auto groups = GroupByAnswer(items, &with_first);
    const auto best = std::ranges::max_element(
        partitions, {}, [](const auto& partition) { return partition.second; });
    EXPECT_EQ(groups, best->first);
    for (std::size_t i = 0; i < items.size(); ++i) {
      double truth = 0;
      for (const auto& [partition, probability] : partitions)
        if (partition[i] == partition[0]) truth += probability;
      EXPECT_NEAR(with_first[i], truth, 1e-9);
    }
  }
}

TEST(GroupByAnswer, FindsTheGroupsOfManyItems) {
  std::vector<AnswerCounts> items;
  std::vector<int32_t> expected;
  for (int i = 0; i < 30; ++i) {
    const int32_t group = i % 3;
    AnswerCounts& counts = items.emplace_back(AnswerCounts(3, 0.0));
    counts[static_cast<std::size_t>(group)] = 9;
    counts[static_cast<std::size_t>((group + i) % 3)] += 1;
    expected.push_back(group);
  }
  EXPECT_EQ(GroupByAnswer(items), expected);
}

// In lane worlds the words at a fork mean the same, and tokens of different lanes do not.
TEST(GroupAlternatives, PutsWordsTogetherAndLanesApart) {
  int32_t same_right = 0, same_wrong = 0, lanes_right = 0, lanes_wrong = 0;
  double squares = 0, too_far = 0;  // errors of q without paraphrases
  int32_t measured = 0;
  for (const AnswerSearch& search : SearchAnswerWorlds(40)) {
    for (const QueryTrace& trace : search.traces) {
      const auto table = ReadAnswers(trace, kAnswerIsLastToken);
      const AnswerStrata strata(trace, table, 0.2);
      const SuccessTrie& trie = strata.trie();
      for (int32_t node = 1; node < trie.size(); ++node) {
        if (!trie.CanBePivotal(node, 0.2)) continue;
        const AnswerForks found = GroupAlternatives(trace, table, strata, node);
        double probability = 0;
        const auto own = search.world.Lanes(trie[node].token);
        for (const AnswerGroup& group : found.groups) {
          double sum = 0;
          for (const GroupedToken& token : group.tokens) {
            sum += token.probability;
            if (token.token == kRareTokens || token.token == trie[node].token) continue;
            if (std::accumulate(token.counts.begin(), token.counts.end(), 0.0) < 10) continue;
            const auto lanes = search.world.Lanes(token.token);
            double variation = 0;
            for (std::size_t a = 0; a < lanes.size(); ++a)
              variation += std::abs(lanes[a] - own[a]) / 2;
            const bool joined = &group == found.groups.data();
            if (variation < 1e-9) ++(joined ? same_right : same_wrong);
            if (variation > 0.5) ++(joined ? lanes_wrong : lanes_right);
          }
          EXPECT_NEAR(sum, group.probability, 1e-9);
          probability += sum;
        }
        EXPECT_LE(probability, 1 + 1e-5);
        if (found.other_probability == 0) continue;
        // The truth of q without tokens that mean exactly the same.
        double q_other = 0, mass_other = 0;
        for (const testing::Move& move : search.world.world().Moves(
                 trie[node].depth == 1 ? 0 : trie[trie[node].parent].token)) {
          if (move.token == trie[node].token) continue;
          const auto lanes = search.world.Lanes(move.token);
          if (lanes == own) continue;
          q_other += move.probability * lanes[0];
          mass_other += move.probability;
        }
        if (mass_other < 0.1) continue;
        ++measured;
        const double away = own[0] > q_other / mass_other ? 1 : -1;
        too_far += away * (q_other / mass_other - found.other.Mean()[0]);
        squares += std::pow(found.other.Mean()[0] - q_other / mass_other, 2);
      }
    }
  }
  ASSERT_GT(same_right + same_wrong, 60);
  ASSERT_GT(lanes_right + lanes_wrong, 60);
  EXPECT_LT(same_wrong, 0.06 * (same_right + same_wrong));
  EXPECT_LT(lanes_wrong, 0.02 * (lanes_right + lanes_wrong));
  ASSERT_GT(measured, 100);
  EXPECT_LT(std::sqrt(squares / measured), 0.2);
  // Groups that were made by outcomes do not make the difference look larger than it is.
  EXPECT_LT(too_far / measured, 0.02);
}

// At forks with 20 to 50 alternatives most tokens mean the same, and q without paraphrases differs
// much from q.
TEST(GroupAlternatives, MovesQWhereManyTokensMeanTheSame) {
  constexpr double kSame = 0.02, kOther = 0.3;  // differences of p(success)
  int32_t joined = 0, same = 0, apart = 0, other = 0, moved = 0;
  double error = 0, too_far = 0, change = 0, true_change = 0;
  for (testing::AlternativesWorldOptions options; options.seed <= 40; ++options.seed) {
    const testing::TableWorld world = testing::AlternativesWorld(options);
    for (const QueryTrace& trace :
         SearchWorld(world, options.seed, [&](TokenId last) { return world.Success(last) == 1; })) {
      const auto table = VerdictsAsAnswers(trace);
      const AnswerStrata strata(trace, table, 0.2);
      const SuccessTrie& trie = strata.trie();
      for (int32_t node = 1; node < trie.size(); ++node) {
        const auto& pivotal = trace.responses[trie[node].response].pivotal;
        if (std::ranges::find(pivotal, trie[node].depth, &PivotalToken::position) == pivotal.end())
          continue;
        const AnswerForks forks = GroupAlternatives(trace, table, strata, node);
        const double own = world.Success(trie[node].token);
        for (const AnswerGroup& group : forks.groups) {
          for (const GroupedToken& token : group.tokens) {
            if (token.token == kRareTokens || token.token == trie[node].token) continue;
            const double difference = std::abs(world.Success(token.token) - own);
            const bool is_first = &group == forks.groups.data();
            same += difference < kSame;
            joined += difference < kSame && is_first;
            other += difference > kOther;
            apart += difference > kOther && !is_first;
          }
        }
        // The truth of q with and without tokens that mean the same.
        double q = 0, q_other = 0, mass = 0, mass_other = 0;
        for (const testing::Move& move :
             world.Moves(trie[node].depth == 1 ? 0 : trie[trie[node].parent].token)) {
          if (move.token == trie[node].token) continue;
          const double p = world.Success(move.token);
          const bool means_other = std::abs(p - own) >= kSame;
          q += move.probability * p;
          mass += move.probability;
          q_other += means_other ? move.probability * p : 0;
          mass_other += means_other ? move.probability : 0;
        }
        if (!forks.HasParaphrases() || mass_other == 0 || forks.other_probability == 0) continue;
        const double truth = q_other / mass_other, estimate = forks.other.Mean()[0];
        ++moved;
        error += std::pow(estimate - truth, 2);
        too_far += own > truth ? truth - estimate : estimate - truth;
        change += std::abs(estimate - forks.without.Mean()[0]);
        true_change += std::abs(truth - q / mass);
      }
    }
  }
  ASSERT_GT(same, 40);
  ASSERT_GT(other, 100);
  ASSERT_GT(moved, 15);
  EXPECT_GT(joined, 0.85 * same);
  EXPECT_GT(apart, 0.95 * other);
  EXPECT_LT(std::sqrt(error / moved), 0.15);
  EXPECT_LT(too_far / moved, 0.07);
  EXPECT_GT(true_change / moved, 0.15);
  EXPECT_NEAR(change / moved, true_change / moved, 0.06);
}

}  // namespace
}  // namespace pivotal::pts
