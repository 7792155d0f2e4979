// Apache-2.0. Tests the path-anchored search against exact truth, and token budgets.
#include "pts/anchored_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "data/base/error.h"
#include "pivotal/search.h"
#include "pts/success_trie.h"
#include "tests/pts/search_run.h"
#include "tests/support/table_world.h"

namespace pivotal::pts {
namespace {

using testing::LaneWorld;
using testing::TableWorld;
using testing::WorldPolicy;

TableWorld WorldOf(uint64_t seed) {
  testing::LaneWorldOptions options;
  options.length = 60 + 10 * static_cast<int32_t>(seed % 8);
  options.forks = 0.05 + 0.05 * static_cast<double>(seed % 6);
  options.seed = seed;
  return LaneWorld(options);
}

std::vector<QueryTrace> Explore(const TableWorld& world, const SearchOptions& options,
                                SearchSummary* summary = nullptr, int32_t queries = 1) {
  WorldPolicy policy(world, 5);
  std::vector<Query> prompts;
  for (int32_t i = 0; i < queries; ++i)
    prompts.push_back({fmt::format("q{}", i), "", "", {world.start()}});
  std::vector<QueryTrace> traces;
  Progress progress;
  const auto got = Search(
      prompts, policy,
      [&](const Query&, std::span<const TokenId> response) {
        return world.Success(response.back()) == 1;
      },
      options,
      [&](std::vector<QueryTrace> group) { std::ranges::move(group, std::back_inserter(traces)); },
      progress);
  if (summary != nullptr) *summary = got;
  return traces;
}

SearchOptions Anchored() {
  SearchOptions options;
  options.max_new_tokens = 1000;
  options.confirm = 8;
  options.min_success = 0.1;
  options.max_success = 0.9;
  return options;
}

// Counts over 80 worlds. The bounds leave room for sampling error; bench/search_vs_truth.cc
// measures the rates.
TEST(AnchoredSearch, FindsWhatIsPivotalAndLittleElse) {
  int32_t strong = 0, found = 0, reported = 0, wrong = 0, covered = 0, values = 0, inside = 0;
  for (uint64_t seed = 1; seed <= 80; ++seed) {
    const TableWorld world = WorldOf(seed);
    for (const auto& query : Explore(world, Anchored())) {
      for (const auto& response : query.responses) {
        const auto p = [&](int32_t k) {
          return world.Success(k == 0 ? world.start() : response.tokens[k - 1]);
        };
        std::set<int32_t> positions;
        for (const auto& token : response.pivotal) {
          const double delta = p(token.position) - p(token.position - 1);
          positions.insert(token.position);
          ++reported;
          wrong += std::abs(delta) < 0.15;
          covered += delta > token.low - 1e-6 && delta < token.high + 1e-6;
        }
        for (int32_t k = 1; k <= std::ssize(response.tokens); ++k) {
          if (std::abs(p(k) - p(k - 1)) < 0.25) continue;
          ++strong;
          found += positions.contains(k);
        }
        ASSERT_EQ(response.estimates.size(), response.tokens.size() + 1);
        for (const auto& estimate : response.estimates) {
          ++values;
          inside += p(estimate.position) > estimate.low - 1e-6 &&
                    p(estimate.position) < estimate.high + 1e-6;
        }
      }
    }
  }
  EXPECT_GT(strong, 80);
  EXPECT_GE(found, 0.9 * strong);
  EXPECT_LE(wrong, 0.05 * reported);
  EXPECT_GE(covered, 0.95 * reported);
  EXPECT_GE(inside, 0.95 * values);
}

// Because abs(d_k) <= 1 - pi_k, only the first token and rare slips can be pivotal here.
TEST(AnchoredSearch, AResponseWithoutForksCostsFewRollouts) {
  testing::LaneWorldOptions options;
  options.forks = 0;
  options.length = 60;
  for (options.seed = 1; options.seed <= 10; ++options.seed) {
    const TableWorld world = LaneWorld(options);
    for (const auto& query : Explore(world, Anchored())) {
      const auto leaving =
          std::ranges::count(query.rollouts, RolloutKind::kLeaving, &RolloutTrace::kind);
      EXPECT_LT(leaving, 200) << options.seed;
      for (const auto& response : query.responses)
        for (const auto& token : response.pivotal)  // a slip has 1 - pi near 1
          EXPECT_GE(1 - std::exp(response.logprobs[token.position - 1]), 0.2);
    }
  }
}

TEST(AnchoredSearch, AStoredQueryGivesTheTrieThatTheSearchHad) {
  const TableWorld world = WorldOf(4);
  for (const auto& query : Explore(world, Anchored(), nullptr, 3)) {
    if (query.responses.empty()) continue;
    const SuccessTrie trie = TrieOf(query);
    const Strata strata(trie, 0.2);
    for (int32_t r = 0; r < trie.responses(); ++r)
      for (const auto& estimate : query.responses[r].estimates)
        EXPECT_NEAR(strata.Value(trie.Path(r)[estimate.position]).Mean(), estimate.mean, 1e-12);
  }
}

// One token has one p: what the search went by is what the curve shows, although fresh rollouts of
// the pairs came after it.
TEST(AnchoredSearch, PivotalTokensLieOnTheCurve) {
  const TableWorld world = WorldOf(4);
  int tokens = 0;
  for (const auto& query : Explore(world, Anchored(), nullptr, 6))
    for (const auto& response : query.responses)
      for (const auto& token : response.pivotal) {
        tokens += token.chosen_samples > 0;
        EXPECT_EQ(response.estimates[token.position - 1].mean, token.before);
        EXPECT_EQ(response.estimates[token.position].mean, token.after);
      }
  EXPECT_GT(tokens, 0);
}

TEST(Search, EveryStrategyIsIndependentOfItsGroup) {
  const TableWorld world = WorldOf(4);
  for (auto kind : {StrategyKind::kAnchored, StrategyKind::kSubdivide,
                    StrategyKind::kSubdivideLength, StrategyKind::kExhaustive}) {
    SearchOptions options = Anchored();
    options.kind = kind;
    options.samples = 12;
    auto one = Explore(world, options, nullptr, 5);
    options.group = 2;
    auto two = Explore(world, options, nullptr, 5);
    EXPECT_EQ(Describe(one), Describe(two)) << kStrategyNames.Name(kind);
  }
}

TEST(AnchoredSearch, MaxRolloutsAreNeverExceeded) {
  const TableWorld world = WorldOf(4);
  SearchOptions options = Anchored();
  options.min_yield = 1e-9;
  options.confirm = 0;  // leaves only the rollouts of the strategy
  for (const int32_t most : {1, 3, 30, 50, 161}) {
    options.max_rollouts = most;
    for (const auto& query : Explore(world, options, nullptr, 3)) {
      int64_t leaving = 0;
      for (const auto& rollout : query.rollouts) leaving += rollout.kind == RolloutKind::kLeaving;
      const int64_t whole = most * std::ssize(query.responses);
      EXPECT_EQ(leaving, whole - whole % 4) << "in units of four";
    }
  }
}

TEST(Search, ATokenBudgetEndsTheRunAndSaysWhatIsLeft) {
  const TableWorld world = WorldOf(4);
  SearchOptions options = Anchored();
  options.max_new_tokens = 200;
  options.group = 4;
  SearchSummary whole;
  Explore(world, options, &whole, 12);
  EXPECT_EQ(whole.undone + whole.cut_short, 0);
  options.budget_tokens = 60'000;
  SearchSummary part;
  const auto traces = Explore(world, options, &part, 12);
  int64_t generated = 0;
  for (const auto& query : traces) {
    for (const auto& rollout : query.rollouts) generated += std::ssize(rollout.tokens);
    EXPECT_FALSE(query.rollouts.empty());
  }
  EXPECT_LE(generated, options.budget_tokens);
  EXPECT_GT(generated, options.budget_tokens - options.samples * options.max_new_tokens)
      << "what a prompt could cost may stay unused";
  EXPECT_GT(part.undone + part.cut_short, 0);
  EXPECT_EQ(part.undone + part.queries, 12);
  // The first batch is granted by the longest that its rollouts may be; what it leaves waits for
  // the next batch.
  options.group = 12;
  Explore(world, options, &part, 12);
  EXPECT_EQ(part.undone, 0);
  EXPECT_GT(part.cut_short, 0);
  options.budget_tokens = 0;
  options.budget_seconds = 1e-9;
  Explore(world, options, &part, 12);
  EXPECT_EQ(part.undone, 12);
}

TEST(Strategy, NamesAndBadOptions) {
  for (const char* name :
       {"anchored", "subdivide", "subdivide-length", "exhaustive", "pairs", "none"})
    EXPECT_EQ(kStrategyNames.Name(kStrategyNames.Parse(name)), name);
  EXPECT_EQ(kStrategyNames.Names().size(), 6u);
  EXPECT_THROW(kStrategyNames.Parse("anchor"), Error);
  StrategyOptions options;
  options.tolerance = 0.2;
  EXPECT_THROW(options.Validate(), Error);
  options.tolerance = 0.1;
  options.confidence = 1;
  EXPECT_THROW(options.Validate(), Error);
  options.confidence = 0.9;
  options.min_yield = 0;
  EXPECT_THROW(options.Validate(), Error);
}

}  // namespace
}  // namespace pivotal::pts
