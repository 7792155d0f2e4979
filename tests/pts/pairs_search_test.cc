// Apache-2.0. Tests the search for pairs against worlds whose success probabilities are known.
#include "pts/pairs_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "data/base/error.h"
#include "pivotal/search.h"
#include "pts/pair_builder.h"
#include "pts/query_search.h"
#include "pts/verdicts.h"
#include "tests/pts/search_run.h"
#include "tests/support/table_world.h"

namespace pivotal::pts {
namespace {

using testing::Move;
using testing::TableWorld;
using testing::WorldPolicy;

// Returns options that take more of a problem than the default, so that few problems are enough.
SearchOptions ForPairs() {
  SearchOptions options = SearchOptions::ForPairs();
  options.max_new_tokens = 1000;
  options.min_yield = 0.02;
  return options;
}

// Returns options that take two waves of rollouts of a prompt at most, for tests that search often.
SearchOptions TwoWaves() {
  SearchOptions options = ForPairs();
  options.samples = options.responses = 16;
  return options;
}

std::vector<Query> QueriesOf(const TableWorld& world, int32_t count) {
  std::vector<Query> queries;
  for (int32_t i = 0; i < count; ++i)
    queries.push_back({fmt::format("q{}", i), "", "", {world.start()}});
  return queries;
}

Judge JudgeOf(const TableWorld& world) {
  return [&world](const Query&, std::span<const TokenId> response) {
    return world.Success(response.back()) == 1;
  };
}

Found Explore(const TableWorld& world, std::span<const Query> queries, const SearchOptions& options,
              const RunSoFar& before = {}, uint64_t seed = 5) {
  WorldPolicy policy(world, seed);
  Found found;
  Progress progress;
  found.summary = Search(
      queries, policy, JudgeOf(world), options,
      [&](std::vector<QueryTrace> group) { found.groups.push_back(std::move(group)); }, progress,
      before);
  return found;
}

int64_t TokensOf(const QueryTrace& query) {
  int64_t tokens = 0;
  for (const RolloutTrace& rollout : query.rollouts) tokens += std::ssize(rollout.tokens);
  return tokens;
}

int64_t TokensOf(const std::vector<QueryTrace>& queries) {
  int64_t tokens = 0;
  for (const QueryTrace& query : queries) tokens += TokensOf(query);
  return tokens;
}

// Calls `visit` with the pivotal tokens that give pairs.
void ForEachPair(const QueryTrace& query, const std::function<void(const PivotalToken&)>& visit) {
  const auto reasons = WhyNoPairs(query, {});
  for (std::size_t r = 0; r < reasons.size(); ++r)
    for (std::size_t i = 0; i < reasons[r].size(); ++i)
      if (reasons[r][i] == NoPair::kNone) visit(query.responses[r].pivotal[i]);
}

// What the pairs of a search are worth, by the truth.
struct Worth {
  double pairs = 0, below = 0, wrong = 0, tokens = 0;
  double TruePerToken() const { return (pairs - below) / tokens; }
};

void AddWorth(const TableWorld& world, const SearchOptions& options, uint64_t seed, Worth& worth) {
  for (const QueryTrace& query : Explore(world, QueriesOf(world, 1), options, {}, seed).All()) {
    worth.tokens += static_cast<double>(TokensOf(query));
    ForEachPair(query, [&](const PivotalToken& token) {
      const double difference = world.Success(token.chosen) - world.Success(token.rejected);
      worth.pairs += 1;
      worth.below += difference < options.gap - 1e-9;
      worth.wrong += difference < 0;
    });
  }
}

// Returns short worlds of different lengths and numbers of forks.
template <typename Options, TableWorld (*make)(const Options&)>
TableWorld Numbered(uint64_t number) {
  Options options;
  options.length = 30 + 10 * static_cast<int32_t>(number % 2);
  options.forks = 0.08 + 0.06 * static_cast<double>(number % 3);
  options.seed = number;
  return make(options);
}

constexpr auto kLane = Numbered<testing::LaneWorldOptions, testing::LaneWorld>;

// The default search measures what it finds as exactly as it can; this one is paid by the pair.
TEST(PairsSearch, PairsAreTrueAndCheap) {
  TableWorld (*const families[])(uint64_t) = {
      kLane,
      Numbered<testing::DriftWorldOptions, testing::DriftWorld>,
      Numbered<testing::RareWorldOptions, testing::RareWorld>,
      Numbered<testing::StrategyWorldOptions, testing::StrategyWorld>,
      Numbered<testing::AlternativesWorldOptions, testing::AlternativesWorld>,
      Numbered<testing::NearWorldOptions, testing::NearWorld>};
  SearchOptions usual;
  usual.max_new_tokens = 1000;
  SearchOptions paid = SearchOptions::ForPairs();
  paid.max_new_tokens = 1000;
  Worth ours, others;
  for (const auto make : families) {
    const TableWorld world = make(1);
    for (uint64_t seed = 1; seed <= 6; ++seed) {
      AddWorth(world, paid, seed, ours);
      AddWorth(world, usual, seed, others);
    }
  }
  EXPECT_GT(ours.pairs, 50);
  EXPECT_LE(ours.below, 0.05 * ours.pairs) << "of " << ours.pairs;
  EXPECT_LE(ours.wrong, 0.01 * ours.pairs) << "of " << ours.pairs;
  EXPECT_GE(ours.TruePerToken(), 4 * others.TruePerToken());
}

TEST(PairsSearch, TheSamePairsWhateverTheGroupTheOrderAndTheThreads) {
  const TableWorld world = kLane(1);
  auto queries = QueriesOf(world, 4);
  SearchOptions options = TwoWaves();
  const auto described = [&](const Found& found) {
    auto texts = Describe(found.All());
    std::ranges::sort(texts);
    return texts;
  };
  const Found found = Explore(world, queries, options);
  EXPECT_GT(found.summary.pairs, 10);
  const auto whole = described(found);
  options.group = 1;
  options.judge_threads = 5;
  EXPECT_EQ(described(Explore(world, queries, options)), whole);
  std::ranges::reverse(queries);
  options.group = 3;
  EXPECT_EQ(described(Explore(world, queries, options)), whole);
  // What an interruption leaves: the rest of the queries, in a call of its own.
  const auto rest = described(Explore(world, std::span(queries).first(2), options));
  EXPECT_TRUE(std::ranges::includes(whole, rest));
}

// Returns a world of one fork: token 1 leads to the right end (3), token 2 to the wrong one (4).
TableWorld OneFork(double right) {
  return {{{{1, right}, {2, 1 - right}}, {{3, 1.0}}, {{4, 1.0}}, {}, {}}, 3};
}

// Returns how many rollouts of the prompt a query got.
int64_t PromptRollouts(const QueryTrace& query) {
  return std::ranges::count(query.rollouts, RolloutKind::kQuery, &RolloutTrace::kind);
}

TEST(PairsSearch, WhatIsFarOutOfTheBandCostsEightRollouts) {
  for (const double right : {0.0001, 0.9999}) {
    const TableWorld world = OneFork(right);
    for (const QueryTrace& query : Explore(world, QueriesOf(world, 20), ForPairs()).All()) {
      EXPECT_EQ(query.rollouts.size(), 8u);
      EXPECT_EQ(query.samples, 8);
      EXPECT_FALSE(query.searched);
      EXPECT_TRUE(query.complete);
      EXPECT_TRUE(query.responses.empty());
    }
  }
}

// At the border of the band the query is in doubt until all rollouts are drawn, or until it is
// clearly inside or outside.
TEST(PairsSearch, DoubtAboutTheBandCostsMoreRollouts) {
  const TableWorld world = OneFork(0.2);
  int64_t most = 0;
  for (const QueryTrace& query : Explore(world, QueriesOf(world, 100), ForPairs()).All()) {
    EXPECT_EQ(query.samples % 8, 0);
    EXPECT_LE(query.samples, 32);
    EXPECT_EQ(query.samples, PromptRollouts(query));
    if (query.searched) {
      EXPECT_GE(query.successes, 1);
    } else {
      most = std::max<int64_t>(most, query.samples);
    }
  }
  EXPECT_GT(most, 8);
}

TEST(PairsSearch, AProblemThatPaysGetsMoreResponses) {
  const TableWorld pays = kLane(1);
  const SearchOptions options = ForPairs();
  for (const QueryTrace& query : Explore(pays, QueriesOf(pays, 3), options).All()) {
    EXPECT_GT(PairsIn(query), 0);
    EXPECT_GT(query.samples, 8);
    EXPECT_GT(query.responses.size(), 8u);
    EXPECT_LE(query.samples, options.samples);
    EXPECT_LE(std::ssize(query.responses), options.responses);
  }
  // Only the last token of a response changes p by more than a little.
  const TableWorld words = {{{{1, 0.5}, {2, 0.5}},
                             {{3, 0.5}, {4, 0.5}},
                             {{3, 0.5}, {4, 0.5}},
                             {{5, 0.55}, {6, 0.45}},
                             {{5, 0.55}, {6, 0.45}},
                             {{7, 0.6}, {8, 0.4}},
                             {{7, 0.4}, {8, 0.6}},
                             {},
                             {}},
                            7};
  SearchOptions strict = options;
  strict.gap = 0.7;                                // no token changes p by as much
  strict.min_success = 0, strict.max_success = 1;  // there is no doubt about the band
  for (const QueryTrace& query : Explore(words, QueriesOf(words, 20), strict).All()) {
    EXPECT_EQ(PairsIn(query), 0);
    EXPECT_TRUE(query.searched);
    EXPECT_EQ(query.samples, 8);
    EXPECT_LE(query.responses.size(), 8u);
  }
  // One response is searched at most if the options say so, however much it pays.
  SearchOptions one = options;
  one.responses = 1;
  for (const QueryTrace& query : Explore(pays, QueriesOf(pays, 3), one).All()) {
    EXPECT_EQ(query.responses.size(), 1u);
    EXPECT_LE(query.samples, 16);
  }
}

// A response that stays from wave to wave keeps its number and its pairs.
TEST(PairsSearch, LaterWavesKeepTheResponsesOfEarlierOnes) {
  const TableWorld world = kLane(1);
  SearchOptions options = ForPairs();
  const auto longer = Explore(world, QueriesOf(world, 1), options).All().at(0);
  options.samples = 8;
  const auto shorter = Explore(world, QueriesOf(world, 1), options).All().at(0);
  ASSERT_GT(longer.responses.size(), shorter.responses.size());
  for (std::size_t r = 0; r < shorter.responses.size(); ++r)
    EXPECT_EQ(longer.responses[r].tokens, shorter.responses[r].tokens);
  EXPECT_GT(PairsIn(longer), PairsIn(shorter));
  EXPECT_GT(PairsIn(shorter), 0);
}

TEST(PairsSearch, EndsWithTheNumberOfPairsThatItWasAskedFor) {
  const TableWorld world = kLane(1);
  SearchOptions options = TwoWaves();
  options.group = 1;
  const auto queries = QueriesOf(world, 4);
  const Found whole = Explore(world, queries, options);
  EXPECT_EQ(whole.summary.undone + whole.summary.cut_short, 0);
  ASSERT_GT(whole.summary.pairs, 15);
  for (const int64_t pairs : {int64_t{1}, whole.summary.pairs / 2}) {
    options.pairs = pairs;
    const Found part = Explore(world, queries, options);
    EXPECT_GE(part.summary.pairs, pairs);
    EXPECT_LT(part.summary.pairs, pairs + 30) << "a round may confirm several at once";
    EXPECT_GT(part.summary.undone, 0);
    EXPECT_EQ(part.summary.undone + part.summary.queries, 4);
    EXPECT_LT(TokensOf(part.All()), TokensOf(whole.All()));
    // What an earlier call has stored counts.
    const Found more = Explore(world, queries, options, {.tokens = 0, .pairs = pairs - 1});
    EXPECT_GE(more.summary.pairs, 1);
    EXPECT_LE(more.summary.pairs, part.summary.pairs);
    const Found none = Explore(world, queries, options, {.tokens = 0, .pairs = pairs});
    EXPECT_EQ(none.summary.undone, 4);
    EXPECT_TRUE(none.groups.empty());
  }
}

// The number of pairs ends every search, not this one alone.
TEST(PairsSearch, OtherStrategiesEndWithANumberOfPairs) {
  const TableWorld world = kLane(1);
  SearchOptions options;
  options.max_new_tokens = 1000;
  options.group = 1;
  options.pairs = 2;
  const Found found = Explore(world, QueriesOf(world, 30), options);
  EXPECT_GE(found.summary.pairs, 2);
  EXPECT_GT(found.summary.undone, 0);
  EXPECT_EQ(found.summary.undone + found.summary.queries, 30);
}

// Expects what readers of a trace rely on.
void ExpectValid(const QueryTrace& query, const SearchOptions& options) {
  EXPECT_EQ(query.samples, PromptRollouts(query));
  for (const ResponseTrace& response : query.responses) {
    const auto n = std::ssize(response.tokens);
    EXPECT_EQ(std::ssize(response.estimates), n + 1);
    int32_t last = 0;
    for (const PivotalToken& token : response.pivotal) {
      EXPECT_GT(token.position, last);
      EXPECT_LE(token.position, n);
      last = token.position;
      EXPECT_EQ(token.chosen < 0, token.rejected < 0);
      EXPECT_LE(token.chosen_samples, options.confirm);
      EXPECT_LE(token.rejected_samples, options.confirm);
      EXPECT_LE(token.chosen_successes, token.chosen_samples);
      EXPECT_LE(token.rejected_successes, token.rejected_samples);
      EXPECT_EQ(token.sequential, token.chosen >= 0);
      EXPECT_EQ(token.evidence > 0, token.chosen >= 0);
      if (token.chosen < 0) continue;
      EXPECT_NE(token.chosen, token.rejected);
      const TokenId own = response.tokens[token.position - 1];
      EXPECT_EQ(token.after > token.before ? token.chosen : token.rejected, own);
      EXPECT_EQ(token.gap_evidence > 0, token.evidence > 0);
    }
  }
  for (const RolloutTrace& rollout : query.rollouts) {
    EXPECT_LT(rollout.response, std::ssize(query.responses));
    if (rollout.response < 0) continue;
    EXPECT_LE(rollout.position, std::ssize(query.responses[rollout.response].tokens));
  }
}

// A budget cuts the search in every stage: among rollouts of the prompt, of the strategy, of tests,
// in the first wave and later.
TEST(PairsSearch, ABudgetIsNeverExceededAndLeavesValidTraces) {
  const TableWorld world = kLane(1);
  SearchOptions options = TwoWaves();
  options.max_new_tokens = 60;
  const auto queries = QueriesOf(world, 1);
  const int64_t whole = TokensOf(Explore(world, queries, options).All());
  std::set<RolloutKind> last;
  int64_t pairs = 0;
  for (options.budget_tokens = 500; options.budget_tokens < whole;
       options.budget_tokens += whole / 15) {
    const Found found = Explore(world, queries, options);
    EXPECT_LE(TokensOf(found.All()), options.budget_tokens);
    EXPECT_EQ(found.summary.undone + found.summary.queries, 1);
    for (const QueryTrace& query : found.All()) {
      ExpectValid(query, options);
      last.insert(query.rollouts.back().kind);
      pairs += PairsIn(query);
      EXPECT_EQ(found.summary.pairs, PairsIn(query));
    }
    // The same budget of a run that has spent some of it.
    const Found less = Explore(world, queries, options, {.tokens = 300, .pairs = 0});
    EXPECT_LE(TokensOf(less.All()), options.budget_tokens - 300);
  }
  EXPECT_GT(pairs, 0);
  EXPECT_TRUE(last.contains(RolloutKind::kLeaving));
  EXPECT_TRUE(last.contains(RolloutKind::kChosen) || last.contains(RolloutKind::kRejected));
}

// Every number of pairs cuts at another moment.
TEST(PairsSearch, WhatIsCutByPairsIsValid) {
  const TableWorld world = kLane(1);
  SearchOptions options = TwoWaves();
  int cut = 0;
  for (options.pairs = 1; options.pairs <= 12; ++options.pairs) {
    for (const QueryTrace& query : Explore(world, QueriesOf(world, 2), options).All()) {
      ExpectValid(query, options);
      cut += !query.complete;
    }
  }
  EXPECT_GT(cut, 5);
}

// Whenever a query is cut, its trace is valid: before or after an answer, in every stage and wave.
TEST(PairsSearch, ATraceIsValidWheneverItIsCut) {
  const TableWorld world = kLane(1);
  const Query query = QueriesOf(world, 1).at(0);
  const SearchOptions options = TwoWaves();
  const Judge by_the_world = JudgeOf(world);
  CountingJudge judge(by_the_world, 0);
  std::set<RolloutKind> last;  // kinds of the rollouts before a cut
  bool ended = false;
  for (int rounds = 0; !ended; rounds += 1 + rounds / 4) {
    for (const bool answered : {true, false}) {
      WorldPolicy policy(world, 5);
      QuerySearch search(query, options, judge);
      bool done = false;
      for (int round = 0; round <= rounds && !done; ++round) {
        std::vector<RolloutRequest> requests;
        for (const RatedRequest& rated : search.Next()) requests.push_back(rated.request);
        done = requests.empty();
        if (round == rounds && !answered) break;
        std::vector<JudgedRollouts> answers;
        for (auto& rollouts : policy.Sample(requests, Progress())) {
          JudgedRollouts& answer = answers.emplace_back();
          for (const Rollout& rollout : rollouts)
            answer.verdicts.push_back(judge(query, rollout.tokens));
          answer.rollouts = std::move(rollouts);
        }
        if (!done) search.Supply(std::move(answers));
      }
      EXPECT_EQ(search.done(), done);
      const int64_t pairs = search.pairs();
      if (!done) search.CutShort();
      EXPECT_TRUE(search.done());
      if (!search.started()) continue;
      const QueryTrace trace = search.Take();
      EXPECT_EQ(trace.complete, done);
      ended = ended || done;
      ExpectValid(trace, options);
      EXPECT_EQ(PairsIn(trace), pairs);
      if (!trace.rollouts.empty()) last.insert(trace.rollouts.back().kind);
    }
  }
  EXPECT_GE(last.size(), 3u);
}

// The right end and the wrong one are tokens of one place, so verdicts stand for rollouts.
TEST(PairsSearch, SidesThatEndTheResponseNeedNoRollouts) {
  const TableWorld world = {{{{1, 1.0}}, {{2, 0.5}, {3, 0.5}}, {}, {}}, 2};
  int64_t pairs = 0;
  for (const QueryTrace& query : Explore(world, QueriesOf(world, 10), ForPairs()).All()) {
    for (const RolloutTrace& rollout : query.rollouts) EXPECT_EQ(rollout.forced, -1);
    ForEachPair(query, [&](const PivotalToken& token) {
      ++pairs;
      EXPECT_EQ(token.chosen, 2);
      EXPECT_EQ(token.rejected, 3);
      EXPECT_EQ(token.chosen_samples, 32);
      EXPECT_EQ(token.chosen_successes, 32);
      EXPECT_EQ(token.rejected_samples, 32);
      EXPECT_EQ(token.rejected_successes, 0);
      EXPECT_GE(token.evidence, 20);
      EXPECT_TRUE(token.sequential);
    });
    ExpectValid(query, ForPairs());
  }
  EXPECT_EQ(pairs, 10) << "one for each problem";
}

// The fresh rollouts of a pair are those of its sides, in the order drawn, and no others.
TEST(PairsSearch, CountsAreThoseOfTheFreshRollouts) {
  const TableWorld world = kLane(1);
  int checked = 0;
  for (const QueryTrace& query : Explore(world, QueriesOf(world, 2), ForPairs()).All()) {
    ExpectValid(query, ForPairs());
    using Path = std::vector<TokenId>;
    std::map<Path, std::pair<int32_t, int32_t>> counts;  // samples and successes by path
    for (const RolloutTrace& rollout : query.rollouts) {
      if (rollout.forced < 0) continue;
      Path path = Prefix(query, rollout.response, rollout.position);
      path.push_back(rollout.forced);
      auto& [samples, successes] = counts[path];
      ++samples;
      successes += rollout.success;
    }
    for (int32_t r = 0; r < std::ssize(query.responses); ++r) {
      for (const PivotalToken& token : query.responses[r].pivotal) {
        if (token.chosen < 0) continue;
        Path path = Prefix(query, r, token.position - 1);
        for (const auto& [side, samples, successes] :
             {std::tuple{token.chosen, token.chosen_samples, token.chosen_successes},
              {token.rejected, token.rejected_samples, token.rejected_successes}}) {
          if (world.IsEnd(side)) continue;
          path.push_back(side);
          EXPECT_EQ(counts[path], std::pair(samples, successes));
          path.pop_back();
          ++checked;
        }
      }
    }
  }
  EXPECT_GT(checked, 50);
}

TEST(SearchOptions, PairsNeedFreshRollouts) {
  SearchOptions options = ForPairs();
  options.Validate();
  options.confirm = 0;
  EXPECT_THROW(options.Validate(), Error);
  options = ForPairs();
  options.pairs = -1;
  EXPECT_THROW(options.Validate(), Error);
}

}  // namespace
}  // namespace pivotal::pts
