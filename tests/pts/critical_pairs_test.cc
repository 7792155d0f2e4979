// Apache-2.0. Tests pairs with critical tokens against worlds whose p(success) is known exactly.
#include "pts/critical_pairs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/pts/answer_world.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/error_text.h"

namespace pivotal::pts {
namespace {

using testing::ErrorText;
using ::testing::HasSubstr;

constexpr double kLeastShare = 0.2;

TEST(BuildCriticalPairs, WeighTokensByWhatTheyDestroy) {
  int pairs = 0, heavy = 0, found = 0;
  double weight_elsewhere = 0, tokens = 0;
  const testing::ByteTokenizer tokenizer;
  for (const AnswerSearch& search : SearchAnswerWorlds(40)) {
    for (const PreferencePair& pair :
         BuildCriticalPairs(search.traces, tokenizer, kLeastShare, {})) {
      ++pairs;
      EXPECT_EQ(pair.source, "critical");
      EXPECT_TRUE(pair.chosen_weights.empty());
      ASSERT_EQ(pair.rejected_weights.size(), pair.rejected_ids.size());
      EXPECT_EQ(search.world.world().Success(pair.chosen_ids.back()), 1);
      EXPECT_EQ(search.world.world().Success(pair.rejected_ids.back()), 0);
      double before = search.world.world().Success(0);
      for (std::size_t k = 0; k < pair.rejected_ids.size(); ++k) {
        const double after = search.world.world().Success(pair.rejected_ids[k]);
        EXPECT_GE(pair.rejected_weights[k], 0);
        EXPECT_LE(pair.rejected_weights[k], 1);
        const double destroyed = std::max(0.0, before - after) / std::max(before, kLeastShare);
        if (destroyed > 0.6) {
          ++heavy;
          found += pair.rejected_weights[k] > 0.4;
        } else if (destroyed < 0.05) {
          ++tokens;
          weight_elsewhere += pair.rejected_weights[k];
        }
        before = after;
      }
    }
  }
  ASSERT_GT(pairs, 20);
  ASSERT_GT(heavy, 10);
  EXPECT_GE(found, heavy * 9 / 10);
  EXPECT_LT(weight_elsewhere / tokens, 0.02);
}

TEST(BuildCriticalPairs, QueriesGiveTheirPairsInTurns) {
  std::vector<QueryTrace> traces;
  for (AnswerSearch& search : SearchAnswerWorlds(12))
    for (QueryTrace& query : search.traces) traces.push_back(std::move(query));
  const testing::ByteTokenizer tokenizer;
  const auto all = BuildCriticalPairs(traces, tokenizer, kLeastShare, {});
  ASSERT_GT(all.size(), 3u);
  EXPECT_TRUE(all[0].id.ends_with("/critical/0"));
  EXPECT_EQ(BuildCriticalPairs(traces, tokenizer, kLeastShare, {3, 1}).size(), 3u);
  traces[0].responses[0].estimates.clear();
  EXPECT_THAT(ErrorText([&] { BuildCriticalPairs(traces, tokenizer, kLeastShare, {}); }),
              HasSubstr("not known at every token of response 0"));
}

}  // namespace
}  // namespace pivotal::pts
