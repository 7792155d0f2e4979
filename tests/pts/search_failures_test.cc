// Apache-2.0. Searches whose judge gives no verdict on some responses, or on any.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "pivotal/search.h"
#include "tests/pts/search_run.h"
#include "tests/support/error_text.h"

namespace pivotal::pts {
namespace {

using ::testing::AllOf;
using testing::ErrorText;
using testing::ForkChain;
using ::testing::HasSubstr;
using testing::MarkovPolicy;

// Searches the queries with a judge that fails where `fails` says so.
template <typename Fails>
Found SearchWith(const std::vector<Query>& queries, Fails fails, double max_failures) {
  SearchOptions options = Wide();
  options.max_oracle_failures = max_failures;
  MarkovPolicy policy(ForkChain(), 5);
  const Judge judge = [&](const Query& query, std::span<const TokenId> response) {
    if (fails(query, response)) throw NoVerdict(NoVerdictCause::kTimeout, "the judge sleeps");
    return ForkChain().IsRight(query.prompt.back(), response);
  };
  Found found;
  Progress progress;
  found.summary = Search(
      queries, policy, judge, options,
      [&](std::vector<QueryTrace> group) { found.groups.push_back(std::move(group)); }, progress);
  return found;
}

const auto kNever = [](const Query&, std::span<const TokenId>) { return false; };

TEST(SearchFailures, AResponseWithoutVerdictIsNotRightAndMarksItsQuery) {
  // Half of all right responses have an even length.
  const auto even = [](const Query& query, std::span<const TokenId> response) {
    return query.id == "q1" && response.size() % 2 == 0;
  };
  const Found found = SearchWith(Queries(3), even, 1);
  const auto traces = found.All();
  ASSERT_EQ(traces.size(), 3u);
  EXPECT_EQ(traces[0].failed_verdicts, 0);
  EXPECT_GT(traces[1].failed_verdicts, 0);
  EXPECT_EQ(traces[2].failed_verdicts, 0);
  for (const RolloutTrace& rollout : traces[1].rollouts) {
    const std::size_t before =
        static_cast<std::size_t>(rollout.position) + (rollout.forced >= 0 ? 1 : 0);
    if ((before + rollout.tokens.size()) % 2 == 0) {
      EXPECT_FALSE(rollout.success);
    }
  }
  EXPECT_EQ(found.summary.failed_verdicts, traces[1].failed_verdicts);
  EXPECT_EQ(found.summary.verdicts.Failed(), traces[1].failed_verdicts);
  EXPECT_GT(found.summary.verdicts.verdicts, 3 * 32);
  // The other queries are not touched, and this one is as ever once its judge is.
  const auto whole = Describe(SearchWith(Queries(3), kNever, 0).All());
  EXPECT_EQ(Describe(traces[0]), whole[0]);
  EXPECT_EQ(Describe(traces[2]), whole[2]);
  EXPECT_EQ(Describe(SearchWith({Queries(3)[1]}, kNever, 0).All()[0]), whole[1]);
}

TEST(SearchFailures, AJudgeThatNeverAnswersEndsTheSearch) {
  const auto always = [](const Query&, std::span<const TokenId>) { return true; };
  EXPECT_THAT(ErrorText([&] { SearchWith(Queries(3), always, 0.02); }),
              AllOf(HasSubstr("6 of 6 verdicts failed: 6 time-outs"),
                    HasSubstr("--max-oracle-failures 0.02"), HasSubstr("the judge sleeps")));
}

TEST(SearchFailures, ACauseThatIsNoneEndsTheSearch) {
  MarkovPolicy policy(ForkChain(), 5);
  const Judge judge = [](const Query&, std::span<const TokenId>) -> bool {
    throw NoVerdict(static_cast<NoVerdictCause>(77), "no cause");
  };
  Progress quiet;
  EXPECT_THROW(Search(
                   Queries(1), policy, judge, Wide(), [](const std::vector<QueryTrace>&) {}, quiet),
               std::out_of_range);
}

TEST(SearchFailures, OneFailureDoesNotEndTheSearch) {
  std::atomic<int> asked = 0;
  const auto once = [&](const Query&, std::span<const TokenId>) { return asked++ == 0; };
  EXPECT_EQ(SearchWith(Queries(3), once, 0.02).summary.verdicts.Failed(), 1);
}

}  // namespace
}  // namespace pivotal::pts
