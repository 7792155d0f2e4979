// Apache-2.0.
#include "pivotal/oracle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/base/error.h"
#include "tests/support/error_text.h"

namespace pivotal::pts {
namespace {

using ::testing::AllOf;
using testing::ErrorText;
using ::testing::HasSubstr;

bool Judge(std::string_view oracle, std::string_view response, std::string_view answer) {
  return MakeOracle(oracle)->Judge({.question = "", .answer = answer, .response = response});
}

TEST(LastNumberOracle, ComparesAsDecimals) {
  EXPECT_TRUE(Judge("last-number", "So 2 + 3 = 5.", "5.0"));
  EXPECT_TRUE(Judge("last-number", "It costs $1,234.50", "1234.5"));
  EXPECT_TRUE(Judge("last-number", "5", "2 + 3 makes\n#### 5"));
  EXPECT_FALSE(Judge("last-number", "5 or 6", "5"));
  EXPECT_FALSE(Judge("last-number", "-5", "5"));
  EXPECT_FALSE(Judge("last-number", "9007199254740993", "9007199254740992"));
}

TEST(LastNumberOracle, ASideWithoutNumberFails) {
  EXPECT_FALSE(Judge("last-number", "five", "5"));
  EXPECT_FALSE(Judge("last-number", "", ""));
  EXPECT_FALSE(Judge("last-number", "five", "five"));
}

TEST(HashOracle, ReadsAfterTheLastHash) {
  EXPECT_TRUE(Judge("hash", "1 + 1 = 2\n#### 2", "#### 2"));
  EXPECT_TRUE(Judge("hash", "#### 1\n#### 2", "2"));
  EXPECT_TRUE(Judge("hash", "#### $1,000 in total, at 5%", "1000"));
  EXPECT_FALSE(Judge("hash", "#### 2\n#### 1", "2"));
  EXPECT_FALSE(Judge("hash", "#### 2\n####", "2"));
}

TEST(HashOracle, AResponseWithoutHashFails) {
  EXPECT_FALSE(Judge("hash", "The answer is 2", "2"));
  EXPECT_FALSE(Judge("hash", "2", "#### 2"));
}

TEST(ExactOracle, TrimsBothEnds) {
  EXPECT_TRUE(Judge("exact", " a b\n", "a b"));
  EXPECT_FALSE(Judge("exact", "a  b", "a b"));
  EXPECT_FALSE(Judge("exact", "A", "a"));
  EXPECT_FALSE(Judge("exact", " ", ""));
}

struct Choice {
  std::string_view response, letter;  // "-": none
};

class ChoiceOracleTest : public ::testing::TestWithParam<Choice> {};

TEST_P(ChoiceOracleTest, FindsTheLastStandAloneLetter) {
  const auto oracle = MakeOracle("choice");
  for (char letter = 'A'; letter <= 'J'; ++letter) {
    const std::string answer(1, letter);
    EXPECT_EQ(oracle->Judge({"", answer, GetParam().response}), GetParam().letter == answer)
        << GetParam().response << " against " << answer;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Forms, ChoiceOracleTest,
    ::testing::Values(Choice{"(B)", "B"}, Choice{"Answer: B", "B"}, Choice{"A, no: C.", "C"},
                      Choice{"\\boxed{D}", "D"}, Choice{"**J**", "J"}, Choice{"K", "-"},
                      Choice{"b", "B"}, Choice{"BAD", "-"}, Choice{"B2", "-"}, Choice{"", "-"},
                      Choice{"'B'", "B"}, Choice{"\u201cB\u201d", "B"},
                      Choice{"\u2018B\u2019", "B"}, Choice{"B, as I'm sure", "B"},
                      Choice{"B, as I\u2019m sure", "B"}, Choice{"\u00c9A", "-"},
                      Choice{"A\u00e9", "-"}, Choice{"x_A", "-"}));

INSTANTIATE_TEST_SUITE_P(
    SaidToBeTheAnswer, ChoiceOracleTest,
    ::testing::Values(Choice{"The answer is (D) because (A) is too small.", "D"},
                      Choice{"The answer is D. A is too small.", "D"},
                      Choice{"\\boxed{D} because (A) is too small", "D"},
                      Choice{"$\\boxed{\\textbf{(D)}}$, not (A)", "D"},
                      Choice{"Answer: (D)\nExplanation: A, B and C fail.", "D"},
                      Choice{"**Answer:** D\nA fails.", "D"},
                      Choice{"The correct option is **D**; (A) is too small.", "D"},
                      Choice{"So I choose D over A.", "D"},
                      Choice{"(D) is correct, since (A) is too small.", "D"},
                      Choice{"D is the best answer; A is worse.", "D"},
                      Choice{"The answer is (A). No, the answer is (D), not (B).", "D"},
                      Choice{"The answer is not (A) but (D)", "D"}, Choice{"the answer is d", "D"},
                      Choice{"The answer is (d).", "D"},
                      Choice{"Answer: \\boxed{d}, since a < b", "D"},
                      Choice{"The answer is a prime, so (D).", "D"},
                      Choice{"The answer is D, A and B are too small.", "D"},
                      Choice{"The answer is A, B, or C", "-"}, Choice{"The answer is B or C", "-"},
                      Choice{"Answer: (B) and (C)", "-"}));

INSTANTIATE_TEST_SUITE_P(
    LowerCaseAndWords, ChoiceOracleTest,
    ::testing::Values(Choice{"(d)", "D"}, Choice{"(d) 12", "D"}, Choice{"(a) or rather (d)", "D"},
                      Choice{"So it is [d].", "D"}, Choice{"d)", "D"}, Choice{"f(a)", "-"},
                      Choice{"a b c", "-"}, Choice{"it is a or b", "-"},
                      Choice{"(D), I think", "D"}, Choice{"(D). A triangle has three.", "D"},
                      Choice{"D<|im_end|>", "D"},
                      Choice{"(D)<|im_end|>\n<|im_start|>user\nIs it (A)?", "D"}));

TEST(ChoiceOracle, SeveralLettersCountTogether) {
  EXPECT_TRUE(Judge("choice", "The answer is (C) and (B).", "Answer: B and C"));
  EXPECT_FALSE(Judge("choice", "The answer is (B).", "Answer: B and C"));
  EXPECT_TRUE(Judge("choice", "(D)", "(d)"));
  EXPECT_TRUE(Judge("choice", "(D)", "d"));
}

TEST(RegexOracle, TakesGroupOneOfTheLastMatch) {
  EXPECT_TRUE(Judge("regex:answer is (\\w+)", "answer is 3, no, answer is 4", " 4\n"));
  EXPECT_FALSE(Judge("regex:answer is (\\w+)", "answer is 4, no, answer is 3", "4"));
  EXPECT_TRUE(Judge("regex:\\d+", "1 22 333", "333"));
  EXPECT_TRUE(Judge("regex:n=(\\d+)|none", "n=1 none", "none"));  // group 1 took no part
  EXPECT_TRUE(Judge("regex:=(.*)", "x = 5 ", "5"));
  EXPECT_FALSE(Judge("regex:\\d+", "none", "333"));
  EXPECT_FALSE(Judge("regex:\\d+", {}, "333"));
}

TEST(RegexOracle, PassesOverEmptyMatches) {
  EXPECT_FALSE(Judge("regex:\\d*", "7", "7"));  // its last match is the empty one at the end
  EXPECT_TRUE(Judge("regex:(?<=\\[)|x(\\w+)", "[\u00e9\u00e9[ xab", "ab"));
}

TEST(RegexOracle, CutCharactersDoNotMatter) {
  EXPECT_TRUE(Judge("regex:\\d+", "\xE2\x82 42 \xF0\x9F", "42"));
}

TEST(RegexOracle, SaysWhereThePatternIsMalformed) {
  EXPECT_THAT(ErrorText([] { MakeOracle("regex:(\\d+"); }),
              AllOf(HasSubstr("missing closing parenthesis"), HasSubstr("offset 4"),
                    HasSubstr("\"(\\d+\"")));
}

TEST(RegexOracle, ACatastrophicPatternFailsSoon) {
  const auto oracle = MakeOracle("regex:^(a+)+$");
  const std::string response = std::string(60, 'a') + "!";  // 2^60 ways to fail
  const auto start = std::chrono::steady_clock::now();
  try {
    oracle->Judge({"", "a", response});
    FAIL();
  } catch (const NoVerdict& failure) {
    EXPECT_EQ(failure.cause(), NoVerdictCause::kLimit);
    EXPECT_THAT(failure.what(),
                AllOf(HasSubstr("match limit"), HasSubstr("61 bytes"), HasSubstr("(a+)+")));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(RegexOracle, LongResponsesStayWithinTheLimit) {
  const std::string response = std::string(100'000, 'x') + " answer: 42 " + std::string(99, 'y');
  EXPECT_TRUE(Judge("regex:answer: *(\\d+)", response, "42"));
}

TEST(Oracle, TellsWhichAnswersItCannotRead) {
  EXPECT_TRUE(MakeOracle("last-number")->CanRead("#### 5"));
  EXPECT_FALSE(MakeOracle("last-number")->CanRead("B"));
  EXPECT_TRUE(MakeOracle("numeric")->CanRead("5 km"));
  EXPECT_FALSE(MakeOracle("numeric")->CanRead("none"));
  EXPECT_TRUE(MakeOracle("math")->CanRead("\\text{east}"));
  EXPECT_FALSE(MakeOracle("math")->CanRead(" $ $ "));
  EXPECT_TRUE(MakeOracle("hash")->CanRead("5"));
  EXPECT_FALSE(MakeOracle("hash")->CanRead("5 ####"));
  EXPECT_TRUE(MakeOracle("choice")->CanRead("B"));
  EXPECT_FALSE(MakeOracle("choice")->CanRead("5"));
  EXPECT_FALSE(MakeOracle("exact")->CanRead(" \n"));
  EXPECT_TRUE(MakeOracle("regex:x")->CanRead("anything"));
}

TEST(Oracle, UnknownNamesListTheKnownOnes) {
  for (std::string_view name : {"", "number", "Hash", "regexp:x", "commands:x"}) {
    EXPECT_THAT(
        ErrorText([&] { MakeOracle(name); }),
        AllOf(HasSubstr("last-number"), HasSubstr("numeric"), HasSubstr("math"), HasSubstr("hash"),
              HasSubstr("exact"), HasSubstr("choice"), HasSubstr("regex:PATTERN")))
        << name;
  }
}

TEST(Oracle, SaysWhatIsMissingBehindAName) {
  for (std::string_view name : {"regex", "regex:"})
    EXPECT_THAT(ErrorText([&] { MakeOracle(name); }),
                AllOf(HasSubstr("a pattern is missing"), HasSubstr("regex:PATTERN")));
  for (std::string_view name : {"command", "command:", "command: "})
    EXPECT_THAT(ErrorText([&] { MakeOracle(name); }),
                AllOf(HasSubstr("a program is missing"), HasSubstr("command:PROGRAM")));
}

TEST(TemplateTokens, EndWhatIsRead) {
  EXPECT_TRUE(Judge("exact", "Paris<|im_end|>", "Paris"));
  EXPECT_TRUE(Judge("exact", "Paris</s>\n<pad><pad>", "Paris"));
  EXPECT_TRUE(Judge("hash", "#### 5<|endoftext|>", "5"));
  EXPECT_TRUE(Judge("last-number", "5<|end|>\n<|user|>\nWhat is 3 + 4?", "5"));
  EXPECT_TRUE(Judge("regex:is (\\w+)$", "It is 5<|eot_id|>", "5"));
  EXPECT_TRUE(Judge("math", "The answer is 7<|im_end|>", "7"));
  EXPECT_TRUE(Judge("math", "$\\frac12$<|end|>", "0.5"));
}

TEST(ReasoningModels, AreReadBehindTheirReasoning) {
  EXPECT_TRUE(Judge("hash", "<think>#### 4, no</think>So\n#### 5", "5"));
  EXPECT_FALSE(Judge("hash", "<think>#### 5</think>That is it.", "5"));
  EXPECT_TRUE(Judge("last-number", "it is 4</think>5</think> 6 ", "6"));  // the prompt opened it
  EXPECT_TRUE(Judge("exact", "<think>\nhm\n</think>\n\nParis\n", "Paris"));
  EXPECT_TRUE(Judge("choice", "<think>A? B!</think>(C)", "C"));
  EXPECT_TRUE(Judge("numeric", "<think>\\boxed{4}</think>5 km", "5"));
  EXPECT_TRUE(Judge("math", "<think>\\boxed{4}</think>The answer is $x = 5$.", "5"));
  EXPECT_TRUE(Judge("regex:=(\\d+)", "<think>=4</think>=5", "5"));
  EXPECT_FALSE(Judge("regex:=(\\d+)", "<think>=5</think>is it", "5"));
}

TEST(ReasoningModels, FailWhereTheReasoningDoesNotEnd) {
  for (const char* oracle : {"last-number", "numeric", "math", "hash", "exact", "regex:(5)"}) {
    EXPECT_FALSE(Judge(oracle, "<think>\n#### 5", "5")) << oracle;
    EXPECT_FALSE(Judge(oracle, "#### 5 <think>", "5")) << oracle;
    EXPECT_FALSE(Judge(oracle, "<think></think><think>#### 5", "5")) << oracle;
  }
  EXPECT_TRUE(MakeOracle("exact")->CanRead("<think>"));  // answers are read as they are
}

TEST(ReasoningModels, RegexThatNamesTheMarksIsRefused) {
  EXPECT_THAT(ErrorText([] { MakeOracle("regex:</think>(.*)"); }),
              HasSubstr("leave <think> and </think> out"));
}

// Says right for the response "r" beside the answer "r", and gives no verdict on the answer "?".
class Doubtful : public Oracle {
 public:
  bool Judge(const Attempt& attempt) const override {
    if (attempt.answer == "?") throw NoVerdict(NoVerdictCause::kCrash, "no verdict");
    return attempt.answer == attempt.response;
  }
  bool CanRead(std::string_view answer) const override { return answer != "?"; }
};

TEST(SeveralAnswers, OneThatIsGivenIsEnough) {
  const Doubtful oracle;
  const auto judge = [&](const char* first, std::vector<std::string> others) {
    return JudgeAny(oracle, {"", first, "r"}, others);
  };
  EXPECT_TRUE(judge("r", {}));
  EXPECT_FALSE(judge("a", {}));
  EXPECT_TRUE(judge("a", {"b", "r"}));
  EXPECT_FALSE(judge("a", {"b"}));
  EXPECT_TRUE(judge("?", {"r"})) << "one certain answer outweighs one without a verdict";
  EXPECT_THROW(judge("?", {"a"}), NoVerdict);
  EXPECT_THROW(judge("a", {"?"}), NoVerdict);
  const std::vector<std::string> others = {"?", "a"};
  EXPECT_TRUE(CanReadAny(oracle, "?", others));
  EXPECT_FALSE(CanReadAny(oracle, "?", {}));
}

// The solutions of GSM8K's test split (Cobbe et al. 2021), 1,319 of them.
class Gsm8kTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string path = PIVOTAL_SOURCE_DIR "/../shared/data/gsm8k/test.jsonl";
    std::ifstream file(path);
    if (!file) GTEST_SKIP() << "no file " << path;
    for (std::string line; std::getline(file, line);)
      answers_.push_back(nlohmann::json::parse(line).at("answer"));
    ASSERT_EQ(answers_.size(), 1319u);
  }
  std::vector<std::string> answers_;
};

TEST_P(Gsm8kTest, EverySolutionPassesAgainstItself) {
  const auto oracle = MakeOracle(GetParam());
  for (const std::string& answer : answers_) {
    EXPECT_TRUE(oracle->CanRead(answer)) << answer;
    EXPECT_TRUE(oracle->Judge({"", answer, answer})) << answer;
    const std::string number = answer.substr(answer.rfind(' ') + 1);
    EXPECT_TRUE(oracle->Judge({"", answer, "#### $" + number + ".00"})) << answer;
  }
}

TEST_P(Gsm8kTest, AChangedFinalNumberFails) {
  const auto oracle = MakeOracle(GetParam());
  for (const std::string& answer : answers_) {
    std::string other = answer;
    other.back() = other.back() == '9' ? '8' : static_cast<char>(other.back() + 1);
    EXPECT_FALSE(oracle->Judge({"", answer, other})) << other;
    EXPECT_FALSE(oracle->Judge({"", answer, answer + "1"})) << answer;
    EXPECT_FALSE(oracle->Judge({"", answer, answer + ".5"})) << answer;
  }
}

INSTANTIATE_TEST_SUITE_P(Oracles, Gsm8kTest, ::testing::Values("hash", "last-number", "numeric"));

// Returns what an oracle reads as the answer of a response; "-" for an oracle that reads none.
std::string AnswerOf(std::string_view oracle, std::string_view response) {
  return MakeOracle(oracle)->Answer(response).value_or("-");
}

TEST(Answer, IsWhatAResponseStatesInOneSpelling) {
  EXPECT_EQ(AnswerOf("last-number", "So $1,234.50"), "1234.5");
  EXPECT_EQ(AnswerOf("hash", "12 - 5 = 7\n#### 07 apples"), "7");
  EXPECT_EQ(AnswerOf("exact", " a b\n"), "a b");
  EXPECT_EQ(AnswerOf("choice", "The answer is (b)."), "B");
  EXPECT_EQ(AnswerOf("regex:answer: *(\\w+)", "answer: x, answer: yes"), "yes");
  for (const char* half : {"#### 3/6", "It is 0.50", "\\boxed{\\frac{1}{2}}"})
    EXPECT_EQ(AnswerOf("numeric", half), "1/2") << half;
  EXPECT_EQ(AnswerOf("numeric", "It takes 3 hours."), "3 hour");
  EXPECT_EQ(AnswerOf("numeric", "It costs $72."), "72 dollar");
  EXPECT_EQ(AnswerOf("math", "So $x$ is $\\frac{6}{8}$."), "3/4");
  EXPECT_EQ(AnswerOf("math", "The answer is 0.75."), "3/4");
  EXPECT_EQ(AnswerOf("math", "\\boxed{x^2}"), "x^2");
  EXPECT_EQ(AnswerOf("math", "\\boxed{50\\%}"), "50\\%");
}

TEST(Answer, IsEmptyWhereAResponseStatesNone) {
  for (const char* oracle : {"numeric", "last-number", "hash", "choice", "regex:(\\d+)"})
    EXPECT_EQ(AnswerOf(oracle, "I do not know"), "") << oracle;
  EXPECT_EQ(AnswerOf("exact", " \n"), "");
  EXPECT_EQ(AnswerOf("math", "\\boxed{}"), "");
  // What a model thinks is no answer.
  for (const char* oracle : {"numeric", "math", "last-number", "exact"})
    EXPECT_EQ(AnswerOf(oracle, "<think>It is 7"), "") << oracle;
}

TEST(Answer, IsUnknownToOraclesThatRunPrograms) {
  EXPECT_EQ(AnswerOf("code", "print(7)"), "-");
  EXPECT_EQ(AnswerOf("command:cat", "7"), "-");
}

// The answers of right responses are those that the oracle takes for the reference, whose own
// answer is read in the same way.
TEST(SameAnswer, AgreesWithTheVerdict) {
  const std::vector<std::string> texts = {
      "#### 3",   "#### 3.0",   "#### 180 minutes", "#### 3 hours",  "#### 6/2",
      "#### -3",  "#### 1,000", "#### 50%",         "#### 50",       "#### 0.5",
      "#### 1/2", "(B)",        "#### $3",          "#### 3 minutes"};
  for (const char* name : {"numeric", "last-number", "hash", "exact", "choice"}) {
    const auto oracle = MakeOracle(name);
    for (const std::string& reference : texts) {
      for (const std::string& response : texts) {
        const std::string a = *oracle->Answer(reference), b = *oracle->Answer(response);
        const bool same = !a.empty() && !b.empty() && oracle->SameAnswer(a, b);
        EXPECT_EQ(same, oracle->Judge({"", reference, response}))
            << name << ": " << reference << " and " << response;
      }
    }
  }
  const std::vector<std::string> formulas = {
      "3/4",  "0.75", "\\frac{3}{4}", "75\\%", "x^2+1", "1+x^2", "1,000",    "1000",
      "5 cm", "5",    "50 mm",        "(1,2)", "204_5", "204",   "\\sqrt{4}"};
  const auto math = MakeOracle("math");
  for (const std::string& reference : formulas) {
    for (const std::string& response : formulas) {
      const auto boxed = [](const std::string& text) { return "\\boxed{" + text + "}"; };
      const std::string a = *math->Answer(boxed(reference)), b = *math->Answer(boxed(response));
      EXPECT_EQ(math->SameAnswer(a, b), math->Judge({"", boxed(reference), boxed(response)}))
          << a << " and " << b;
    }
  }
}

}  // namespace
}  // namespace pivotal::pts
