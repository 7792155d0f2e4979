// Apache-2.0. Search against a Markov chain whose success probabilities are known.
#include "pts/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include "data/error.h"
#include "tests/support/markov_policy.h"

namespace pivotal::pts {
namespace {

using data::RolloutKind;
using testing::ForkChain;
using ::testing::HasSubstr;
using testing::MarkovChain;
using testing::MarkovPolicy;
using testing::RandomChain;

// Prompts of two tokens that end in 0.
std::vector<Query> Queries(int32_t count) {
  std::vector<Query> queries;
  for (int32_t i = 0; i < count; ++i)
    queries.push_back({fmt::format("q{}", i), fmt::format("question {}", i), "answer", {1, 0}});
  return queries;
}

Judge Verdict(const MarkovChain& chain) {
  return [chain](const Query& query, std::span<const TokenId> response) {
    return chain.IsRight(query.prompt.back(), response);
  };
}

struct Found {
  std::vector<std::vector<data::QueryTrace>> groups;
  SearchSummary summary;

  std::vector<data::QueryTrace> All() const {
    std::vector<data::QueryTrace> all;
    for (const auto& group : groups) all.insert(all.end(), group.begin(), group.end());
    return all;
  }
};

void ExploreInto(Found& found, std::span<const Query> queries, MarkovPolicy& policy,
                 const SearchOptions& options, Progress& progress) {
  found.summary = Search(
      queries, policy, Verdict(policy.chain()), options,
      [&](std::vector<data::QueryTrace> group) { found.groups.push_back(std::move(group)); },
      progress);
}

Found Explore(std::span<const Query> queries, MarkovPolicy& policy, const SearchOptions& options) {
  Found found;
  Progress progress;
  ExploreInto(found, queries, policy, options, progress);
  return found;
}

SearchOptions Wide() {  // searches every query
  SearchOptions options;
  options.min_success = 0;
  options.max_success = 1;
  return options;
}

// Everything in a trace, for comparison.
std::string Describe(const data::QueryTrace& q) {
  std::string text = fmt::format("{} {} {} {} {}/{} {}\n", q.id, q.question, q.answer,
                                 fmt::join(q.prompt, ","), q.successes, q.samples, q.searched);
  for (const auto& r : q.responses) {
    text += fmt::format("response {} {} {} {}\n", fmt::join(r.tokens, ","),
                        fmt::join(r.logprobs, ","), static_cast<int>(r.finish), r.success);
    for (const auto& e : r.estimates)
      text += fmt::format("  p_{} = {}/{} {}\n", e.position, e.successes, e.samples, e.mean);
    for (const auto& t : r.pivotal)
      text += fmt::format("  t_{} {}->{} {}:{}/{} {}:{}/{}\n", t.position, t.before, t.after,
                          t.chosen, t.chosen_successes, t.chosen_samples, t.rejected,
                          t.rejected_successes, t.rejected_samples);
  }
  for (const auto& r : q.rollouts)
    text += fmt::format("rollout {} {} {} {} {} {} {} {}\n", static_cast<int>(r.kind), r.response,
                        r.position, r.forced, fmt::join(r.tokens, ","), fmt::join(r.logprobs, ","),
                        static_cast<int>(r.finish), r.success);
  return text;
}

std::vector<std::string> Describe(std::span<const data::QueryTrace> queries) {
  std::vector<std::string> texts;
  for (const auto& query : queries) texts.push_back(Describe(query));
  return texts;
}

void ExpectNear(const data::PrefixEstimate& estimate, double truth, const std::string& where) {
  const double sigma = std::sqrt(truth * (1 - truth) / estimate.samples);
  // One success of slack: the normal approximation is poor where the truth is near 0 or 1.
  EXPECT_NEAR(estimate.mean, truth, 5 * sigma + 1.0 / estimate.samples) << where;
}

TEST(Search, EstimatesAgreeWithTheTruth) {
  SearchOptions options = Wide();
  options.samples = 400;
  options.responses = 6;
  options.max_new_tokens = 30;
  std::size_t checked = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    MarkovPolicy policy(RandomChain(9, seed), seed);
    for (const auto& query : Explore(Queries(2), policy, options).All()) {
      for (const auto& response : query.responses) {
        for (const auto& estimate : response.estimates) {
          const int32_t k = estimate.position;
          if (estimate.samples == 0) continue;
          EXPECT_EQ(estimate.samples, 400);
          const TokenId last = k == 0 ? 0 : response.tokens[k - 1];
          ExpectNear(estimate, policy.chain().Success(options.max_new_tokens - k)[last],
                     fmt::format("seed {} {} k {}", seed, query.id, k));
          ++checked;
        }
        EXPECT_EQ(response.estimates.front().position, 0);
        EXPECT_EQ(response.estimates.back().position, std::ssize(response.tokens));
        EXPECT_EQ(response.estimates.back().samples, 0);
        EXPECT_EQ(response.estimates.back().mean, response.success ? 1 : 0);
      }
    }
  }
  EXPECT_GT(checked, 300u);
}

TEST(Search, SidesAgreeWithTheTruth) {
  SearchOptions options = Wide();
  options.samples = 100;
  options.confirm = 400;
  options.responses = 4;
  options.max_new_tokens = 30;
  std::size_t checked = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    MarkovPolicy policy(RandomChain(9, seed), seed);
    const MarkovChain& chain = policy.chain();
    for (const auto& query : Explore(Queries(2), policy, options).All()) {
      for (const auto& response : query.responses) {
        for (const auto& token : response.pivotal) {
          const int32_t k = token.position;
          const TokenId before = k == 1 ? 0 : response.tokens[k - 2];
          const auto truth = [&](TokenId side) {
            if (side == chain.eos) return chain.right[before] ? 1.0 : 0.0;
            return chain.Success(options.max_new_tokens - k)[side];
          };
          ExpectNear(
              {k, token.chosen_samples, token.chosen_successes, token.chosen_successes / 400.0},
              truth(token.chosen), "chosen");
          ExpectNear({k, token.rejected_samples, token.rejected_successes,
                      token.rejected_successes / 400.0},
                     truth(token.rejected), "rejected");
          EXPECT_EQ(token.after > token.before ? token.chosen : token.rejected,
                    response.tokens[k - 1]);
          ++checked;
        }
      }
    }
  }
  EXPECT_GT(checked, 50u);
}

TEST(Search, FindsEveryForkAndItsOtherSide) {
  SearchOptions options;
  options.samples = 200;
  options.responses = 6;
  options.max_new_tokens = 80;
  MarkovPolicy policy(ForkChain(), 5);
  const Found found = Explore(Queries(12), policy, options);
  EXPECT_EQ(found.summary.searched, 12);
  EXPECT_EQ(found.summary.responses, 72);
  EXPECT_EQ(found.summary.pivotal, 72);
  EXPECT_EQ(found.summary.candidates, 72);
  for (const auto& query : found.All()) {
    for (const auto& response : query.responses) {
      ASSERT_EQ(response.pivotal.size(), 1u) << Describe(query);
      const data::PivotalToken& token = response.pivotal[0];
      EXPECT_EQ(response.tokens[token.position - 1], response.success ? 3 : 4);
      EXPECT_EQ(token.after > token.before, response.success);
      EXPECT_EQ(token.chosen, 3);
      EXPECT_EQ(token.rejected, 4);
      EXPECT_EQ(token.chosen_samples, 32);
      EXPECT_EQ(token.chosen_successes, 32);
      EXPECT_EQ(token.rejected_samples, 32);
      EXPECT_EQ(token.rejected_successes, 0);
    }
  }
}

TEST(Search, GroupingAndOrderChangeNothing) {
  SearchOptions options;
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

// Tokens of a response before `position`, after the prompt.
std::vector<TokenId> Prefix(const data::QueryTrace& query, int32_t response, int32_t position) {
  const auto& tokens = query.responses[response].tokens;
  return {tokens.begin(), tokens.begin() + position};
}

TEST(Search, ResponsesThatShareAPrefixShareItsEstimate) {
  SearchOptions options;
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
        if (estimate.position == 0 || estimate.samples == 0) continue;
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
    expected += 40 * (1 + std::ssize(successes)) + 32 * std::ssize(sides);
    EXPECT_EQ(std::ssize(query.rollouts),
              40 * (1 + std::ssize(successes)) + 32 * std::ssize(sides));
  }
  EXPECT_GT(shared, 5);
  EXPECT_EQ(policy.counters().rollouts, expected);
}

TEST(Search, EveryRequestHasItsOwnStreamAndItsRestOfTheBudget) {
  SearchOptions options;
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
  EXPECT_EQ(streams.size(), policy.log().size());
}

TEST(Search, QueriesShareBatches) {
  SearchOptions options;
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
  SearchOptions options;
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
  const Found found = Explore(Queries(3), policy, SearchOptions());
  EXPECT_EQ(found.summary.queries, 3);
  EXPECT_EQ(found.summary.searched, 0);
  for (const auto& query : found.All()) {
    EXPECT_FALSE(query.searched);
    EXPECT_EQ(query.samples, 32);
    EXPECT_EQ(query.successes, 32);
    EXPECT_TRUE(query.responses.empty());
    EXPECT_EQ(query.rollouts.size(), 32u);
  }
  SearchOptions closed;
  closed.min_success = closed.max_success = 1;  // both ends belong to the band
  EXPECT_EQ(Explore(Queries(3), policy, closed).summary.searched, 3);
}

// 0, then 1, then EOS (4, right) or 2 3 EOS (wrong).
MarkovChain StopOrGoOn() {
  MarkovChain chain;
  chain.eos = 4;
  chain.right = {false, true, false, false, false};
  chain.transition = Eigen::MatrixXd::Zero(5, 5);
  chain.transition(0, 1) = chain.transition(2, 3) = chain.transition(3, 4) = 1;
  chain.transition(1, 4) = chain.transition(1, 2) = 0.5;
  chain.transition(4, 4) = 1;
  return chain;
}

TEST(Search, ASideThatEndsTheResponseNeedsNoRollouts) {
  SearchOptions options;
  options.samples = 100;
  MarkovPolicy policy(StopOrGoOn(), 2);  // fails on a prefix that ends in EOS
  const auto query = Explore(Queries(1), policy, options).All()[0];
  ASSERT_EQ(query.responses.size(), 2u);
  for (const auto& response : query.responses) {  // the trunk's token is EOS, then its rival is
    ASSERT_EQ(response.pivotal.size(), 1u);
    const data::PivotalToken& token = response.pivotal[0];
    EXPECT_EQ(token.position, 2);
    EXPECT_EQ(token.chosen, 4);
    EXPECT_EQ(token.chosen_samples, 32);
    EXPECT_EQ(token.chosen_successes, 32);
    EXPECT_EQ(token.rejected, 2);
    EXPECT_EQ(token.rejected_samples, 32);
    EXPECT_EQ(token.rejected_successes, 0);
  }
  for (const auto& rollout : query.rollouts) EXPECT_NE(rollout.forced, 4);
}

TEST(Search, ASideThatFillsTheBudgetNeedsNoRollouts) {
  SearchOptions options;
  options.samples = 100;
  options.max_new_tokens = 2;            // "1 2" is cut and wrong
  MarkovPolicy policy(StopOrGoOn(), 2);  // fails on max_new_tokens = 0
  const auto query = Explore(Queries(1), policy, options).All()[0];
  ASSERT_EQ(query.responses.size(), 2u);
  EXPECT_EQ(query.responses[1].finish, data::FinishReason::kLength);
  for (const auto& response : query.responses) {
    ASSERT_EQ(response.pivotal.size(), 1u);
    EXPECT_EQ(response.pivotal[0].rejected, 2);
    EXPECT_EQ(response.pivotal[0].rejected_samples, 32);
    EXPECT_EQ(response.pivotal[0].rejected_successes, 0);
  }
}

TEST(Search, NoAlternativeNoCandidate) {
  SearchOptions options = Wide();
  options.samples = 3;  // noise makes the certain token 1 look pivotal
  options.confirm = 2;
  MarkovPolicy policy(StopOrGoOn(), 2);
  const Found found = Explore(Queries(40), policy, options);
  int64_t alone = 0;
  for (const auto& query : found.All()) {
    for (const auto& response : query.responses) {
      for (const auto& token : response.pivotal) {
        if (token.position == 2) continue;
        EXPECT_EQ(token.chosen, -1);
        EXPECT_EQ(token.rejected, -1);
        EXPECT_EQ(token.chosen_samples, 0);
        ++alone;
      }
    }
  }
  EXPECT_GT(alone, 5);
  EXPECT_LE(found.summary.candidates, found.summary.pivotal - alone);
}

TEST(Search, WithoutConfirmationCandidatesHaveNoCounts) {
  SearchOptions options;
  options.confirm = 0;
  MarkovPolicy policy(ForkChain(), 5);
  const Found found = Explore(Queries(5), policy, options);
  EXPECT_GT(found.summary.candidates, 0);
  for (const auto& query : found.All()) {
    for (const auto& response : query.responses)
      for (const auto& token : response.pivotal)
        EXPECT_EQ(token.chosen_samples + token.rejected_samples, 0);
    for (const auto& rollout : query.rollouts) EXPECT_EQ(rollout.forced, -1);
  }
}

// Asks to stop from the n-th question on.
class StopAfter : public Progress {
 public:
  explicit StopAfter(int32_t calls) : left_(calls) {}
  bool StopRequested() const override { return left_-- <= 0; }

 private:
  mutable int32_t left_;
};

TEST(Search, InterruptionDeliversOnlyCompleteGroups) {
  SearchOptions options;
  options.group = 3;
  options.max_new_tokens = 25;
  const auto queries = Queries(9);
  const MarkovChain chain = RandomChain(9, 2);
  MarkovPolicy policy(chain, 11);
  const auto whole = Describe(Explore(queries, policy, options).All());
  std::set<std::size_t> delivered;
  for (int32_t calls = 0;; calls += 3) {
    ASSERT_LT(calls, 10'000);
    MarkovPolicy stopped(chain, 11);
    StopAfter progress(calls);
    Found found;
    bool finished = true;
    try {
      ExploreInto(found, queries, stopped, options, progress);
    } catch (const Interrupted&) {
      finished = false;
    }
    const auto part = Describe(found.All());
    EXPECT_EQ(part.size() % 3, 0u);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin()));
    delivered.insert(part.size());
    if (finished) break;
    EXPECT_LT(part.size(), 9u);
  }
  EXPECT_EQ(delivered, (std::set<std::size_t>{0, 3, 6, 9}));
}

class Recorder : public Progress {
 public:
  void Begin(std::string_view phase, int64_t total, std::string_view unit) override {
    begun = fmt::format("{} {} {}", phase, total, unit);
  }
  void Update(int64_t done, std::string_view detail) override {
    counts.push_back(done);
    details.emplace_back(detail);
  }
  void End() override { ++ends; }

  std::string begun;
  std::vector<int64_t> counts;
  std::vector<std::string> details;
  int ends = 0;
};

TEST(Search, ReportsProgress) {
  SearchOptions options;
  options.group = 4;
  MarkovPolicy policy(ForkChain(), 5);  // claims a microsecond per token
  Recorder progress;
  Found found;
  ExploreInto(found, Queries(10), policy, options, progress);
  EXPECT_EQ(progress.begun, "search 10 problems");
  EXPECT_TRUE(std::is_sorted(progress.counts.begin(), progress.counts.end()));
  EXPECT_EQ(progress.counts.back(), 10);
  EXPECT_GE(std::ssize(progress.counts), policy.calls());
  EXPECT_EQ(progress.details.front(), "pivotal 0");
  EXPECT_EQ(progress.details.back(),
            fmt::format("pivotal {}, 1,000,000 tok/s", found.summary.pivotal));
  EXPECT_EQ(progress.ends, 1);
}

TEST(Search, NoQueriesNoWork) {
  MarkovPolicy policy(ForkChain(), 5);
  EXPECT_EQ(Explore({}, policy, SearchOptions()).summary.queries, 0);
  EXPECT_EQ(policy.calls(), 0);
}

template <typename Action>
std::string ErrorOf(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Search, NamesTheProblemWithoutPrompt) {
  MarkovPolicy policy(ForkChain(), 5);
  auto queries = Queries(3);
  queries[1].prompt.clear();
  EXPECT_THAT(ErrorOf([&] { Explore(queries, policy, SearchOptions()); }), HasSubstr("\"q1\""));
}

// Loses a rollout, or its log-probabilities.
class BrokenPolicy : public MarkovPolicy {
 public:
  explicit BrokenPolicy(bool lose_rollout)
      : MarkovPolicy(ForkChain(), 1), lose_rollout_(lose_rollout) {}
  std::vector<std::vector<model::Rollout>> Sample(std::span<const model::RolloutRequest> requests,
                                                  const Progress& progress) override {
    auto results = MarkovPolicy::Sample(requests, progress);
    if (lose_rollout_)
      results[0].pop_back();
    else
      results[0][0].logprobs.clear();
    return results;
  }

 private:
  bool lose_rollout_;
};

TEST(Search, NoticesAPolicyThatBreaksItsContract) {
  BrokenPolicy few(true), bare(false);
  EXPECT_THAT(ErrorOf([&] { Explore(Queries(1), few, SearchOptions()); }),
              HasSubstr("31 rollouts where 32 were asked"));
  EXPECT_THAT(ErrorOf([&] { Explore(Queries(1), bare, SearchOptions()); }),
              HasSubstr("0 log-probabilities"));
}

TEST(SearchOptions, NameTheBadField) {
  const auto error = [](auto change) {
    SearchOptions options;
    change(options);
    return ErrorOf([&] { options.Validate(); });
  };
  EXPECT_EQ(error([](SearchOptions&) {}), "no error");
  EXPECT_THAT(error([](auto& o) { o.gap = 0; }), HasSubstr("gap is 0, must be in (0, 1)"));
  EXPECT_THAT(error([](auto& o) { o.gap = NAN; }), HasSubstr("gap"));
  EXPECT_THAT(error([](auto& o) { o.gap = 1; }), HasSubstr("gap"));
  EXPECT_THAT(error([](auto& o) { o.samples = 0; }), HasSubstr("samples"));
  EXPECT_THAT(error([](auto& o) { o.confirm = -1; }), HasSubstr("confirm"));
  EXPECT_THAT(error([](auto& o) { o.min_success = -0.1; }), HasSubstr("min_success"));
  EXPECT_THAT(error([](auto& o) { o.max_success = 1.1; }), HasSubstr("max_success"));
  EXPECT_THAT(error([](auto& o) { o.max_success = 0.1; }), HasSubstr("max_success"));
  EXPECT_THAT(error([](auto& o) { o.responses = 0; }), HasSubstr("responses"));
  EXPECT_THAT(error([](auto& o) { o.max_new_tokens = 0; }), HasSubstr("max_new_tokens"));
  EXPECT_THAT(error([](auto& o) { o.group = 0; }), HasSubstr("group"));
}

}  // namespace
}  // namespace pivotal::pts
