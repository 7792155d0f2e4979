// Apache-2.0. The documents that the small model is trained on.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "experiments/small/world.h"

namespace pivotal::small {
namespace {

using kernels::RandomStream;

// Returns a step as a drill repeats it: its question and its answer.
std::pair<std::string, std::string> Fact(RandomStream& random) {
  const auto between = [&](int low, int high) {
    return low + static_cast<int>(random.Below(high - low + 1));
  };
  const double kind = random.Uniform();
  const auto fact = [](const std::string& question, int answer) {
    return std::pair{question, fmt::format("{}={}", question, answer)};
  };
  const int high = random.Uniform() < 0.25 ? 399 : 99;
  if (kind < 0.28) {
    const int a = between(2, high), b = between(2, 99);
    return fact(fmt::format("{}+{}", a, b), a + b);
  }
  if (kind < 0.56) {
    const int a = between(12, high), b = between(2, std::min(a - 1, 99));
    return fact(fmt::format("{}-{}", a, b), a - b);
  }
  if (kind < 0.66) {
    const int a = between(1, 9), b = between(2, 9);
    return fact(fmt::format("{}*{}", a, b), a * b);
  }
  if (kind < 0.74) {
    const int a = 10 * between(1, 12), b = between(2, 9);
    return fact(fmt::format("{}*{}", a, b), a * b);
  }
  if (kind < 0.86) {
    const int a = between(11, 99), b = between(2, 9), tens = a / 10 * 10, ones = a % 10;
    const std::string question = fmt::format("{}*{}", a, b);
    if (ones == 0) return fact(question, a * b);
    return {question, fmt::format("{}: {}*{}={}, {}*{}={}, {}+{}={}", question, tens, b, tens * b,
                                  ones, b, ones * b, tens * b, ones * b, a * b)};
  }
  if (kind < 0.94) {
    const int a = between(2, 9), b = between(2, 25);
    return fact(fmt::format("{}/{}", a * b, a), b);
  }
  const int whole = 20 * between(2, 30);
  const std::string question = fmt::format("10% of {}", whole);
  return {question, fmt::format("{} is {}", question, whole / 10)};
}

Document Drill(RandomStream& random) {
  std::vector<std::string> questions, answers;
  const int64_t facts = 3 + random.Below(3);
  for (int64_t i = 0; i < facts; ++i) {
    auto [question, answer] = Fact(random);
    questions.push_back(std::move(question));
    answers.push_back(std::move(answer));
  }
  return {"", fmt::format("Calculate {}.", fmt::join(questions, ", ")),
          fmt::format("{}.", fmt::join(answers, ", "))};
}

}  // namespace

Document RandomDocument(const std::set<std::string>& excluded, RandomStream& random) {
  if (random.Uniform() < 0.15) return Drill(random);
  const double side = random.Uniform();
  const Manner manner = side < 0.7    ? Manner::kFree
                        : side < 0.85 ? Manner::kStepByStep
                                      : Manner::kBriefly;
  const Draw draw = random.Uniform() < 0.08 ? Draw::kUnanswerable : Draw::kUsual;
  SmallProblem problem = RandomProblem(draw, random);
  while (excluded.contains(problem.key)) problem = RandomProblem(draw, random);
  return {SystemMessage(manner), problem.question, Solve(problem, manner, {}, random).text};
}

}  // namespace pivotal::small
