// Apache-2.0. Tests the generator by solving its questions again from their texts.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <regex>
#include <sstream>

#include "experiments/small/world.h"
#include "pivotal/problem.h"

namespace pivotal::small {
namespace {

using kernels::RandomStream;
using ::testing::HasSubstr;

// Authors who make no slip, check nothing and never refuse wrongly.
constexpr Habits kPerfect = {
    .slip = 0, .guess_slip = 0, .check = 0, .finds = 1, .refuses = 1, .refuses_wrongly = 0};

std::vector<int> NumbersIn(const std::string& text) {
  std::vector<int> numbers;
  static const std::regex kNumber(R"(\d+)");
  for (std::sregex_iterator it(text.begin(), text.end(), kNumber), end; it != end; ++it)
    numbers.push_back(std::stoi(it->str()));
  return numbers;
}

// Runs "x=4; y=7; x=x+y; repeat 3 times: x=x+2" and returns the value of `variable`.
int RunProgram(const std::string& program, const std::string& variable) {
  std::map<std::string, int> values;
  std::stringstream lines(program);
  std::string line;
  while (std::getline(lines, line, ';')) {
    int times = 1;
    std::smatch found;
    static const std::regex kLoop(R"(repeat (\d+) times: (.*))");
    if (std::regex_search(line, found, kLoop)) {
      times = std::stoi(found[1]);
      line = std::string(found[2]);
    }
    static const std::regex kAssignment(R"((\w+)=(\w+)(?:([-+*])(\w+))?)");
    if (!std::regex_search(line, found, kAssignment)) {
      ADD_FAILURE() << line;
      return -1;
    }
    const auto value = [&](const std::string& text) {
      return std::isdigit(static_cast<unsigned char>(text[0])) ? std::stoi(text) : values.at(text);
    };
    for (int i = 0; i < times; ++i) {
      const int left = value(found[2]), right = found[3].matched ? value(found[4]) : 0;
      const std::string op = found[3];
      values[found[1]] = op == "*" ? left * right : op == "-" ? left - right : left + right;
    }
  }
  return values.at(variable);
}

// Solves questions whose form tells everything. Returns false for the other ones.
bool SolveAgain(const std::string& question, int& answer) {
  static const std::regex kRun(R"((?:Run|program:) ((?:[^;.]*; )+[^;.]*)\. What is (\w))"),
      kEquation(R"((\d+)\*x([-+])(\d+)=(\d+))"), kRow(R"((\d+), (\d+), (\d+), (\d+)\D*(\d+))"),
      kShare(R"(What is (\d+)% of (\d+))");
  std::smatch found;
  if (std::regex_search(question, found, kRun)) {
    answer = RunProgram(found[1], found[2]);
    return true;
  }
  if (std::regex_search(question, found, kEquation)) {
    const int a = std::stoi(found[1]), b = std::stoi(found[3]), c = std::stoi(found[4]);
    answer = (found[2] == "+" ? c - b : c + b) / a;
    return true;
  }
  if (std::regex_search(question, found, kRow)) {
    const int first = std::stoi(found[1]), step = std::stoi(found[2]) - first;
    answer = first + (std::stoi(found[5]) - 1) * step;
    return true;
  }
  if (std::regex_search(question, found, kShare)) {
    answer = std::stoi(found[1]) * std::stoi(found[2]) / 100;
    return true;
  }
  return false;
}

TEST(SmallWorld, AnswersFollowFromTheQuestions) {
  RandomStream random(1, 1);
  int solved = 0;
  for (const Draw draw : {Draw::kUsual, Draw::kLarger, Draw::kLonger}) {
    for (int i = 0; i < 3000; ++i) {
      const SmallProblem problem = RandomProblem(draw, random);
      int answer = 0;
      if (!SolveAgain(problem.question, answer)) continue;
      ++solved;
      ASSERT_EQ(problem.answer, answer) << problem.question;
    }
  }
  EXPECT_GT(solved, 2000);
}

// Checks every "a+b=c" and "a% of b is c" of a text.
void CheckFacts(const std::string& text) {
  static const std::regex kFact(R"((?:^|[^\d*+/-])(\d+)([-+*/])(\d+)=(\d+))");
  for (std::sregex_iterator it(text.begin(), text.end(), kFact), end; it != end; ++it) {
    const int a = std::stoi((*it)[1]), b = std::stoi((*it)[3]), c = std::stoi((*it)[4]);
    const char op = (*it)[2].str()[0];
    EXPECT_EQ(op == '*' ? a * b : op == '+' ? a + b : op == '-' ? a - b : a / b, c) << text;
  }
  static const std::regex kShare(R"((\d+)% of (\d+) is (\d+))");
  for (std::sregex_iterator it(text.begin(), text.end(), kShare), end; it != end; ++it)
    EXPECT_EQ(std::stoi((*it)[1]) * std::stoi((*it)[2]) / 100, std::stoi((*it)[3])) << text;
}

TEST(SmallWorld, WorkedSolutionsWithoutSlipsAreRight) {
  RandomStream random(1, 2);
  std::map<std::string, int> ways;
  for (int i = 0; i < 6000; ++i) {
    SmallProblem problem = RandomProblem(i % 2 == 0 ? Draw::kUsual : Draw::kLonger, random);
    problem.trap_rate = 0;
    const Solution solution = Solve(problem, Manner::kFree, kPerfect, random);
    EXPECT_FALSE(solution.trapped || solution.slipped || solution.checked);
    ASSERT_TRUE(solution.text.ends_with("#### " + solution.answer)) << solution.text;
    ++ways[solution.way];
    if (solution.way != "worked" && solution.way != "list") continue;
    CheckFacts(solution.text);
    ASSERT_EQ(solution.answer, std::to_string(problem.answer)) << problem.question << solution.text;
  }
  for (const char* way : {"worked", "head", "list", "fraction", "trial"})
    EXPECT_GT(ways[way], 50) << way;
}

TEST(SmallWorld, ChecksMendSlipsAndSecondReadingsMendMisreadings) {
  RandomStream random(1, 3);
  Habits habits = kPerfect;
  habits.slip = 0.1;
  habits.check = 1;
  int slips = 0, misreadings = 0;
  for (int i = 0; i < 8000; ++i) {
    SmallProblem problem = RandomProblem(Draw::kUsual, random);
    std::erase_if(problem.ways, [](const Way& way) { return way.name != "worked"; });
    const Solution solution = Solve(problem, Manner::kFree, habits, random);
    ASSERT_TRUE(solution.checked);
    ASSERT_THAT(solution.text, HasSubstr("Check: "));
    if (!solution.mended) continue;
    ++(solution.trapped ? misreadings : slips);
    const bool twice = solution.slipped && solution.trapped;
    if (!twice && !solution.trapped && problem.ways[0].steps.size() < 3) {
      ASSERT_EQ(solution.answer, std::to_string(problem.answer))
          << problem.question << solution.text;
    }
    ASSERT_TRUE(solution.trapped || solution.slipped) << solution.text;
  }
  EXPECT_GT(slips, 200);
  EXPECT_GT(misreadings, 200);
}

TEST(SmallWorld, QuestionsWithoutAnAnswerAreRefusedOrMadeUp) {
  RandomStream random(1, 4);
  int refused = 0;
  constexpr int kCount = 4000;
  for (int i = 0; i < kCount; ++i) {
    const SmallProblem problem = RandomProblem(Draw::kUnanswerable, random);
    ASSERT_FALSE(problem.missing.empty()) << problem.question;
    const Solution solution = Solve(problem, Manner::kFree, {}, random);
    refused += solution.answer == kRefusal;
    if (solution.answer == kRefusal) {
      ASSERT_THAT(solution.text, HasSubstr(problem.missing));
    }
  }
  EXPECT_NEAR(refused, 0.5 * kCount, 5 * std::sqrt(0.25 * kCount));
}

// Whatever the number that a program lacks, its value is another one.
TEST(SmallWorld, ProgramsWithoutAnAnswerDependOnWhatIsMissing) {
  RandomStream random(1, 8);
  static const std::regex kRun(R"((?:Run|program:) ([^.]*)\. What is (\w))");
  int programs = 0;
  for (int i = 0; i < 6000; ++i) {
    const SmallProblem problem = RandomProblem(Draw::kUnanswerable, random);
    EXPECT_EQ(problem.key, problem.question);
    std::smatch found;
    if (problem.kind != Kind::kProgram || !std::regex_search(problem.question, found, kRun))
      continue;
    ++programs;
    const auto run = [&](int value) {
      return RunProgram(fmt::format("{}={}; {}", problem.missing, value, found.str(1)), found[2]);
    };
    ASSERT_NE(run(100), run(101)) << problem.question;
  }
  EXPECT_GT(programs, 300);
}

TEST(SmallWorld, SystemMessagesChangeTheWay) {
  RandomStream random(1, 5);
  const auto heads = [&](Manner manner) {
    int count = 0;
    for (int i = 0; i < 2000; ++i)
      count += Solve(RandomProblem(Draw::kUsual, random), manner, {}, random).way == "head";
    return count;
  };
  const int free = heads(Manner::kFree);
  EXPECT_LT(heads(Manner::kStepByStep), 0.5 * free);
  EXPECT_GT(heads(Manner::kBriefly), 1.5 * free);
}

TEST(SmallWorld, ShiftedSetsDifferFromTheCorpus) {
  RandomStream random(1, 6);
  const std::regex combination(
      R"(% (more|fewer) than|[A-Z]\w+ has \d dozens|Another film|in each\..*% of them)");
  for (int i = 0; i < 10000; ++i) {
    const std::string question = RandomDocument({}, random).question;
    ASSERT_FALSE(std::regex_search(question, combination)) << question;
  }
  int larger = 0, combined = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto numbers = NumbersIn(RandomProblem(Draw::kLarger, random).question);
    larger += std::ranges::any_of(numbers, [](int n) { return n >= 100; });
    const std::string question = RandomProblem(Draw::kCombination, random).question;
    combined += std::regex_search(question, combination);
  }
  EXPECT_GT(larger, 700);
  EXPECT_EQ(combined, 1000);
}

TEST(SmallWorld, CorpusLeavesOutExcludedProblems) {
  std::set<std::string> taken;
  const auto problems = MakeProblems(Draw::kUsual, "train", 500, 1, taken);
  EXPECT_EQ(taken.size(), 500u);
  EXPECT_EQ(problems[0].id, "train-0001");
  std::set<std::string> questions;
  for (const SmallProblem& problem : problems) questions.insert(problem.question);
  RandomStream random(1, 7);
  for (int i = 0; i < 20000; ++i)
    ASSERT_FALSE(questions.contains(RandomDocument(taken, random).question));
}

// The shipped files are what the generator makes.
TEST(SmallWorld, ShippedProblemsAreThoseOfTheGenerator) {
  const std::filesystem::path folder = PIVOTAL_SOURCE_DIR "/experiments/small/problems";
  std::set<std::string> taken;
  for (const auto& [name, draw] : {std::pair{"train", Draw::kUsual},
                                   {"heldout", Draw::kUsual},
                                   {"wording", Draw::kWording},
                                   {"larger", Draw::kLarger},
                                   {"longer", Draw::kLonger},
                                   {"combination", Draw::kCombination},
                                   {"unanswerable", Draw::kUnanswerable}}) {
    const auto shipped = LoadProblems(folder / (std::string(name) + ".jsonl"));
    const auto made = MakeProblems(draw, name, static_cast<int>(shipped.size()), 1, taken);
    for (std::size_t i = 0; i < made.size(); ++i) {
      ASSERT_EQ(shipped[i].id, made[i].id);
      ASSERT_EQ(shipped[i].question, made[i].question);
    }
  }
}

}  // namespace
}  // namespace pivotal::small
