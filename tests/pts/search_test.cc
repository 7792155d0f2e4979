// Apache-2.0. Tests which rollouts a search asks for, shares and records.
#include "pivotal/search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "tests/pts/search_run.h"

namespace pivotal::pts {
namespace {

using testing::ForkChain;
using testing::MarkovChain;
using testing::MarkovPolicy;
using testing::RandomChain;

TEST(Search, GroupingAndOrderChangeNothing) {
  SearchOptions options = Published();
  options.samples = 24;
  options.responses = 3;
  options.max_new_tokens = 25;
  auto queries = Queries(30);
  const MarkovChain chain = RandomChain(9, 2);
  const auto run = [&](int32_t group) {
    MarkovPolicy policy(chain, 11);
    options.group = group;
    return Explore(queries, policy, options);
  };
  const Found one = run(1), seven = run(7), many = run(64);
  EXPECT_EQ(one.groups.size(), 30u);
  EXPECT_EQ(seven.groups.size(), 5u);
  EXPECT_EQ(many.groups.size(), 1u);
  EXPECT_GT(one.summary.pivotal, 10);
  EXPECT_EQ(Describe(one.All()), Describe(many.All()));
  EXPECT_EQ(Describe(seven.All()), Describe(many.All()));
  std::reverse(queries.begin(), queries.end());
  auto reversed = Describe(run(64).All());
  std::reverse(reversed.begin(), reversed.end());
  EXPECT_EQ(reversed, Describe(many.All()));
}

TEST(Search, ResponsesThatShareAPrefixShareItsEstimate) {
  SearchOptions options = Published();
  options.samples = 40;
  options.responses = 10;
  options.max_new_tokens = 80;
  MarkovPolicy policy(ForkChain(), 5);
  int32_t shared = 0;
  int64_t expected = 0;
  for (const auto& query : Explore(Queries(5), policy, options).All()) {
    std::map<std::vector<TokenId>, int32_t> successes;
    std::set<std::vector<TokenId>> sides;
    for (std::size_t r = 0; r < query.responses.size(); ++r) {
      for (const auto& estimate : query.responses[r].estimates) {
        // leaves out the sides of pairs, which have 32
        if (estimate.samples < 40) continue;
        const auto prefix = Prefix(query, static_cast<int32_t>(r), estimate.position);
        const auto [at, added] = successes.emplace(prefix, estimate.successes);
        EXPECT_EQ(at->second, estimate.successes);
        shared += !added;
      }
      for (const auto& token : query.responses[r].pivotal) {
        for (TokenId side : {token.chosen, token.rejected}) {
          if (side < 0 || side == policy.chain().eos) continue;
          auto path = Prefix(query, static_cast<int32_t>(r), token.position - 1);
          path.push_back(side);
          sides.insert(path);
        }
      }
    }
    const auto leaving =
        std::ranges::count(query.rollouts, RolloutKind::kLeaving, &RolloutTrace::kind);
    expected += 40 * (1 + std::ssize(successes)) + 32 * std::ssize(sides) + leaving;
    EXPECT_EQ(std::ssize(query.rollouts),
              40 * (1 + std::ssize(successes)) + 32 * std::ssize(sides) + leaving);
  }
  EXPECT_GT(shared, 5);
  EXPECT_EQ(policy.counters().rollouts, expected);
}

TEST(Search, EveryRequestHasItsOwnStreamAndItsRestOfTheBudget) {
  SearchOptions options = Published();
  options.responses = 4;
  options.max_new_tokens = 50;
  MarkovPolicy policy(ForkChain(), 5);
  Explore(Queries(10), policy, options);
  std::set<uint64_t> streams;
  for (const auto& request : policy.log()) {
    streams.insert(request.stream);
    EXPECT_EQ(request.max_new_tokens, 50 - (std::ssize(request.prefix) - 2));
    EXPECT_EQ(request.first_rollout, 0u);
  }
  EXPECT_EQ(streams.size(), policy.log().size());  // those of the prompts and of p_0 differ, too
}

TEST(Search, QueriesShareBatches) {
  SearchOptions options = Published();
  MarkovPolicy together(ForkChain(), 5), apart(ForkChain(), 5);
  Explore(Queries(20), together, options);
  options.group = 1;
  Explore(Queries(20), apart, options);
  EXPECT_LT(together.calls(), 25);
  EXPECT_GT(apart.calls(), 5 * together.calls());
}

TEST(Search, RecordsEveryRollout) {
  SearchOptions options = Wide();
  options.responses = 3;
  options.max_new_tokens = 25;
  MarkovPolicy policy(RandomChain(9, 2), 3);
  std::map<RolloutKind, int> kinds;
  for (const auto& query : Explore(Queries(6), policy, options).All()) {
    for (const auto& rollout : query.rollouts) {
      ++kinds[rollout.kind];
      std::vector<TokenId> whole;
      if (rollout.kind != RolloutKind::kQuery)
        whole = Prefix(query, rollout.response, rollout.position);
      else
        EXPECT_EQ(rollout.response, -1);
      const bool side =
          rollout.kind == RolloutKind::kChosen || rollout.kind == RolloutKind::kRejected;
      EXPECT_EQ(rollout.forced >= 0, side);
      if (side) whole.push_back(rollout.forced);
      whole.insert(whole.end(), rollout.tokens.begin(), rollout.tokens.end());
      EXPECT_EQ(rollout.success, policy.chain().IsRight(0, whole));
      EXPECT_LE(whole.size(), 25u);
    }
  }
  EXPECT_EQ(kinds[RolloutKind::kQuery], 6 * 32);
  for (auto kind : {RolloutKind::kPrefix, RolloutKind::kChosen, RolloutKind::kRejected})
    EXPECT_GT(kinds[kind], 0);
}

TEST(Search, TakesRightAndWrongResponsesInTurn) {
  SearchOptions options = Wide();
  options.responses = 6;
  options.max_new_tokens = 40;
  MarkovPolicy policy(ForkChain(), 2);
  for (const auto& query : Explore(Queries(10), policy, options).All()) {
    std::vector<std::vector<TokenId>> sides[2];
    std::set<std::vector<TokenId>> seen;
    for (const auto& rollout : query.rollouts)
      if (rollout.kind == RolloutKind::kQuery && seen.insert(rollout.tokens).second)
        sides[rollout.success ? 0 : 1].push_back(rollout.tokens);
    ASSERT_GE(sides[0].size(), 3u);
    ASSERT_GE(sides[1].size(), 3u);
    ASSERT_EQ(query.responses.size(), 6u);
    for (std::size_t i = 0; i < 6; ++i) {
      EXPECT_EQ(query.responses[i].success, i % 2 == 0);
      EXPECT_EQ(query.responses[i].tokens, sides[i % 2][i / 2]);
    }
  }
}

TEST(Search, TakesWhatThereIsWhereOneSideRunsOut) {
  MarkovChain chain = ForkChain();
  chain.transition.row(0) << 0, 0, 0, 0.5, 0.5, 0, 0, 0;  // two responses in all
  SearchOptions options = Published();
  options.responses = 5;
  MarkovPolicy policy(chain, 2);
  const auto query = Explore(Queries(1), policy, options).All()[0];
  ASSERT_EQ(query.responses.size(), 2u);
  EXPECT_TRUE(query.responses[0].success);
  EXPECT_FALSE(query.responses[1].success);
}

TEST(Search, LeavesQueriesOutsideTheBandAlone) {
  MarkovChain chain = ForkChain();
  chain.transition.row(0) << 0, 0, 0, 1, 0, 0, 0, 0;  // always right
  MarkovPolicy policy(chain, 2);
  const Found found = Explore(Queries(3), policy, Published());
  EXPECT_EQ(found.summary.queries, 3);
  EXPECT_EQ(found.summary.searched, 0);
  for (const auto& query : found.All()) {
    EXPECT_FALSE(query.searched);
    EXPECT_EQ(query.samples, 32);
    EXPECT_EQ(query.successes, 32);
    EXPECT_TRUE(query.responses.empty());
    EXPECT_EQ(query.rollouts.size(), 32u);
  }
  SearchOptions closed = Published();
  closed.min_success = closed.max_success = 1;  // both ends belong to the band
  EXPECT_EQ(Explore(Queries(3), policy, closed).summary.searched, 3);
}

// Portions let a search look at its budgets; they change no draw.
TEST(Search, VeryManyRolloutsOfAPromptComeInPortions) {
  SearchOptions options = Published();
  options.samples = 5000;
  options.min_success = options.max_success = 1;  // no response is searched
  options.max_new_tokens = 30;
  MarkovPolicy policy(ForkChain(), 5);
  const auto traces = Explore(Queries(1), policy, options).All();
  ASSERT_EQ(policy.log().size(), 2u);
  EXPECT_EQ(policy.log()[0].count + policy.log()[1].count, 5000);
  EXPECT_EQ(traces[0].samples, 5000);
  RolloutRequest whole = policy.log()[0];
  whole.count = 5000;
  const auto drawn = policy.Sample({&whole, 1}, Progress());
  ASSERT_EQ(traces[0].rollouts.size(), 5000u);
  for (std::size_t i = 0; i < 5000; ++i)
    ASSERT_EQ(traces[0].rollouts[i].tokens, drawn[0][i].tokens) << i;
}

}  // namespace
}  // namespace pivotal::pts
