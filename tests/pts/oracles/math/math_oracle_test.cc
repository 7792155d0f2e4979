// Apache-2.0.
#include "pts/oracles/math/math_oracle.h"

#include <gtest/gtest.h>

#include <ctime>
#include <fstream>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace pivotal::pts {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// Reads lines "reference ~ response"; "#" begins a comment.
Pairs ReadPairs(const std::string& name) {
  std::ifstream file(PIVOTAL_SOURCE_DIR "/tests/pts/oracles/math/" + name);
  Pairs pairs;
  for (std::string line; std::getline(file, line);) {
    const auto middle = line.find(" ~ ");
    if (!line.starts_with('#') && middle != std::string::npos)
      pairs.emplace_back(line.substr(0, middle), line.substr(middle + 3));
  }
  return pairs;
}

TEST(MathOracle, PairsThatSayTheSame) {
  const auto pairs = ReadPairs("math_same.txt");
  EXPECT_GE(pairs.size(), 200u);
  for (const auto& [reference, response] : pairs) {
    EXPECT_TRUE(SameMathText(reference, response)) << reference << " ~ " << response;
    EXPECT_TRUE(SameMathText(response, reference)) << response << " ~ " << reference;
    EXPECT_TRUE(SameMathText(reference, reference)) << reference;
    EXPECT_TRUE(SameMathText(response, response)) << response;
  }
}

TEST(MathOracle, PairsThatDiffer) {
  const auto pairs = ReadPairs("math_different.txt");
  EXPECT_GE(pairs.size(), 200u);
  for (const auto& [reference, response] : pairs) {
    EXPECT_FALSE(SameMathText(reference, response)) << reference << " ~ " << response;
    EXPECT_FALSE(SameMathText(response, reference)) << response << " ~ " << reference;
  }
}

TEST(MathOracle, AnswersAcrossTheListsAreComparedBothWaysAlike) {
  std::vector<std::string> answers;
  for (const char* name : {"math_same.txt", "math_different.txt"})
    for (const auto& [reference, response] : ReadPairs(name)) {
      answers.push_back(reference);
      answers.push_back(response);
    }
  for (std::size_t i = 0; i < answers.size(); ++i)
    for (std::size_t j = i % 97; j < i; j += 97)
      EXPECT_EQ(SameMathText(answers[i], answers[j]), SameMathText(answers[j], answers[i]))
          << answers[i] << " ~ " << answers[j];
}

std::string Join(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (std::string_view part : parts) text += part;
  return text;
}

bool Judge(std::string_view response, std::string_view answer) {
  return MathOracle().Judge({.question = "", .answer = answer, .response = response});
}

TEST(MathOracle, ReadsTheLastBox) {
  EXPECT_TRUE(Judge("First \\boxed{3}, no: \\boxed{\\frac{1}{2}}.", "0.5"));
  EXPECT_TRUE(Judge("\\boxed{\\text{Area} = \\frac{1}{2}}", "\\frac12"));
  EXPECT_TRUE(Judge("\\fbox{7}", "7"));
  EXPECT_TRUE(Judge("so \\boxed 7", "7"));
  EXPECT_TRUE(Judge("so $\\boxed7$.", "7"));
  EXPECT_TRUE(Judge("\\boxed{1} and \\boxed{-2}", "-2, 1"));
  EXPECT_TRUE(Judge("\\[\\boxed{-2} \\quad \\text{and} \\quad \\boxed{1}\\]", "1,-2"));
  EXPECT_FALSE(Judge("\\boxed{1}. Later:\n\\boxed{-2}", "-2, 1"));
  EXPECT_TRUE(Judge("$\\boxed{1}$\nand\n$\\boxed{-2}$", "-2, 1"));
  EXPECT_TRUE(Judge("\\[\\boxed{1}\\]\n\\[\\boxed{-2}\\]", "-2"));
  EXPECT_TRUE(Judge("\\boxed{1}, \\boxed{2}, and \\boxed{3}", "3,1,2"));
  EXPECT_TRUE(Judge("\\boxed{7} \\boxed{7}", "7"));
  EXPECT_TRUE(Judge("$x = \\boxed{3}$ and $y = \\boxed{4}$", "(3,4)"));
  EXPECT_TRUE(Judge("$x=\\boxed{3}$ or $x=\\boxed{4}$", "4, 3"));
  EXPECT_FALSE(Judge("$x = \\boxed{4}$ and $y = \\boxed{3}$", "(3,4)"));
  EXPECT_TRUE(Judge("\\boxed{7}<|im_end|>", "7"));
  EXPECT_FALSE(Judge("\\boxed{}", ""));
  EXPECT_FALSE(Judge("The answer is 5. \\boxed{6}", "5"));
  EXPECT_TRUE(Judge("\\boxed{6} is wrong. The final answer is $5. I hope it is correct.", "5"));
  EXPECT_TRUE(Judge("\\boxed{5}, cut \\boxed{6", "5"));
}

TEST(MathOracle, ReadsWhatTheAnswerIsSaidToBe) {
  EXPECT_TRUE(Judge("The answer is 12 because 3 times 4. No: the answer is 13.", "13"));
  EXPECT_TRUE(Judge("The answer is .4", "0.4"));
  EXPECT_TRUE(Judge("The answer is $\\frac{1}{2}$ apples, as shown.", "0.5"));
  EXPECT_TRUE(Judge("Answer: **7**", "7"));
  EXPECT_TRUE(Judge("The answer is: the largest n is 34.", "34"));
  EXPECT_TRUE(Judge("The answers are $x = 1$ and $x = 2$.", "2,1"));
  EXPECT_TRUE(Judge("The answer is (B).", "B"));
  EXPECT_FALSE(Judge("The answer is not 7", "7"));
  EXPECT_FALSE(Judge("The answer is 7 or 8", "7"));
}

TEST(MathOracle, ReasonsAndAsidesAfterAnAnswerAreNoPartOfIt) {
  for (std::string_view rest :
       {" because 3 + 4 = 7.", " because $x = 3$.", ", since $x=3$ and $y=4$.", ", which is prime.",
        " (seven).", " in the end.", " as required", " by the theorem.", ", so x = 3.",
        "<|im_end|>\n<|im_start|>user\nAnd 8?", ".</s>", " dollars in total."}) {
    EXPECT_TRUE(Judge(Join({"The answer is 7", rest}), "7")) << rest;
    EXPECT_TRUE(Judge(Join({"The answer is $7$", rest}), "7")) << rest;
    if (rest.find('$') != std::string_view::npos) continue;  // a formula would count
    EXPECT_TRUE(Judge(Join({"So it is 7", rest}), "7")) << rest;
  }
  EXPECT_TRUE(Judge("The answer is x^2+1 because we add 1.", "x^2+1"));
  EXPECT_TRUE(Judge("The answer is (1,2) since it solves both.", "(1,2)"));
  EXPECT_TRUE(Judge("The answer is the largest prime, which is 7, because 8 is even.", "7"));
  for (std::string_view rest : {" or 8 because both fit", " more than x.", " minus 2 because of it",
                                " million because", " if x > 0.", " squared, as x is 7"})
    EXPECT_FALSE(Judge(Join({"The answer is 7", rest}), "7")) << rest;
  EXPECT_TRUE(Judge("The answer is f(x) = x^2 for all x.", "x^2"));
  EXPECT_TRUE(Judge("The answer is no solution because it never ends.", "no solution"));
  EXPECT_TRUE(Judge("The answer is 1, 2 and 3 because they divide 6.", "3,2,1"));
  EXPECT_FALSE(Judge("The answer is $x=5$ as well as $x=3$.", "5"));
  EXPECT_FALSE(Judge("The answer is 12 apples and 3 pears.", "12"));
  EXPECT_FALSE(Judge("The answer is not 7 because 8 fits", "7"));
  EXPECT_FALSE(Judge("The answer is 12 because 5 is odd and so is 7", "7"));
}

TEST(MathOracle, ElseReadsTheLastFormulaOrLine) {
  EXPECT_TRUE(Judge("So $2+2$ makes $4$.", "4"));
  EXPECT_TRUE(Judge("So \\(x = 4\\), we find.", "4"));
  EXPECT_TRUE(Judge("Thus\n\\[ x^2 - 1 \\]", "(x-1)(x+1)"));
  EXPECT_TRUE(Judge("It was\nsqrt(2)/2\n", "\\frac{1}{\\sqrt{2}}"));
  EXPECT_FALSE(Judge("", ""));
  EXPECT_FALSE(Judge("$", "$"));
}

TEST(MathOracle, ReferencesMayBeSolutions) {
  EXPECT_TRUE(Judge("\\boxed{4}", "Two and two. So it is $\\boxed{4}$."));
  EXPECT_TRUE(Judge("4", "We add 2 and 2. The answer is $4$."));
}

// Lines in math-250.jsonl whose label is wrong, and why.
const std::map<int, std::string> kWrongLabels = {
    {71,
     "the response states 1.25, which the reference is; its reasoning is wrong, its answer is "
     "right"}};

TEST(MathOracle, AgreesWithTheLabelsOfMath250) {
  const std::string path = PIVOTAL_SOURCE_DIR "/../shared/data/math/math-250.jsonl";
  std::ifstream file(path);
  if (!file) GTEST_SKIP() << "no file " << path;
  int line = 0, right = 0;
  for (std::string text; std::getline(file, text);) {
    const auto object = nlohmann::json::parse(text);
    const std::string answer = object.at("answer").at(0), response = object.at("response");
    const bool label = object.at("response_label").get<bool>() != kWrongLabels.contains(++line);
    EXPECT_TRUE(MathOracle().CanRead(answer)) << path << ":" << line;
    EXPECT_EQ(Judge(response, answer), label) << path << ":" << line << " " << answer;
    EXPECT_TRUE(Judge(Join({"So \\boxed{", answer, "}"}), answer))
        << path << ":" << line << " " << answer;
    EXPECT_TRUE(Judge(Join({"The answer is $", answer, "$."}), answer))
        << path << ":" << line << " " << answer;
    right += label;
  }
  EXPECT_EQ(line, 250);
  EXPECT_EQ(right, 24);
}

// Of the different answers to the problems of math-250.jsonl none says the same as another, and
// none is compared otherwise the other way round.
TEST(MathOracle, AnswersOfMath250AreAllDifferent) {
  const std::string path = PIVOTAL_SOURCE_DIR "/../shared/data/math/math-250.jsonl";
  std::ifstream file(path);
  if (!file) GTEST_SKIP() << "no file " << path;
  std::set<std::string> answers;
  for (std::string text; std::getline(file, text);)
    answers.insert(nlohmann::json::parse(text).at("answer").at(0).get<std::string>());
  EXPECT_EQ(answers.size(), 169u);
  for (const std::string& a : answers)
    for (const std::string& b : answers) EXPECT_EQ(SameMathText(a, b), a == b) << a << " ~ " << b;
}

std::string Repeat(std::string_view part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

// None of these responses may take long, throw, or be right.
TEST(MathOracle, HostileResponsesFailSoon) {
  const std::vector<std::string> hostile = {
      "9^9^9^9^9",
      "9^{9^{9^{9}}}",
      "((9^{999})^{999})^{999}",
      "1000000!",
      "((9!)!)!",
      "\\binom{99999999}{5}",
      "10^{99999999999999}",
      "\\sqrt[999999]{2}",
      "\\frac{1}{0}",
      "0^0",
      "\\log_1 5",
      "\\tan 90^\\circ",
      "\\sin(10^{30})",
      "e^{e^{e^{e^{e}}}}",
      Join({Repeat("(", 900), "5", Repeat(")", 900)}),
      Repeat("(", 1900),
      Repeat("{", 1900),
      Repeat("\\frac{", 300),
      Join({Repeat("\\frac", 300), "12"}),
      Repeat("1\\frac{", 200),
      Join({Repeat("-", 1500), "5"}),
      Repeat("\\pm 1", 300),
      Repeat("5!", 900),
      Join({"5", Repeat("!", 1900)}),
      Repeat("\\sqrt", 300),
      Repeat("x^", 900),
      Repeat("|", 1500),
      Repeat("\\left|", 300),
      Repeat("1,", 900),
      Join({Repeat("a=", 900), "6"}),
      Repeat("\\{", 900),
      Repeat("5%", 900),
      Join({Repeat("\\sin", 400), "x"}),
      Join({Repeat("x/", 900), "x"}),
      Repeat("\\text{", 300),
      Join({Repeat("2^", 60), "2"}),
      Join({"\\begin{pmatrix}", Repeat("1&", 600), "1\\end{pmatrix}"}),
      Repeat("\\begin{pmatrix}", 100),
      Repeat("(x+1)", 390),
      Join({"(", Repeat("x+", 900), "x)^{999}"}),
      Join({Repeat("99999999!+", 100), "1"}),
      Repeat("\\log_", 300),
      Repeat("\\sum_{k=1}^{200}", 60),
      Repeat("\\sum_{k=1}^{200}(k+\\prod_{j=k}^{150}", 20),
      Join({Repeat("x\\ne 1 or ", 180), "x > 2"}),
      Join({"\\mathbb{R}\\setminus\\{1", Repeat(",\\sqrt{2}", 180), "\\}"}),
      Repeat("[1,2[\\cup", 150),
      Repeat("{5 \\choose ", 120),
      Repeat("\\|", 600),
      Repeat("5\\pmod", 200),
      Join({"\\gcd(", Repeat("9^{999},", 100), "3)"}),
      std::string(100'000, '9'),
      std::string(1000, '\0'),
      "\xff\xfe",
      "\\boxed{\\boxed{\\boxed{",
      Repeat("\\boxed{", 20'000),
      Repeat("\\boxed{6} and ", 5'000),
      Repeat("$", 10'000),
      Repeat("answer is ", 10'000)};
  for (const std::string& text : hostile) {
    const std::clock_t start = std::clock();
    for (const std::string& response :
         {text, Join({"\\boxed{", text, "}"}), Join({"The answer is $", text, "$"})}) {
      for (std::string_view answer : {"5", "x+5", "\\sqrt{5}", "(5,5)"})
        EXPECT_FALSE(Judge(response, answer)) << text.substr(0, 60);
      Judge(response, text);
    }
    // Without bounds the work would take hours; sanitizers and busy machines take seconds.
    EXPECT_LT((std::clock() - start) / CLOCKS_PER_SEC, 60) << text.substr(0, 60);
  }
}

}  // namespace
}  // namespace pivotal::pts
