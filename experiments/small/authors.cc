// Apache-2.0. Authors: how a problem's steps become the text of a solution, with slips and checks.
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "experiments/small/world.h"

namespace pivotal::small {
namespace {

using kernels::RandomStream;

// Returns a wrong result near the right one, most often by one or by ten.
int Slipped(int right, RandomStream& random) {
  constexpr std::array<int, 6> kShifts = {1, 1, 2, 10, 10, 20};
  const int shift = kShifts[static_cast<std::size_t>(random.Below(6))];
  const bool down = random.Uniform() < 0.5 && right > shift;
  return down ? right - shift : right + shift;
}

// Writes the steps of one attempt and keeps what each was said to give.
class Working {
 public:
  Working(const std::vector<Step>& steps, const Habits& habits, RandomStream& random)
      : steps_(steps), habits_(habits), random_(random) {}

  // Appends steps from `from` on; `slips`: whether they may come out wrong.
  void Write(std::size_t from, bool slips, std::string& text) {
    constexpr std::array<const char*, 4> kLinks = {"", "Then ", "So ", "Next "};
    results_.resize(from);
    for (std::size_t i = from; i < steps_.size(); ++i) {
      if (i > from) text += " ";
      if (i > from && steps_[i].label.empty())
        text += kLinks[static_cast<std::size_t>(random_.Below(4))];
      WriteStep(i, slips, text);
      text += ".";
    }
  }

  // Checks the steps one by one. Returns true if it found a slip and mended it.
  bool Check(std::string& text) {
    const std::size_t first = steps_.size() > 2 ? steps_.size() - 2 : 0;
    for (std::size_t i = first; i < steps_.size(); ++i) {
      const auto [left, right] = OperandsOf(steps_[i], results_);
      const int said = results_[i], truth = Calculate(steps_[i].op, left, right);
      const bool finds = said == truth || random_.Uniform() < habits_.finds;
      const int seen = finds ? truth : said;
      if (i > first) text += ", ";
      switch (steps_[i].op) {
        case '+':
          text += fmt::format("{}-{}={}", said, right, said - right + (finds ? 0 : truth - said));
          if (seen != said) text += fmt::format(", not {}", left);
          break;
        case '-':
          text += fmt::format("{}+{}={}", said, right, said + right + (finds ? 0 : truth - said));
          if (seen != said) text += fmt::format(", not {}", left);
          break;
        case '*':
          text += fmt::format("{}*{}={}", right, left, seen);
          if (seen != said) text += fmt::format(", not {}", said);
          break;
        case '/':
          text += fmt::format("{}*{}={}", said, right, finds ? said * right : left);
          if (finds && said * right != left) {
            // It may be the numbers before: everything is worked out again.
            text += fmt::format(", not {}. Wrong. ", left);
            Write(0, false, text);
            return true;
          }
          break;
        default:
          text += fmt::format("{}% of {} is {}", left, right, seen);
          if (seen != said) text += fmt::format(", not {}", said);
      }
      if (seen == said) continue;
      text += ". Wrong. ";
      Write(i, false, text);
      return true;
    }
    text += ", right.";
    return false;
  }

  int result() const { return results_.back(); }
  bool slipped() const { return slipped_; }

 private:
  int Result(char op, int left, int right, double slip) {
    const int truth = Calculate(op, left, right);
    if (random_.Uniform() >= slip) return truth;
    slipped_ = true;
    return Slipped(truth, random_);
  }

  void WriteStep(std::size_t i, bool slips, std::string& text) {
    const Step& step = steps_[i];
    const auto [left, right] = OperandsOf(steps_[i], results_);
    const double slip = slips ? habits_.slip : 0;
    text += step.label;
    if (step.op == '%') {
      const double rate = slips ? (left == 10 ? slip : habits_.guess_slip) : 0;
      results_.push_back(Result('%', left, right, rate));
      text += fmt::format("{}% of {} is {}", left, right, results_.back());
      return;
    }
    const int high = std::max(left, right), low = std::min(left, right);
    const bool hard = step.op == '*' && high > 10 && high % 10 != 0 && low > 1;
    if (!hard || (low > 10 && low % 10 != 0)) {
      results_.push_back(Result(step.op, left, right, hard && slips ? habits_.guess_slip : slip));
      text += fmt::format("{}{}{}={}", left, step.op, right, results_.back());
      return;
    }
    const int tens = high / 10 * 10, ones = high % 10;
    const int a = Result('*', tens, low, slip / 2), b = Result('*', ones, low, slip / 2);
    results_.push_back(Result('+', a, b, slip));
    text += fmt::format("{}*{}: {}*{}={}, {}*{}={}, {}+{}={}", left, right, tens, low, a, ones, low,
                        b, a, b, results_.back());
  }

  const std::vector<Step>& steps_;
  const Habits& habits_;
  RandomStream& random_;
  std::vector<int> results_;
  bool slipped_ = false;
};

const Way& Choose(const std::vector<Way>& ways, Manner manner, RandomStream& random) {
  const auto weight = [&](const Way& way) {
    const bool head = way.name == "head";
    if (manner == Manner::kStepByStep) return head ? way.weight / 4 : way.weight;
    if (manner == Manner::kBriefly) return head ? way.weight * 4 : way.weight;
    return way.weight;
  };
  double sum = 0;
  for (const Way& way : ways) sum += weight(way);
  double at = sum * random.Uniform();
  for (const Way& way : ways)
    if ((at -= weight(way)) < 0) return way;
  return ways.back();
}

std::string Lead(RandomStream& random) {
  constexpr std::array<const char*, 6> kLeads = {"", "", "", "", "Let's see. ", "I work it out. "};
  return kLeads[static_cast<std::size_t>(random.Below(6))];
}

Solution Refuse(const SmallProblem& problem, RandomStream& random) {
  const std::string what = problem.missing.empty() ? "a number" : problem.missing;
  Solution solution{.answer = kRefusal, .way = "refusal"};
  solution.text =
      random.Uniform() < 0.5
          ? fmt::format("The text does not give {}, so I can't tell. #### {}", what, kRefusal)
          : fmt::format("I can't tell: {} is not known. #### {}", what, kRefusal);
  return solution;
}

}  // namespace

int Calculate(char op, int left, int right) {
  switch (op) {
    case '+': return left + right;
    case '-': return left - right;
    case '*': return left * right;
    case '/': return right == 0 ? 0 : left / right;
    default: return left * right / 100;
  }
}

std::pair<int, int> OperandsOf(const Step& step, const std::vector<int>& results) {
  const auto value = [&](const Operand& operand) {
    return operand.step < 0 ? operand.value : results[static_cast<std::size_t>(operand.step)];
  };
  return {value(step.left), value(step.right)};
}

std::string SystemMessage(Manner manner) {
  return manner == Manner::kFree         ? ""
         : manner == Manner::kStepByStep ? "Work step by step."
                                         : "Answer briefly.";
}

Solution Solve(const SmallProblem& problem, Manner manner, const Habits& habits,
               RandomStream& random) {
  if (random.Uniform() < (problem.missing.empty() ? habits.refuses_wrongly : habits.refuses))
    return Refuse(problem, random);
  Solution solution;
  const Way& way = Choose(problem.ways, manner, random);
  solution.way = way.name;
  solution.trapped =
      !problem.trap.empty() && way.name != "list" && random.Uniform() < problem.trap_rate;
  const bool prose = !way.prose.empty() && !solution.trapped;
  solution.text = Lead(random);
  Working working(solution.trapped ? problem.trap : way.steps, habits, random);
  int result = way.result;
  if (prose) {
    solution.text += way.prose;
  } else {
    working.Write(0, true, solution.text);
    result = working.result();
  }
  solution.slipped = working.slipped();
  const double check = manner == Manner::kBriefly ? habits.check / 4 : habits.check;
  solution.checked = random.Uniform() < check && (!prose || !problem.trap.empty());
  const bool rereads = prose || (problem.kind == Kind::kEquation && solution.trapped);
  if (solution.checked && !problem.trap.empty() && (rereads || random.Uniform() < 0.6)) {
    // A second reading: it finds a misreading, and no slip.
    solution.text += fmt::format(" Check: {}", problem.reread);
    if (solution.trapped && random.Uniform() < habits.finds) {
      solution.text += ", so that is wrong. ";
      Working again(problem.ways.front().steps, habits, random);
      again.Write(0, true, solution.text);
      result = again.result();
      solution.mended = true;
    } else {
      solution.text += ", right.";
    }
  } else if (solution.checked) {
    solution.text += " Check: ";
    solution.mended = working.Check(solution.text);
    result = working.result();
  }
  solution.answer = std::to_string(result);
  solution.text += fmt::format(" #### {}", result);
  return solution;
}

}  // namespace pivotal::small
