// Apache-2.0. Tests which pivotal tokens of a run are kept against worlds whose truth is known.
#include "pts/found_tokens.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "pivotal/error.h"
#include "pivotal/search.h"
#include "tests/support/table_world.h"

namespace pivotal::pts {
namespace {

// A run over worlds, with the truth of each reported token in the order of the run.
struct WorldRun {
  std::vector<QueryTrace> traces;
  std::vector<testing::TableWorld> worlds;  // one for each query

  double Change(std::size_t query, const ResponseTrace& response, int32_t k) const {
    const testing::TableWorld& world = worlds[query];
    const double before = world.Success(k == 1 ? world.start() : response.tokens[k - 2]);
    return world.Success(response.tokens[k - 1]) - before;
  }
  // Returns how many pivotal tokens lie below the gap, and how many there are.
  std::pair<double, double> Below(double gap) const {
    double below = 0, all = 0;
    for (std::size_t q = 0; q < traces.size(); ++q)
      for (const ResponseTrace& response : traces[q].responses)
        for (const PivotalToken& token : response.pivotal) {
          below += std::abs(Change(q, response, token.position)) < gap;
          all += 1;
        }
    return {below, all};
  }
};

WorldRun DriftRun(uint64_t first, uint64_t worlds) {
  WorldRun run;
  for (uint64_t seed = first; seed < first + worlds; ++seed) {
    testing::DriftWorldOptions drift;
    drift.seed = seed;
    drift.length = 40 + 10 * static_cast<int32_t>(seed % 6);
    drift.forks = 0.1 + 0.05 * static_cast<double>(seed % 5);
    run.worlds.push_back(testing::DriftWorld(drift));
    const testing::TableWorld& world = run.worlds.back();
    testing::WorldPolicy policy(world, seed);
    const Query query{std::to_string(seed), "", "", {world.start()}};
    SearchOptions options;
    options.max_new_tokens = 1000;
    options.confirm = 0;
    options.confidence = 0.7;  // many tokens are reported that lie below the gap
    const auto judge = [&](const Query&, std::span<const TokenId> response) {
      return world.Success(response.back()) == 1;
    };
    Progress progress;
    Search(
        {&query, 1}, policy, judge, options,
        [&](std::vector<QueryTrace> group) { run.traces.push_back(std::move(group[0])); },
        progress);
  }
  return run;
}

TEST(FoundTokens, AsManyLieBelowTheGapAsAreExpectedTo) {
  WorldRun run = DriftRun(1, 60);
  LearnProbabilities(run.traces, 0.2);
  const auto [all_below, all] = run.Below(0.2);
  const KeptTokens whole = KeepTokens(run.traces, 1);
  EXPECT_EQ(whole.found, static_cast<int64_t>(all));
  EXPECT_EQ(whole.kept, whole.found) << "a share of 1 keeps all";
  EXPECT_NEAR(all_below, whole.false_share * all, 3 * std::sqrt(whole.false_share * all));
  ASSERT_GT(all_below / all, 0.05);

  const KeptTokens few = KeepTokens(run.traces, 0.03);
  const auto [below, kept] = run.Below(0.2);
  EXPECT_EQ(few.kept, static_cast<int64_t>(kept));
  EXPECT_LE(few.false_share, 0.03);
  EXPECT_GT(few.kept, whole.kept / 4);
  EXPECT_LT(few.kept, whole.kept);
  EXPECT_LE(below, 0.03 * kept + 3 * std::sqrt(0.03 * kept));
  EXPECT_LT(below / kept, all_below / all);
}

// A query without rollouts or tokens takes no part.
TEST(FoundTokens, LearnsFromAllQueriesTogether) {
  WorldRun run = DriftRun(1, 12);
  std::vector<QueryTrace> alone, together = run.traces;
  together.push_back({});
  LearnProbabilities(together, 0.2);
  bool differs = false;
  for (std::size_t q = 0; q < run.traces.size(); ++q) {
    alone = {run.traces[q]};
    LearnProbabilities(alone, 0.2);
    for (std::size_t r = 0; r < alone[0].responses.size(); ++r)
      for (std::size_t i = 0; i < alone[0].responses[r].pivotal.size(); ++i) {
        const PivotalToken& mine = alone[0].responses[r].pivotal[i];
        EXPECT_NEAR(mine.probability, run.traces[q].responses[r].pivotal[i].probability, 1e-12)
            << "the prior of one query is that of the search";
        differs |= mine.probability != together[q].responses[r].pivotal[i].probability;
      }
  }
  EXPECT_TRUE(differs);
}

std::vector<QueryTrace> Handmade() {
  std::vector<QueryTrace> run(2);
  run[0].responses.resize(1);
  run[1].responses.resize(1);
  const auto add = [&](std::size_t query, int32_t position, double probability) {
    PivotalToken token;
    token.position = position;
    token.probability = probability;
    run[query].responses[0].pivotal.push_back(token);
    run[query].responses[0].alternatives.push_back({position, 7});
    run[query].responses[0].alternatives.push_back({position, 8});
  };
  add(0, 2, 0.5);
  add(0, 5, 0.98);
  add(1, 1, 0.9);
  add(1, 4, 0.99);
  add(1, 9, 0.5);
  return run;
}

TEST(FoundTokens, TheLeastProbableGoFirst) {
  auto run = Handmade();
  const KeptTokens kept = KeepTokens(run, 0.05);
  EXPECT_EQ(kept.found, 5);
  EXPECT_EQ(kept.kept, 3);
  EXPECT_NEAR(kept.false_share, (0.01 + 0.02 + 0.1) / 3, 1e-12);
  ASSERT_EQ(run[0].responses[0].pivotal.size(), 1u);
  EXPECT_EQ(run[0].responses[0].pivotal[0].position, 5);
  ASSERT_EQ(run[0].responses[0].alternatives.size(), 2u);
  EXPECT_EQ(run[0].responses[0].alternatives[0].position, 5);
  EXPECT_EQ(run[1].responses[0].pivotal.size(), 2u);
}

TEST(FoundTokens, EqualTokensStayOrGoTogether) {
  auto run = Handmade();
  // With one of the two at 0.5 the share would be 0.1575, with both it is 0.226.
  EXPECT_EQ(KeepTokens(run, 0.2).kept, 3);
  run = Handmade();
  EXPECT_EQ(KeepTokens(run, 0.23).kept, 5);
  run = Handmade();
  EXPECT_EQ(KeepTokens(run, 0.005).kept, 0);
  EXPECT_TRUE(run[1].responses[0].pivotal.empty());
}

TEST(FoundTokens, RefusesSharesOutOfRangeAndTokensWithoutRollouts) {
  auto run = Handmade();
  for (const double share : {0.0, -0.1, 1.1, std::nan("")})
    EXPECT_THROW(KeepTokens(run, share), Error) << share;
  run[0].id = "p7";
  try {
    LearnProbabilities(run, 0.2);
    FAIL() << "tokens without rollouts have no probability";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("p7"), std::string::npos);
  }
}

}  // namespace
}  // namespace pivotal::pts
