// Apache-2.0. Tests the generator by reading its arithmetic back from the texts.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <regex>

#include "experiments/tiny/world.h"
#include "pivotal/tokenizer.h"
#include "tests/support/temp_dir.h"

namespace pivotal::tiny {
namespace {

// Checks that every "a*b=c", "a+b=c" and "a-b=c" in `text` is true, and returns their number.
int CheckFacts(const std::string& text, bool products_hold = true) {
  static const std::regex kFact(R"((\d+)([*+-])(\d+)=(\d+))");
  int facts = 0;
  for (std::sregex_iterator it(text.begin(), text.end(), kFact), end; it != end; ++it, ++facts) {
    const int a = std::stoi((*it)[1]), b = std::stoi((*it)[3]), c = std::stoi((*it)[4]);
    const char op = (*it)[2].str()[0];
    if (op == '*' && !products_hold) continue;
    EXPECT_EQ(op == '*' ? a * b : op == '+' ? a + b : a - b, c) << text;
  }
  return facts;
}

TEST(TinyWorld, CarefulSolutionsAreRight) {
  kernels::RandomStream random(1, 1);
  EXPECT_EQ(CarefulSolution({47, 6, 25, false}),
            " 47*6: 40*6=240, 7*6=42, 240+42=282. 282+25=307. #### 307");
  for (int i = 0; i < 2000; ++i) {
    const Arithmetic a = RandomArithmetic(random);
    const std::string text = CarefulSolution(a);
    ASSERT_EQ(CheckFacts(text), 4);
    ASSERT_TRUE(text.ends_with("#### " + std::to_string(a.Result()))) << text;
  }
}

TEST(TinyWorld, CarelessSolutionsFollowTheirProduct) {
  EXPECT_EQ(CarelessSolution({47, 6, 25, false}, 292), " 47*6=292. 292+25=317. #### 317");
  kernels::RandomStream random(1, 2);
  for (int i = 0; i < 2000; ++i) {
    const Arithmetic a = RandomArithmetic(random);
    const int product = RandomWrongProduct(a, random);
    ASSERT_NE(product, a.Product());
    ASSERT_LE(std::abs(product - a.Product()), 40);
    ASSERT_EQ(CheckFacts(CarelessSolution(a, product), false), 2);
  }
}

TEST(TinyWorld, DrillsAreRight) {
  kernels::RandomStream random(1, 3);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(CheckFacts(RandomDrill(random)), 6);
}

TEST(TinyWorld, QuestionsHoldTheirNumbers) {
  kernels::RandomStream random(1, 4);
  for (int i = 0; i < 1000; ++i) {
    const Arithmetic a = RandomArithmetic(random);
    const std::string question = RandomQuestion(a, random);
    ASSERT_EQ(question.find('{'), std::string::npos) << question;
    for (int number : {a.factor, a.digit, a.term})
      ASSERT_NE(question.find(std::to_string(number)), std::string::npos) << question;
  }
}

TEST(TinyWorld, ProblemSetsAreDisjointAndReproducible) {
  const ProblemFiles files = MakeProblems(1000, 500, 1);
  std::set<Arithmetic> all;
  for (const auto* list : {&files.train, &files.heldout})
    for (const TinyProblem& problem : *list) all.insert(problem.arithmetic);
  EXPECT_EQ(all.size(), 1500u);
  EXPECT_EQ(files.heldout.back().question, MakeProblems(1000, 500, 1).heldout.back().question);
  EXPECT_EQ(files.train[0].id, "train-0001");
}

TEST(TinyWorld, CorpusLeavesOutExcludedProblemsAndKeepsItsMix) {
  kernels::RandomStream random(1, 5);
  std::set<Arithmetic> excluded;
  for (int digit = 2; digit <= 8; ++digit)
    for (int factor = 12; factor <= 99; ++factor)
      for (int term = 12; term <= 99; ++term)
        for (bool minus : {false, true}) excluded.insert({factor, digit, term, minus});
  int drills = 0, careful = 0;
  constexpr int kDocuments = 3000;
  for (int i = 0; i < kDocuments; ++i) {
    const Document document = RandomDocument({}, excluded, random);
    drills += document.question.empty();
    careful += document.completion.find(':') != std::string::npos;
    if (!document.question.empty()) {  // all problems with another digit than 9 are excluded
      ASSERT_TRUE(std::regex_search(document.completion, std::regex(R"(^ \d\d\*9[:=])")))
          << document.completion;
    }
  }
  EXPECT_NEAR(drills, 0.25 * kDocuments, 5 * std::sqrt(0.25 * 0.75 * kDocuments));
  EXPECT_NEAR(careful, 0.45 * (kDocuments - drills), 5 * std::sqrt(0.25 * kDocuments));
}

// Checks that tokenizer.json, which transformers and Pivotal prefer, encodes the world's texts as
// tokenizer.model does.
TEST(TinyTokenizer, BothFilesAgree) {
  const std::filesystem::path model = PIVOTAL_SOURCE_DIR "/experiments/tiny/model";
  const testing::TempDir alone;
  for (const char* file : {"tokenizer.model", "tokenizer_config.json"})
    std::filesystem::copy_file(model / file, alone.path() / file);
  const auto json = LoadTokenizer(model), sentencepiece = LoadTokenizer(alone.path());
  kernels::RandomStream random(1, 9);
  for (int i = 0; i < 3000; ++i) {
    const Document document = RandomDocument({}, {}, random);
    const std::string text = "Question: " + document.question + "\nAnswer:" + document.completion;
    const auto ids = json->Encode(text);
    ASSERT_EQ(ids, sentencepiece->Encode(text)) << text;
    ASSERT_EQ(json->Decode(ids, true), text);
  }
  EXPECT_EQ(json->bos(), sentencepiece->bos());
  EXPECT_EQ(json->eos(), sentencepiece->eos());
  EXPECT_TRUE(json->adds_bos() && sentencepiece->adds_bos());
}

}  // namespace
}  // namespace pivotal::tiny
