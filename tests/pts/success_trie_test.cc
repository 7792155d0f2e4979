// Apache-2.0. Tests the counts of the trie, and success probabilities as sums over strata.
#include "pts/success_trie.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "data/base/error.h"
#include "pts/strata.h"
#include "tests/support/table_world.h"

namespace pivotal::pts {
namespace {

using testing::LaneWorld;
using testing::TableWorld;
using testing::WorldPolicy;

std::vector<float> Halves(std::size_t count) { return std::vector<float>(count, std::log(0.5f)); }

void Add(SuccessTrie& trie, int32_t node, std::vector<TokenId> tokens, bool success,
         SuccessTrie::Start start = SuccessTrie::Start::kFree) {
  trie.AddRollout(node, tokens, Halves(tokens.size()), success, start);
}

TEST(SuccessTrie, ARolloutCountsWhereItLeavesTheResponses) {
  SuccessTrie trie;
  trie.AddResponse(std::vector<TokenId>{1, 2, 3}, Halves(3), true);
  trie.AddResponse(std::vector<TokenId>{1, 4, 5}, Halves(3), false);
  const auto first = trie.Path(0), second = trie.Path(1);
  EXPECT_EQ(first[1], second[1]);
  EXPECT_NE(first[2], second[2]);
  EXPECT_EQ(trie[first[1]].leave, 0);  // the two children have 1/2 each
  EXPECT_NEAR(trie[first[2]].leave, 0.5, 1e-7);
  EXPECT_EQ(trie[first[3]].leave, 0);

  Add(trie, 0, {1, 2, 9}, true);   // leaves after 1 2
  Add(trie, 0, {8}, false);        // leaves at once
  Add(trie, 0, {1, 4, 5}, false);  // repeats a response
  Add(trie, first[2], {7}, false, SuccessTrie::Start::kLeaving);
  EXPECT_EQ(trie[0].started.samples, 3);
  EXPECT_EQ(trie[0].started.successes, 1);
  EXPECT_EQ(trie[0].left.samples, 1);
  EXPECT_EQ(trie[first[2]].left.samples, 2);
  EXPECT_EQ(trie[first[2]].left.successes, 1);
  EXPECT_EQ(trie[first[2]].leaving_starts, 1);
  EXPECT_EQ(trie[first[2]].branches.at(9).estimate.samples, 1);
  EXPECT_EQ(trie[second[2]].left.samples, 0);

  RolloutTrace fresh;
  fresh.kind = RolloutKind::kChosen;
  fresh.response = 0;
  fresh.position = 1;
  fresh.forced = 2;
  fresh.tokens = {3};
  fresh.logprobs = Halves(1);
  AddRollout(fresh, trie);  // a fresh rollout of a pair tests what was found, and is left out
  EXPECT_EQ(trie[first[2]].started.samples, 0);
  EXPECT_EQ(trie[first[2]].left.samples, 2);
}

// Returns the trace of a query with five rollouts of the prompt, the first and third of which
// became responses, and one rollout after the first token.
QueryTrace SmallTrace() {
  QueryTrace trace;
  const auto add = [&](RolloutKind kind, int32_t response, std::vector<TokenId> tokens,
                       bool right) {
    const auto halves = Halves(tokens.size());
    trace.rollouts.push_back({kind, response, response + 1, -1, tokens, halves, {}, right});
  };
  add(RolloutKind::kQuery, -1, {1, 2}, true);
  add(RolloutKind::kQuery, -1, {1, 7}, true);
  add(RolloutKind::kQuery, -1, {3, 4}, false);
  add(RolloutKind::kQuery, -1, {1, 8}, false);
  add(RolloutKind::kQuery, -1, {5}, true);
  add(RolloutKind::kPrefix, 0, {9}, true);
  for (int i : {0, 2}) {
    ResponseTrace response;
    response.tokens = trace.rollouts[i].tokens;
    response.logprobs = trace.rollouts[i].logprobs;
    response.success = trace.rollouts[i].success;
    trace.responses.push_back(response);
  }
  return trace;
}

TEST(SuccessTrie, RolloutsOfThePromptChooseAndAreNoSamples) {
  const SuccessTrie trie = TrieOf(SmallTrace());
  const int32_t one = trie.Path(0)[1];
  EXPECT_EQ(trie[0].started.samples, 0);
  EXPECT_EQ(trie[0].left.samples, 0);
  EXPECT_EQ(trie[0].hints.samples, 1);
  EXPECT_EQ(trie[0].hints.successes, 1);
  EXPECT_EQ(trie[one].hints.samples, 1) << "the second chose the responses, too";
  EXPECT_EQ(trie[one].hints.successes, 0);
  EXPECT_EQ(trie[one].left.samples, 1);
  EXPECT_EQ(trie[one].started.samples, 1);
}

// A hint is the best guess of a q without samples, and no reason for a narrower interval.
TEST(Strata, HintsMoveTheMeanAndNotTheInterval) {
  for (int hints : {0, 4}) {
    SuccessTrie trie;
    trie.AddResponse(std::vector<TokenId>{1}, Halves(1), true);
    for (int i = 0; i < hints; ++i) Add(trie, 0, {2}, i == 0, SuccessTrie::Start::kHint);
    const Strata strata(trie, 0.2);
    const LinearEstimate value = strata.Value(0);
    EXPECT_NEAR(value.Mean(), hints == 0 ? 0.75 : 0.625, 1e-6);
    EXPECT_NEAR(value.Bounds(2).low, 0.5, 1e-6);
    EXPECT_NEAR(value.Bounds(2).high, 1, 1e-6);
  }
}

TEST(SuccessTrie, TracesThatCountedThePromptAreReadAsTheyWereWritten) {
  QueryTrace trace = SmallTrace();
  for (ResponseTrace& response : trace.responses) response.estimates = {{0, 5, 3, 0.5, 0, 1}};
  const SuccessTrie trie = TrieOf(trace);
  const int32_t one = trie.Path(0)[1];
  EXPECT_EQ(trie[0].started.samples, 2);
  EXPECT_EQ(trie[0].left.samples, 1);
  EXPECT_EQ(trie[0].hints.samples, 0);
  EXPECT_EQ(trie[one].left.samples, 2);
  EXPECT_EQ(trie[one].left.successes, 1);
}

TEST(SuccessTrie, RefusesWhatWouldMakeItWrong) {
  SuccessTrie trie;
  trie.AddResponse(std::vector<TokenId>{1, 2}, Halves(2), true);
  EXPECT_THROW(trie.AddResponse(std::vector<TokenId>{1, 2}, Halves(2), true), Error);
  EXPECT_THROW(trie.AddResponse(std::vector<TokenId>{3}, Halves(2), true), Error);
  EXPECT_THROW(trie.AddResponse({}, {}, true), Error);
  EXPECT_THROW(trie.AddResponse(std::vector<TokenId>{1, 2, 3}, Halves(3), true), Error);
  Add(trie, 0, {5}, true);
  EXPECT_THROW(trie.AddResponse(std::vector<TokenId>{3}, Halves(1), true), Error);
}

// Computes p of a node from the means of q by the plain recursion.
double Recursion(const SuccessTrie& trie, int32_t node) {
  if (trie[node].ends) return trie[node].success ? 1 : 0;
  double p = 0, stay = 0;
  for (int32_t child : trie[node].children) {
    p += trie[child].probability * Recursion(trie, child);
    stay += trie[child].probability;
  }
  return p + (1 - stay) * trie[node].left.Mean();
}

// Returns responses of a world with `count` rollouts that leave them at every node.
SuccessTrie Explored(const TableWorld& world, int32_t responses, int32_t count) {
  WorldPolicy policy(world, 3);
  const auto right = [&](const Rollout& r) { return world.Success(r.tokens.back()) == 1; };
  RolloutRequest request{{world.start()}, responses, 1000, 1, 0, {}};
  SuccessTrie trie;
  const auto drawn = policy.Sample({&request, 1}, Progress());
  for (const auto& r : drawn[0]) trie.AddResponse(r.tokens, r.logprobs, right(r));
  for (int32_t node = 0; node < trie.size(); ++node) {
    if (trie[node].leave == 0) continue;
    RolloutRequest leaving{{node == 0 ? world.start() : trie[node].token},
                           count,
                           1000,
                           static_cast<uint64_t>(node) + 2,
                           0,
                           {}};
    for (int32_t child : trie[node].children) leaving.excluded.push_back(trie[child].token);
    const auto left = policy.Sample({&leaving, 1}, Progress());
    for (const auto& r : left[0])
      trie.AddRollout(node, r.tokens, r.logprobs, right(r), SuccessTrie::Start::kLeaving);
  }
  return trie;
}

TEST(Strata, SumsAreTheRecursionAndTheTruth) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    testing::LaneWorldOptions options;
    options.length = 30;
    options.forks = 0.4;
    options.seed = seed;
    const TableWorld world = LaneWorld(options);
    const SuccessTrie trie = Explored(world, 3, 400);
    const Strata alone(trie, 1e-9), pooled(trie, 0.2);
    for (int32_t node = 0; node < trie.size(); ++node) {
      const double truth = world.Success(node == 0 ? world.start() : trie[node].token);
      // Strata of one node give the recursion itself. Pooled strata mix q in other proportions.
      EXPECT_NEAR(alone.Value(node).Mean(), Recursion(trie, node), 1e-5);
      const LinearEstimate value = pooled.Value(node);
      EXPECT_NEAR(value.Mean(), truth, 5 * std::sqrt(value.Variance()) + 0.05) << node;
      const Interval bounds = alone.Value(node).Bounds(4.5);
      EXPECT_LE(bounds.low - 1e-5, truth);
      EXPECT_GE(bounds.high + 1e-5, truth);
      for (int32_t at = node; at >= 0; at = trie[at].parent)
        EXPECT_NEAR(alone.Change(at, node).Mean(),
                    alone.Value(node).Mean() - alone.Value(at).Mean(), 1e-5);
    }
  }
}

TEST(Strata, PooledNodesAreChosenAsAFreeRolloutWouldLeave) {
  SuccessTrie trie;
  const std::vector<float> logprobs = {std::log(0.9f), std::log(0.95f), std::log(0.92f)};
  trie.AddResponse(std::vector<TokenId>{1, 2, 3}, logprobs, true);
  const Strata strata(trie, 0.5);
  ASSERT_EQ(strata.all().size(), 1u);
  const double mass = 1 - 0.9 * 0.95 * 0.92;
  EXPECT_NEAR(strata.all()[0].mass, mass, 1e-6);
  EXPECT_EQ(strata.LeavingNode(0, 0.0), 0);
  EXPECT_EQ(strata.LeavingNode(0, 0.1 / mass - 1e-4), 0);
  EXPECT_EQ(strata.LeavingNode(0, 0.1 / mass + 1e-4), 1);
  EXPECT_EQ(strata.LeavingNode(0, (0.1 + 0.9 * 0.05) / mass + 1e-4), 2);
  EXPECT_EQ(strata.LeavingNode(0, 0.999999), 2);
}

}  // namespace
}  // namespace pivotal::pts
