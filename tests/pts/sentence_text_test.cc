// Apache-2.0. Tests which sentences say the same, and the rules of their categories.
#include "pts/sentence_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pivotal::pts {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

bool Same(std::string_view a, std::string_view b) { return SayTheSame(WordsOf(a), WordsOf(b)); }

TEST(WordsOf, AreWordsNumbersAndSigns) {
  const SentenceWords of = WordsOf("So Tom's 1,234 coins cost $3.50 (in all): 2*7=14.\n");
  EXPECT_THAT(of.words, ElementsAre("$", "*", "=", "all", "coins", "cost", "in", "so", "toms"));
  EXPECT_THAT(of.numbers, ElementsAre("1234", "14", "2", "3.50", "7"));
  EXPECT_THAT(WordsOf(" **## _**").words, ElementsAre("_"));
  EXPECT_THAT(WordsOf("\u00dcber 5.").words, ElementsAre("\u00dcber"));
  EXPECT_THAT(WordsOf("\n").numbers, IsEmpty());
}

TEST(SayTheSame, IgnoresCaseMarksAndAFewWords) {
  EXPECT_TRUE(Same("7*8=56.", " 7 * 8 = 56"));
  EXPECT_TRUE(Same("**Tom** has 12 coins now.", "tom has 12 coins now!"));
  EXPECT_TRUE(Same("So Tom has just 12 coins left", "So Tom has 12 coins left"));  // 10 of 11
  EXPECT_FALSE(Same("So Tom has 12 coins", "Hence she owns 12 coins"));
  EXPECT_TRUE(Same("", " .")) << "both say nothing";
}

TEST(SayTheSame, NumbersMustAgree) {
  EXPECT_FALSE(Same("7*8=56.", "7*8=54."));
  EXPECT_FALSE(Same("Tom has 12 of the coins now.", "Tom has 12 of the 12 coins now."));
  EXPECT_TRUE(Same("She pays 1,000 dollars", "She pays 1000 dollars"));
}

TEST(KindOf, FollowsTheRulesInTheirOrder) {
  const std::pair<const char*, SentenceKind> cases[] = {
      {"#### 327", SentenceKind::kFinalAnswerEmission},
      {"Thus the answer is 7.", SentenceKind::kFinalAnswerEmission},
      {"$\\boxed{4}$", SentenceKind::kFinalAnswerEmission},
      {"Let me double-check that 2+2=4.", SentenceKind::kSelfChecking},
      {"Wait, 7*8=56.", SentenceKind::kUncertaintyManagement},
      {"So 47*8=376.", SentenceKind::kActiveComputation},
      {"That is 12 \u00d7 3", SentenceKind::kActiveComputation},
      {"Therefore Tom has some left.", SentenceKind::kResultConsolidation},
      {"Let\u2019s look at the boxes.", SentenceKind::kPlanGeneration},
      {"Recall that squares are rectangles.", SentenceKind::kFactRetrieval},
      {"We are told of 3 boxes.", SentenceKind::kProblemSetup},
      {"Multiply both numbers.", SentenceKind::kActiveComputation},
      {"Blue whales sing.", SentenceKind::kUnknown},
      {"The soap waits checkered.", SentenceKind::kUnknown},  // parts of words count for nothing
      {"A 3-4 split... 2 xylophones", SentenceKind::kActiveComputation},
      {"They wait for an hour.", SentenceKind::kUnknown},  // a word of the problem
      {"Eva writes a check.", SentenceKind::kUnknown},
      {"", SentenceKind::kUnknown}};
  for (const auto& [sentence, kind] : cases)
    EXPECT_EQ(kSentenceKindNames.Name(KindOf(sentence)), kSentenceKindNames.Name(kind)) << sentence;
}

}  // namespace
}  // namespace pivotal::pts
