// Apache-2.0.
#include "pts/verdicts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/error_text.h"

namespace pivotal::pts {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

bool Fails(NoVerdictCause cause) { throw NoVerdict(cause, "no idea"); }

TEST(VerdictCounts, NamesTheCauses) {
  VerdictCounts counts;
  counts.verdicts = 1000;
  EXPECT_EQ(counts.Text(), "");
  counts.failed[static_cast<std::size_t>(NoVerdictCause::kTimeout)] = 30;
  counts.failed[static_cast<std::size_t>(NoVerdictCause::kCrash)] = 1;
  EXPECT_EQ(counts.Failed(), 31);
  EXPECT_EQ(counts.Text(), "31 of 1000 verdicts failed: 30 time-outs, 1 crash");
}

// Returns after how many failures in a row, after `good` verdicts, the tally ends the work; 0:
// never.
int FailuresUntilTheEnd(double limit, int good) {
  VerdictTally tally(limit);
  for (int i = 0; i < good; ++i) EXPECT_TRUE(tally.Ask([] { return true; }).value());
  for (int failures = 1; failures <= 1000; ++failures) {
    try {
      EXPECT_FALSE(tally.Ask([] { return Fails(NoVerdictCause::kCrash); }));
    } catch (const TooManyFailures&) {
      return failures;
    }
  }
  return 0;
}

TEST(VerdictTally, AFewFailuresNeverEndTheWork) {
  EXPECT_EQ(FailuresUntilTheEnd(0.02, 0), 6) << "more than 2% of 250";
  EXPECT_EQ(FailuresUntilTheEnd(0.02, 200), 6);
  EXPECT_EQ(FailuresUntilTheEnd(0.02, 980), 21) << "21 of 1001 are more than 2%";
  EXPECT_EQ(FailuresUntilTheEnd(0, 0), 1);
  EXPECT_EQ(FailuresUntilTheEnd(1, 0), 0);
}

TEST(VerdictTally, SaysWhyItEndsTheWork) {
  VerdictTally tally(0);
  EXPECT_THAT(testing::ErrorText([&] { tally.Ask([] { return Fails(NoVerdictCause::kLimit); }); }),
              AllOf(HasSubstr("1 of 1 verdicts failed: 1 limit reached"),
                    HasSubstr("--max-oracle-failures 0 allows"), HasSubstr("no idea")));
}

TEST(VerdictTally, OtherErrorsPassAndCountForNothing) {
  VerdictTally tally(0);
  EXPECT_EQ(testing::ErrorText([&] { tally.Ask([]() -> bool { throw Error("broken"); }); }),
            "broken");
  EXPECT_EQ(tally.counts().verdicts, 0);
}

}  // namespace
}  // namespace pivotal::pts
