// Apache-2.0. Tests interruption, progress and bad input of a search.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "data/base/error.h"
#include "pivotal/search.h"
#include "pts/pair_builder.h"
#include "tests/pts/search_run.h"
#include "tests/support/error_text.h"

namespace pivotal::pts {
namespace {

using testing::ErrorText;
using testing::ForkChain;
using ::testing::HasSubstr;
using testing::MarkovChain;
using testing::MarkovPolicy;
using testing::RandomChain;

// Asks to stop from the n-th call on.
class StopAfter : public Progress {
 public:
  explicit StopAfter(int32_t calls) : left_(calls) {}
  bool StopRequested() const override { return left_-- <= 0; }

 private:
  mutable int32_t left_;
};

TEST(Search, InterruptionDeliversOnlyCompleteGroups) {
  SearchOptions options = Published();
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
  void Begin(std::string_view phase, int64_t total, std::string_view unit, int64_t) override {
    begun = fmt::format("{} {} {}", phase, total, unit);
  }
  void Update(int64_t done, std::string_view detail) override {
    counts.push_back(done);
    details.emplace_back(detail);
  }
  void Tell(std::string_view part, std::span<const ProgressNumber> numbers) override {
    if (!part.empty()) parts.emplace(part);
    for (const auto& [name, value] : numbers) told[std::string(name)] = value;
    most_in_hand = std::max(most_in_hand, told["group_done"]);
  }
  void End() override { ++ends; }

  std::set<std::string> parts;
  std::map<std::string, double> told;
  double most_in_hand = 0;
  std::string begun;
  std::vector<int64_t> counts;
  std::vector<std::string> details;
  int ends = 0;
};

TEST(Search, TellsWhatItHasComeTo) {
  SearchOptions options = Published();
  options.group = 4;
  MarkovPolicy policy(ForkChain(), 5);
  Recorder progress;
  Found found;
  ExploreInto(found, Queries(10), policy, options, progress);
  const SearchSummary& summary = found.summary;
  const auto queries = Queries(10);
  EXPECT_TRUE(progress.parts.contains("problems " + queries[4].id + " to " + queries[7].id));
  EXPECT_TRUE(progress.parts.contains("problems " + queries[8].id + " to " + queries[9].id));
  EXPECT_EQ(progress.told["stored"], 10);
  EXPECT_EQ(progress.told["pairs"], static_cast<double>(summary.pairs));
  EXPECT_EQ(progress.told["rollouts"], static_cast<double>(policy.counters().rollouts));
  EXPECT_EQ(progress.told["tokens"], static_cast<double>(policy.counters().decoded_tokens));
  EXPECT_EQ(progress.told["failed_verdicts"], 0);
  EXPECT_EQ(progress.told["group_problems"], 0) << "nothing is in hand at the end";
  EXPECT_EQ(progress.told["group_tokens"], 0);
  EXPECT_GT(progress.most_in_hand, 0);
  EXPECT_LE(progress.most_in_hand, 4);
}

TEST(Search, ReportsProgress) {
  SearchOptions options = Published();
  options.group = 4;
  MarkovPolicy policy(ForkChain(), 5);  // reports a microsecond per token
  Recorder progress;
  Found found;
  ExploreInto(found, Queries(10), policy, options, progress);
  EXPECT_EQ(progress.begun, "search 10 problems");
  EXPECT_TRUE(std::is_sorted(progress.counts.begin(), progress.counts.end()));
  EXPECT_EQ(progress.counts.back(), 10);
  EXPECT_GE(std::ssize(progress.counts), policy.calls());
  EXPECT_EQ(progress.details.front(), "pivotal 0, pairs 0");
  // On a busy machine the detail may end in the part of time spent waiting for verdicts.
  int64_t pairs = 0;
  for (const QueryTrace& query : found.All()) pairs += PairsIn(query);
  EXPECT_EQ(found.summary.pairs, pairs);
  EXPECT_THAT(progress.details.back(),
              ::testing::ContainsRegex(fmt::format("^pivotal {}, pairs {} .the next for [0-9]+ "
                                                   "tokens., 1,000,000 tok/s",
                                                   found.summary.pivotal, pairs)));
  EXPECT_EQ(progress.ends, 1);
}

TEST(Search, NoQueriesNoWork) {
  MarkovPolicy policy(ForkChain(), 5);
  EXPECT_EQ(Explore({}, policy, Published()).summary.queries, 0);
  EXPECT_EQ(policy.calls(), 0);
}

TEST(Search, NamesTheProblemWithoutPrompt) {
  MarkovPolicy policy(ForkChain(), 5);
  auto queries = Queries(3);
  queries[1].prompt.clear();
  EXPECT_THAT(ErrorText([&] { Explore(queries, policy, Published()); }), HasSubstr("\"q1\""));
}

// A policy that implements no more than it must, so its counters are zeros.
class PolicyWithoutCounters : public Policy {
 public:
  std::vector<std::vector<Rollout>> Sample(std::span<const RolloutRequest> requests,
                                           const Progress& progress,
                                           const RolloutSink& finished) override {
    return policy_.Sample(requests, progress, finished);
  }
  std::vector<TokenScore> Score(std::span<const TokenId> prefix,
                                std::span<const TokenId> continuation) override {
    return policy_.Score(prefix, continuation);
  }

 private:
  MarkovPolicy policy_{ForkChain(), 5};
};

TEST(Search, CountsTheTokensOfItsBudgetItself) {
  SearchOptions options = Wide();
  options.max_new_tokens = 8;
  options.samples = 4;
  options.budget_tokens = 300;
  PolicyWithoutCounters policy;
  const auto queries = Queries(20);
  int64_t tokens = 0;
  Progress progress;
  const auto summary = Search(
      queries, policy, JudgeOf(ForkChain()), options,
      [&](const std::vector<QueryTrace>& group) {
        for (const QueryTrace& query : group)
          for (const RolloutTrace& rollout : query.rollouts) tokens += std::ssize(rollout.tokens);
      },
      progress);
  EXPECT_LE(tokens, 300);
  EXPECT_GT(tokens, 300 - options.samples * options.max_new_tokens);
  EXPECT_GT(summary.undone + summary.cut_short, 0);
}

// The first batch alone would take minutes. PolicyOf looks at `progress` after each rollout.
TEST(Search, ATimeBudgetEndsABatch) {
  SearchOptions options = Wide();
  options.samples = 1 << 20;
  options.budget_seconds = 0.2;
  const auto policy = PolicyOf([](std::span<const TokenId>) {
    return std::vector<std::pair<TokenId, double>>{{0, 0.01}, {1, 0.99}};
  });
  Progress progress;
  const auto queries = Queries(3);
  const auto summary = Search(
      queries, *policy, [](const Query&, std::span<const TokenId>) { return true; }, options,
      [](const std::vector<QueryTrace>&) { FAIL() << "nothing was finished"; }, progress);
  EXPECT_EQ(summary.undone, 3);
  EXPECT_LT(summary.seconds, 10);
}

// A verdict that takes long does not keep the search either.
TEST(Search, ATimeBudgetEndsTheWaitForVerdicts) {
  SearchOptions options = Wide();
  options.budget_seconds = 0.2;
  options.judge_threads = 1;
  MarkovPolicy policy(ForkChain(), 5);
  const Judge slow = [](const Query&, std::span<const TokenId>) {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    return true;
  };
  Progress progress;
  const auto queries = Queries(3);
  const auto summary = Search(
      queries, policy, slow, options, [](const std::vector<QueryTrace>&) {}, progress);
  EXPECT_EQ(summary.undone, 3);
  EXPECT_LT(summary.seconds, 10) << "96 verdicts would take 30 seconds";
}

// A policy that loses a rollout or the log-probabilities of one, makes one too long, cancels one,
// or returns a number that cannot be right.
class BrokenPolicy : public MarkovPolicy {
 public:
  enum class Fault {
    kLosesRollout,
    kLosesLogProbs,
    kGoesOn,
    kCancels,
    kNegativeToken,
    kNanLogProb,
    kPositiveLogProb
  };
  explicit BrokenPolicy(Fault fault) : MarkovPolicy(ForkChain(), 1), fault_(fault) {}
  std::vector<std::vector<Rollout>> Sample(std::span<const RolloutRequest> requests,
                                           const Progress& progress,
                                           const RolloutSink& finished) override {
    auto results = MarkovPolicy::Sample(requests, progress, finished);
    if (fault_ == Fault::kLosesRollout) results[0].pop_back();
    if (fault_ == Fault::kLosesLogProbs) results[0][0].logprobs.clear();
    if (fault_ == Fault::kGoesOn) results[0][0].tokens.resize(1000, 1);
    if (fault_ == Fault::kCancels) results[0][0].finish = FinishReason::kCancelled;
    if (fault_ == Fault::kNegativeToken) results[0][0].tokens[0] = -5;
    if (fault_ == Fault::kNanLogProb) results[0][0].logprobs[0] = NAN;
    if (fault_ == Fault::kPositiveLogProb) results[0][0].logprobs[0] = 0.5;
    return results;
  }

 private:
  Fault fault_;
};

TEST(Search, NoticesAPolicyThatBreaksItsContract) {
  const auto error = [](BrokenPolicy::Fault fault) {
    BrokenPolicy policy(fault);
    return ErrorText([&] { Explore(Queries(1), policy, Published()); });
  };
  using Fault = BrokenPolicy::Fault;
  EXPECT_THAT(error(Fault::kLosesRollout), HasSubstr("31 rollouts where 32 were asked"));
  EXPECT_THAT(error(Fault::kLosesLogProbs), HasSubstr("0 log-probabilities"));
  EXPECT_THAT(error(Fault::kGoesOn),
              HasSubstr("a rollout of 1000 tokens where 256 were the limit"));
  EXPECT_THAT(error(Fault::kCancels), HasSubstr("a cancelled rollout"));
  EXPECT_THAT(error(Fault::kNegativeToken), HasSubstr("returned token -5"));
  EXPECT_THAT(error(Fault::kNanLogProb), HasSubstr("log-probability nan"));
  EXPECT_THAT(error(Fault::kPositiveLogProb), HasSubstr("log-probability 0.5"));
}

// A policy that reports no rollout as it ends, or each of them twice and some that are not there.
class ReportingPolicy : public MarkovPolicy {
 public:
  explicit ReportingPolicy(int times) : MarkovPolicy(ForkChain(), 5), times_(times) {}
  std::vector<std::vector<Rollout>> Sample(std::span<const RolloutRequest> requests,
                                           const Progress& progress,
                                           const RolloutSink& finished) override {
    auto results = MarkovPolicy::Sample(requests, progress, {});
    for (int t = 0; t < times_; ++t)
      for (std::size_t i = 0; i < results.size(); ++i)
        for (std::size_t r = 0; r < results[i].size(); ++r)
          finished(i, static_cast<int32_t>(r), results[i][r]);
    if (times_ > 0) finished(results.size(), 0, {}), finished(0, -1, {}), finished(0, 1 << 20, {});
    return results;
  }

 private:
  int times_;
};

TEST(Search, JudgesEachRolloutOnceHoweverAPolicyReportsThem) {
  MarkovPolicy exact(ForkChain(), 5);
  ReportingPolicy silent(0), loud(2);
  const Found expected = Explore(Queries(3), exact, Wide());
  EXPECT_GT(expected.summary.pivotal, 0);
  for (MarkovPolicy* policy : {&silent, &loud}) {
    const Found found = Explore(Queries(3), *policy, Wide());
    EXPECT_EQ(Describe(found.All()), Describe(expected.All()));
    EXPECT_EQ(found.summary.verdicts.verdicts, expected.summary.verdicts.verdicts);
  }
}

TEST(Search, RefusesBadArgumentsBeforeItDraws) {
  MarkovPolicy policy(ForkChain(), 5);
  auto queries = Queries(3);
  SearchOptions options = Wide();
  options.group = 1;
  Progress quiet;
  const auto error = [&](const Judge& judge, const TraceSink& sink) {
    return ErrorText([&] { Search(queries, policy, judge, options, sink, quiet); });
  };
  const TraceSink sink = [](const std::vector<QueryTrace>&) {};
  EXPECT_THAT(error({}, sink), HasSubstr("judge is an empty function"));
  EXPECT_THAT(error(JudgeOf(ForkChain()), {}), HasSubstr("sink of traces is an empty function"));
  queries[2].prompt.clear();
  EXPECT_THAT(error(JudgeOf(ForkChain()), sink), HasSubstr("prompt of problem \"q2\""));
  queries = Queries(3);
  queries[2].id = "q0";  // in another group than the first
  EXPECT_THAT(error(JudgeOf(ForkChain()), sink), HasSubstr("two problems have the id \"q0\""));
  EXPECT_EQ(policy.calls(), 0);
}

// The largest budget is as good as none.
TEST(Search, ABudgetMayBeAnyNumber) {
  MarkovPolicy policy(ForkChain(), 5);
  SearchOptions options = Wide();
  const auto without = Explore(Queries(5), policy, options);
  options.budget_tokens = std::numeric_limits<int64_t>::max();
  options.group = 3;
  const auto found = Explore(Queries(5), policy, options);
  EXPECT_EQ(found.summary.undone, 0);
  EXPECT_EQ(Describe(found.All()), Describe(without.All()));
}

TEST(SearchOptions, NameTheBadField) {
  const auto error = [](auto change) {
    SearchOptions options = Published();
    change(options);
    return ErrorText([&] { options.Validate(); });
  };
  EXPECT_EQ(error([](SearchOptions&) {}), "(no Error)");
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
  EXPECT_THAT(error([](auto& o) { o.kind = static_cast<StrategyKind>(9); }),
              HasSubstr("strategy 9 is unknown: take one of anchored"));
}

}  // namespace
}  // namespace pivotal::pts
