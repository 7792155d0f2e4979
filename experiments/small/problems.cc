// Apache-2.0. Problems of the small world: their questions, and the ways to solve them.
#include <fmt/args.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

#include "experiments/small/world.h"

namespace pivotal::small {
namespace {

using kernels::RandomStream;
using Texts = std::vector<std::string_view>;

constexpr std::array kNames = {"Tom", "Anna", "Ben",  "Mia", "Sam",  "Lily", "Max",  "Eva",
                               "Leo", "Nora", "Jack", "Zoe", "Paul", "Ida",  "Karl", "Ruth"};
constexpr std::array kThings = {"apples", "books",  "coins", "cards", "pens", "shells", "beads",
                                "cups",   "stamps", "eggs",  "nuts",  "keys", "plums",  "rings"};

// What a problem is drawn with.
struct Dice {
  RandomStream& random;
  Draw draw;
  bool large = false;

  int Between(int low, int high) const {
    return low + static_cast<int>(random.Below(high - low + 1));
  }
  bool Chance(double rate) const { return random.Uniform() < rate; }
  template <typename List>
  const auto& Pick(const List& items) const {
    return items[static_cast<std::size_t>(random.Below(std::ssize(items)))];
  }
  // Picks a wording: of those that training documents have, or of the others.
  std::string_view Word(const Texts& usual, const Texts& other) const {
    return Pick(draw == Draw::kWording ? other : usual);
  }
  int Amount() const { return large ? Between(100, 399) : Between(11, 70); }
  int Digit() const { return Between(2, 9); }
  bool longer() const { return draw == Draw::kLonger; }
  bool missing() const { return draw == Draw::kUnanswerable; }
};

// Fills in {names} of a text.
struct Values {
  std::vector<std::pair<const char*, std::string>> values;
  template <typename T>
  Values& Set(const char* name, const T& value) {
    values.emplace_back(name, fmt::format("{}", value));
    return *this;
  }
  std::string Fill(std::string_view text) const {
    fmt::dynamic_format_arg_store<fmt::format_context> store;
    for (const auto& [name, value] : values) store.push_back(fmt::arg(name, value));
    return fmt::vformat(text, store);
  }
};

Operand Number(int value) { return {value, -1}; }
Operand Result(std::size_t step) { return {0, static_cast<int>(step)}; }

// Returns the results of steps without slips.
std::vector<int> Results(const std::vector<Step>& steps) {
  std::vector<int> results;
  for (const Step& step : steps) {
    const auto [left, right] = OperandsOf(step, results);
    results.push_back(Calculate(step.op, left, right));
  }
  return results;
}

bool AllPositive(const std::vector<Step>& steps) {
  return std::ranges::all_of(Results(steps), [](int result) { return result > 0; });
}

// Returns the steps as one expression: "34+3*12-15".
std::string Expression(const std::vector<Step>& steps) {
  std::vector<std::string> texts;
  for (const Step& step : steps) {
    const auto text = [&](const Operand& operand) {
      return operand.step < 0 ? std::to_string(operand.value)
                              : texts[static_cast<std::size_t>(operand.step)];
    };
    texts.push_back(fmt::format("{}{}{}", text(step.left), step.op, text(step.right)));
  }
  return texts.back();
}

// Returns a guess of a number, right in `right` of all cases.
int Guess(int truth, double right, const Dice& dice) {
  if (dice.Chance(right)) return truth;
  constexpr std::array<int, 6> kShifts = {1, 2, 3, 5, 10, 20};
  const int shift = dice.Pick(kShifts);
  return truth > shift && dice.Chance(0.5) ? truth - shift : truth + shift;
}

// Adds the ways that most kinds have: the steps with their working, and a guess of the whole.
void AddUsualWays(SmallProblem& problem, const std::vector<Step>& steps, double worked,
                  const Dice& dice) {
  problem.answer = Results(steps).back();
  problem.ways.push_back({.weight = worked, .name = "worked", .steps = steps});
  const bool refers = std::ranges::any_of(steps, [](const Step& step) {
    return step.op == '%' || step.op == '/' || !step.label.empty();
  });
  const double right = steps.size() == 1 ? 0.7 : steps.size() == 2 ? 0.5 : 0.3;
  const int guess = Guess(problem.answer, right, dice);
  Way head{.weight = 1 - worked, .name = "head", .steps = steps, .result = guess};
  head.prose =
      refers ? fmt::format("It is {}.", guess) : fmt::format("{}={}.", Expression(steps), guess);
  problem.ways.push_back(std::move(head));
}

std::string KeyOf(std::string_view kind, std::initializer_list<int> numbers) {
  std::string key(kind);
  for (const int number : numbers) key += fmt::format(" {}", number);
  return key;
}

// A person owns things, gains and loses some.
SmallProblem Story(const Dice& dice) {
  SmallProblem problem{.kind = Kind::kStory};
  const double length = dice.random.Uniform();
  const int changes = dice.longer()   ? 5
                      : length < 0.3  ? 1
                      : length < 0.65 ? 2
                      : length < 0.9  ? 3
                                      : 4;
  Values values;
  const auto name = dice.Pick(kNames);
  auto other = dice.Pick(kNames);
  while (other == name) other = dice.Pick(kNames);
  values.Set("n", name).Set("f", other).Set("i", dice.Pick(kThings));
  std::vector<Step> steps;
  std::optional<Operand> now;
  int total = 0, packs = 0;
  problem.key = "story";
  const auto sentence = [&](const Texts& usual, const Texts& others, int a, int b) {
    Values all = values;
    all.Set("a", a).Set("b", b);
    problem.question += (problem.question.empty() ? "" : " ") + all.Fill(dice.Word(usual, others));
    problem.key += fmt::format(" {} {}", a, b);
  };
  const auto pack = [&](int count, int size) {
    steps.push_back({'*', Number(count), Number(size)});
    ++packs;
    return Result(steps.size() - 1);
  };
  if (dice.missing()) {
    total = dice.Amount();
    now = Number(total);
    sentence({"{n} has some {i}.", "{n} has a few {i}.", "{n} owns some {i}.",
              "There are some {i} in the bag of {n}."},
             {}, 0, 0);
    problem.missing = "the number at the start";
  } else if (dice.Chance(0.3)) {
    const int count = dice.Digit(), size = dice.large ? dice.Between(31, 60) : dice.Between(11, 30);
    now = pack(count, size);
    total = count * size;
    sentence({"{n} has {a} boxes with {b} {i} in each.", "{n} has {a} rows of {b} {i}.",
              "{n} fills {a} jars. Every jar holds {b} {i}.", "{n} has {a} bags of {b} {i}.",
              "In each of {a} boxes of {n} are {b} {i}.",
              "{n} buys {a} packs. Each pack holds {b} {i}."},
             {"{n} has {a} jars with {b} {i} in each.",
              "There are {a} packs of {n}, and in every pack are {b} {i}.",
              "{n} owns {a} boxes. Each holds {b} {i}."},
             count, size);
  } else {
    total = dice.Amount();
    now = Number(total);
    sentence({"{n} has {a} {i}.", "{n} owns {a} {i}.", "There are {a} {i} in a box of {n}.",
              "{n} starts with {a} {i}.", "In the bag of {n} are {a} {i}.", "{n} counts {a} {i}.",
              "At first {n} has {a} {i}."},
             {"There are {a} {i} in the bag of {n}.", "At the start {n} owns {a} {i}.",
              "In a box {n} counts {a} {i}."},
             total, 0);
  }
  for (int c = 0; c < changes; ++c) {
    const double kind = dice.random.Uniform();
    if (kind < 0.3) {
      const int count = dice.Digit(), size = dice.Between(11, 30);
      const Operand product = pack(count, size);
      steps.push_back({'+', *now, product});
      total += count * size;
      sentence(
          {"{n} buys {a} packs of {b} {i}.", "{n} gets {a} bags with {b} {i} in each.",
           "{f} brings {a} boxes of {b} {i}.", "Then {n} finds {a} bags of {b} {i}.",
           "{f} gives {n} {a} packs of {b} {i}.", "{n} gets {a} boxes. Each box holds {b} {i}."},
          {"{f} brings {a} bags with {b} {i} in each.", "Then {n} buys {a} boxes of {b} {i}.",
           "{n} finds {a} packs. Each pack holds {b} {i}."},
          count, size);
    } else if (kind < 0.6 || total < 20) {
      const int more = dice.Amount();
      steps.push_back({'+', *now, Number(more)});
      total += more;
      sentence({"{n} buys {a} more.", "{n} finds {a} {i}.", "{f} gives {n} {a} {i}.",
                "{n} gets {a} more from {f}.", "Then {f} brings {a} {i}.", "{n} wins {a} {i}.",
                "{n} gets {a} {i} from {f}.", "Then {n} buys {a} {i}."},
               {"{f} brings {n} {a} more.", "{n} wins {a} more from {f}.",
                "Then {n} finds {a} more {i}."},
               more, 1);
    } else {
      const int less = dice.Between(5, std::min(total - 5, dice.large ? 399 : 70));
      steps.push_back({'-', *now, Number(less)});
      total -= less;
      sentence(
          {"{n} gives {a} to {f}.", "{n} loses {a} of them.", "{n} sells {a} {i}.",
           "{n} gives away {a} {i}.", "{f} takes {a} {i}.", "Then {n} sells {a} of the {i}.",
           "{n} loses {a} {i}.", "{f} gets {a} {i} from {n}."},
          {"Then {f} takes {a} of them.", "{n} gives {f} {a} of the {i}.", "{n} sells {a} to {f}."},
          less, 2);
    }
    now = Result(steps.size() - 1);
  }
  sentence(
      {"How many {i} does {n} have now?", "How many {i} are there in the end?",
       "How many {i} has {n} then?", "How many {i} are left?", "What is the number of {i} now?"},
      {"How many {i} does {n} own in the end?", "What number of {i} has {n} now?"}, 0, 0);
  AddUsualWays(problem, steps, 0.55, dice);
  // The misreading: a pack counts as its number and its size, or the first change has another sign.
  problem.trap = steps;
  const auto turn = [&](char from, char to) {
    const auto at = std::ranges::find(problem.trap, from, &Step::op);
    if (at == problem.trap.end()) return false;
    at->op = to;
    return true;
  };
  if (packs > 0 && turn('*', '+')) {
    problem.reread = "each has as many";
    problem.trap_rate = 0.3;
  } else if (turn('-', '+')) {
    problem.reread = "some are gone";
    problem.trap_rate = 0.2;
  } else {
    problem.trap.clear();
  }
  if (!AllPositive(problem.trap)) problem.trap.clear();
  return problem;
}

// A share of a number.
SmallProblem Percent(const Dice& dice) {
  SmallProblem problem{.kind = Kind::kPercent};
  constexpr std::array kShares = {5, 10, 15, 20, 25, 30, 40, 50, 60, 75, 80};
  const int whole = 20 * (dice.large ? dice.Between(11, 40) : dice.Between(2, 10));
  const int share = dice.Pick(kShares);
  const bool up = dice.Chance(0.3), part = !up && dice.Chance(0.25);
  problem.key = KeyOf("percent", {whole, share, up, part});
  Values values;
  values.Set("n", dice.Pick(kNames)).Set("i", dice.Pick(kThings)).Set("w", whole).Set("p", share);
  if (dice.missing()) {
    problem.question = values.Fill(
        up ? dice.Pick(Texts{"The price of a coat rises by {p}%. What is the new price?",
                             "{n} has some {i} and gets {p}% more. How many {i} is that?"})
           : dice.Pick(Texts{"The price of a coat falls by {p}%. What is the new price?",
                             "{n} has some {i} and sells {p}% of them. How many {i} are left?"}));
    problem.missing = "the number before the change";
  } else if (part) {
    problem.question =
        values.Fill(dice.Word({"What is {p}% of {w}?", "{p}% of {w} {i} are red. How many are red?",
                               "{n} takes {p}% of {w} {i}. How many {i} does {n} take?",
                               "There are {w} {i}. {p}% are red. How many red {i} are there?"},
                              {"{n} has {w} {i}. {p}% of them are red. How many are red?",
                               "How many are {p}% of {w} {i}?"}));
  } else if (up) {
    problem.question = values.Fill(
        dice.Word({"A coat costs {w} coins. The price rises by {p}%. What is the new price?",
                   "{n} has {w} {i} and gets {p}% more. How many {i} is that?",
                   "A town has {w} trees. Then there are {p}% more. How many trees are there?",
                   "The price of a coat is {w} coins. It rises by {p}%. What is it then?",
                   "{n} had {w} {i} and now has {p}% more. How many {i} is that?"},
                  {"A coat costs {w} coins, then {p}% more. What does it cost?",
                   "There are {w} {i}. The number rises by {p}%. How many {i} are there?"}));
  } else {
    problem.question = values.Fill(
        dice.Word({"A coat costs {w} coins. The price falls by {p}%. What is the new price?",
                   "{n} has {w} {i} and sells {p}% of them. How many {i} are left?",
                   "Of {w} people {p}% are children. How many are adults?",
                   "The price of a coat is {w} coins. It falls by {p}%. What is it then?",
                   "{n} loses {p}% of {w} {i}. How many {i} are left?"},
                  {"A coat costs {w} coins, then {p}% less. What does it cost?",
                   "There are {w} {i}. {n} takes {p}% of them. How many {i} are left?"}));
  }
  std::vector<Step> steps = {{'%', Number(10), Number(whole)}};
  const int tens = share / 10;
  std::optional<Operand> half;
  if (share % 10 == 5) {
    steps.push_back({'/', Result(0), Number(2)});
    half = Result(1);
  }
  Operand found = tens == 0 ? *half : Result(0);
  if (tens > 1) {
    steps.push_back({'*', Number(tens), Result(0)});
    found = Result(steps.size() - 1);
  }
  if (half && tens > 0) {
    steps.push_back({'+', found, *half});
    found = Result(steps.size() - 1);
  }
  const char sign = up ? '+' : '-';
  if (!part) steps.push_back({sign, Number(whole), found});
  AddUsualWays(problem, steps, 0.4, dice);
  // A fraction near the share: exact for some shares, wrong for others.
  const int divisor = share <= 10 ? 10 : share <= 20 ? 5 : share <= 30 ? 4 : 2;
  std::vector<Step> fraction = {{'/', Number(whole), Number(divisor)}};
  if (!part) fraction.push_back({sign, Number(whole), Result(0)});
  problem.ways.push_back({.weight = 0.45, .name = "fraction", .steps = fraction});
  if (!part) {
    problem.trap = {{sign, Number(whole), Number(share)}};
    problem.trap_rate = share < whole ? 0.25 : 0;
    problem.reread = fmt::format("{}% is a part of it", share);
  }
  return problem;
}

// A quantity in two units.
SmallProblem Units(const Dice& dice) {
  struct Unit {
    const char *big, *small, *what, *one;
    int factor, wrong;
  };
  constexpr std::array<Unit, 5> kUnits = {{
      {"hours", "minutes", "A film lasts", "hour", 60, 100},
      {"meters", "centimeters", "A rope measures", "meter", 100, 10},
      {"weeks", "days", "A trip takes", "week", 7, 10},
      {"days", "hours", "A storm lasts", "day", 24, 12},
      {"dozens", "eggs", "A farm has", "dozen", 12, 10},
  }};
  SmallProblem problem{.kind = Kind::kPercent};
  const Unit& unit = dice.Pick(kUnits);
  const int big = dice.large ? dice.Between(11, 30) : dice.Between(2, 9);
  const int rest = dice.Between(2, std::min(unit.factor - 1, 59));
  const int change = dice.Chance(0.5) ? dice.Between(2, std::min(59, big * unit.factor / 2)) : 0;
  const bool more = change > 0 && dice.Chance(0.5);
  problem.key = KeyOf("units", {unit.factor, big, rest, change, more});
  Values values;
  values.Set("w", unit.what).Set("B", unit.big).Set("S", unit.small).Set("a", big).Set("b", rest);
  values.Set("c", change).Set("n", dice.Pick(kNames));
  problem.question = values.Fill(
      dice.missing() ? dice.Pick(Texts{"{w} some {B} and {b} {S}."})
                     : dice.Word({"{w} {a} {B} and {b} {S}.", "{n} says: {w} {a} {B} and {b} {S}.",
                                  "{w} {a} {B}, and {b} {S} more."},
                                 {"{n} says: {w} {a} {B}, and {b} {S} more."}));
  if (dice.missing()) problem.missing = fmt::format("the number of {}", unit.big);
  if (change > 0)
    problem.question += values.Fill(
        more
            ? dice.Word({" Then {c} {S} are added.", " {n} adds {c} {S}.", " It grows by {c} {S}."},
                        {" Then it grows by {c} {S}."})
            : dice.Word(
                  {" Then {c} {S} are taken off.", " {n} takes off {c} {S}.", " It loses {c} {S}."},
                  {" Then it loses {c} {S}."}));
  problem.question += values.Fill(
      dice.Word({" How many {S} is that?", " What is that in {S}?", " How many {S} are there?"},
                {" What is the number of {S}?"}));
  std::vector<Step> steps = {{'*', Number(big), Number(unit.factor)},
                             {'+', Result(0), Number(rest)}};
  if (change > 0) steps.push_back({more ? '+' : '-', Result(1), Number(change)});
  AddUsualWays(problem, steps, 0.6, dice);
  problem.trap = steps;
  problem.trap[0].right = Number(unit.wrong);
  problem.trap_rate = AllPositive(problem.trap) ? 0.35 : 0;
  problem.reread = fmt::format("1 {} is {} {}", unit.one, unit.factor, unit.small);
  return problem;
}

// People who own different numbers of things.
SmallProblem Compare(const Dice& dice) {
  SmallProblem problem{.kind = Kind::kCompare};
  const int people = dice.longer() ? 5 : dice.Chance(0.7) ? 2 : dice.Chance(0.75) ? 3 : 4;
  std::vector<std::string_view> names;
  while (std::ssize(names) < people)
    if (const std::string_view name = dice.Pick(kNames);
        std::ranges::find(names, name) == names.end())
      names.push_back(name);
  const std::string_view things = dice.Pick(kThings);
  const int first = dice.Amount();
  problem.key = fmt::format("compare {}", first);
  problem.question =
      dice.missing()
          ? fmt::format("{} has some {}.", names[0], things)
          : Values()
                .Set("n", names[0])
                .Set("a", first)
                .Set("i", things)
                .Fill(dice.Word(
                    {"{n} has {a} {i}.", "{n} owns {a} {i}.", "{n} counts {a} {i}.",
                     "There are {a} {i} in a box of {n}."},
                    {"There are {a} {i} in the bag of {n}.", "In a box of {n} are {a} {i}."}));
  if (dice.missing()) problem.missing = fmt::format("the number of {}", names[0]);
  std::vector<Step> steps;
  std::vector<Operand> owned = {Number(first)};
  std::optional<std::size_t> inverse;
  int now = first;
  for (int p = 1; p < people; ++p) {
    Values values;
    values.Set("m", names[p - 1]).Set("n", names[p]).Set("i", things);
    const double kind = dice.random.Uniform();
    if (kind < 0.2 && now < 100) {
      const int times = dice.Between(2, 5);
      values.Set("a", times);
      problem.question +=
          " " + values.Fill(dice.Word(
                    {"{n} has {a} times as many {i} as {m}.", "{n} has {a} times as many as {m}."},
                    {"{n} owns {a} times as many {i} as {m} has."}));
      steps.push_back({'*', owned.back(), Number(times)});
      now *= times;
      problem.key += fmt::format(" *{}", times);
    } else {
      const bool more = dice.Chance(0.5) || now < 15;
      const bool turned = dice.Chance(0.5);
      const int by = more ? dice.Between(5, dice.large ? 199 : 60) : dice.Between(3, now - 5);
      values.Set("a", by);
      // "m has 12 fewer than n" says that n has 12 more.
      const char* word = more != turned ? "more" : "fewer";
      values.Set("w", word);
      problem.question +=
          " " +
          values.Fill(
              turned
                  ? dice.Word({"{m} has {a} {w} than {n}.", "{m} has {a} {w} {i} than {n}.",
                               "{m} owns {a} {w} {i} than {n} does."},
                              {"{m} owns {a} {w} than {n} has.", "{m} counts {a} {w} than {n}."})
                  : dice.Word({"{n} has {a} {w} than {m}.", "{n} has {a} {w} {i} than {m}.",
                               "{n} owns {a} {w} {i} than {m} does."},
                              {"{n} owns {a} {w} than {m} has.", "{n} counts {a} {w} than {m}."}));
      if (turned && !inverse) {
        inverse = steps.size();
        problem.reread = fmt::format("{} has {}", names[p], more ? "more" : "fewer");
      }
      steps.push_back({more ? '+' : '-', owned.back(), Number(by)});
      now = more ? now + by : now - by;
      problem.key += fmt::format(" {}{}", more ? '+' : '-', by);
    }
    owned.push_back(Result(steps.size() - 1));
  }
  const bool together = !dice.longer() && dice.Chance(0.5);
  if (together) {
    Operand sum = owned[0];
    for (std::size_t p = 1; p < owned.size(); ++p) {
      steps.push_back({'+', sum, owned[p]});
      sum = Result(steps.size() - 1);
    }
  }
  problem.key += together ? " all" : "";
  Values values;
  values.Set("n", names.back()).Set("i", things);
  problem.question +=
      " " + values.Fill(together
                            ? dice.Word({"How many {i} do they have together?",
                                         "How many {i} do they have in all?",
                                         "How many {i} are there together?"},
                                        {"How many {i} are there in all?"})
                            : dice.Word({"How many {i} does {n} have?", "How many {i} has {n}?",
                                         "What is the number of {i} of {n}?"},
                                        {"How many {i} does {n} own?"}));
  AddUsualWays(problem, steps, 0.6, dice);
  if (inverse) {
    problem.trap = steps;
    char& op = problem.trap[*inverse].op;
    op = op == '+' ? '-' : '+';
    problem.trap_rate = AllPositive(problem.trap) ? 0.45 : 0;
  }
  return problem;
}

// A row of numbers with a constant step.
SmallProblem Row(const Dice& dice) {
  SmallProblem problem{.kind = Kind::kRow};
  const int start = dice.large ? dice.Between(100, 300) : dice.Between(2, 40);
  const int step = dice.Between(2, 15);
  const int place = dice.Between(5, 12);
  problem.key = KeyOf("row", {start, step, place});
  const auto term = [&](int n) { return start + step * (n - 1); };
  Values values;
  values.Set("a", term(1)).Set("b", term(2)).Set("c", term(3)).Set("d", term(4)).Set("k", place);
  values.Set("s", step).Set("n", dice.Pick(kNames));
  if (dice.missing()) {
    problem.question = values.Fill(
        dice.Pick(Texts{"A row starts with {a}. What is number {k} of the row?",
                        "{n} writes a row of numbers. The first is {a}. What is number {k}?"}));
    problem.missing = "the step of the row";
  } else {
    problem.question = values.Fill(
        dice.Word({"A row starts {a}, {b}, {c}, {d}. What is number {k} of the row?",
                   "{n} writes {a}, {b}, {c}, {d} and so on. What is number {k}?",
                   "A row starts with {a} and grows by {s} each time. What is number {k}?",
                   "The first numbers are {a}, {b}, {c}, {d}. What is number {k}?",
                   "{n} starts with {a} and adds {s} each time. What is number {k}?"},
                  {"The row of {n} is {a}, {b}, {c}, {d} and so on. What is number {k} of it?",
                   "{n} writes a row that starts with {a} and grows by {s}. What is number {k}?"}));
  }
  const std::vector<Step> formula = {{'*', Number(place - 1), Number(step)},
                                     {'+', Number(start), Result(0)}};
  AddUsualWays(problem, formula, 0.4, dice);
  Way list{.weight = 0.4, .name = "list"};
  for (int n = 5; n <= place; ++n)
    list.steps.push_back({'+', n == 5 ? Number(term(4)) : Result(list.steps.size() - 1),
                          Number(step), fmt::format("{}: ", n)});
  problem.ways.push_back(std::move(list));
  problem.trap = formula;
  problem.trap[0].left = Number(place);
  problem.trap_rate = 0.5;
  problem.reread = fmt::format("number 1 is {}", start);
  return problem;
}

// An unknown number.
SmallProblem Equation(const Dice& dice) {
  SmallProblem problem{.kind = Kind::kEquation};
  const int x = dice.large ? dice.Between(20, 60) : dice.Between(2, 15), times = dice.Digit();
  const bool minus = dice.Chance(0.4);
  const int term = minus ? dice.Between(1, x * times - 1) : dice.Between(3, 60);
  const int total = minus ? x * times - term : x * times + term;
  problem.key = KeyOf("equation", {x, times, term, minus});
  Values values;
  values.Set("a", times).Set("b", term).Set("c", total).Set("o", minus ? '-' : '+');
  values.Set("n", dice.Pick(kNames)).Set("w", minus ? "take away" : "add");
  if (dice.missing()) {
    problem.question = values.Fill(
        dice.Pick(Texts{"I think of a number, multiply it by {a} and {w} {b}. What is the number?",
                        "{a}*x{o}{b} is a number. What is x?"}));
    problem.missing = "the result";
  } else {
    problem.question = values.Fill(dice.Word(
        {"{a}*x{o}{b}={c}. What is x?", "Solve {a}*x{o}{b}={c} for x.",
         "I think of a number, multiply it by {a} and {w} {b}. I get {c}. What is the number?",
         "What is x if {a}*x{o}{b}={c}?", "{c}={a}*x{o}{b}. What is x?"},
        {"Find x: {a}*x{o}{b}={c}.",
         "{n} says: I think of a number, multiply it by {a} and {w} {b}. I get {c}. What is it?",
         "Multiply a number by {a} and {w} {b}. You get {c}. What is the number?"}));
  }
  const char undo = minus ? '+' : '-';
  const std::vector<Step> steps = {{undo, Number(total), Number(term)},
                                   {'/', Result(0), Number(times)}};
  AddUsualWays(problem, steps, 0.45, dice);
  // Trying numbers one after another, four at most.
  Way trial{.weight = 0.4, .name = "trial", .steps = steps};
  int at = std::max(1, x + (dice.Chance(0.7) ? -1 : 1) * dice.Between(0, 5));
  for (int tries = 0; tries < 4; ++tries) {
    const int value = at * times + (minus ? -term : term);
    const char* verdict = value == total ? "yes" : value < total ? "too small" : "too big";
    trial.prose += fmt::format("{}x={}: {}*{}{}{}={}, {}.", tries == 0 ? "" : " ", at, times, at,
                               minus ? '-' : '+', term, value, verdict);
    trial.result = at;
    if (value == total) break;
    at += value < total ? 1 : -1;
  }
  problem.ways.push_back(std::move(trial));
  problem.trap = steps;
  problem.trap[0].op = minus ? '-' : '+';
  problem.trap_rate = AllPositive(problem.trap) ? 0.35 : 0;
  problem.reread = minus ? "it was taken away" : "it was added";
  return problem;
}

// A program to be traced.
SmallProblem Program(const Dice& dice) {
  SmallProblem problem{.kind = Kind::kProgram};
  constexpr std::array kVariables = {"x", "y", "a", "b", "m", "t"};
  const std::string x = dice.Pick(kVariables);
  std::string y = dice.Pick(kVariables);
  while (y == x) y = dice.Pick(kVariables);
  std::string text;
  const auto line = [&](const std::string& code) { text += (text.empty() ? "" : "; ") + code; };
  std::vector<Step> steps;
  std::string last = x;
  if (dice.longer() || dice.Chance(0.35)) {  // a loop
    const int start = dice.Amount(), by = dice.Between(2, 12);
    const int times = dice.longer() ? dice.Between(9, 10) : dice.Between(3, 8);
    problem.key = KeyOf("loop", {start, by, times});
    if (dice.missing())
      problem.missing = x;
    else
      line(fmt::format("{}={}", x, start));
    line(fmt::format("repeat {} times: {}={}+{}", times, x, x, by));
    steps = {{'*', Number(times), Number(by)}, {'+', Number(start), Result(0), x + "="}};
    AddUsualWays(problem, steps, 0.4, dice);
    Way list{.weight = 0.45, .name = "list"};
    for (int i = 0; i < times; ++i)
      list.steps.push_back({'+', i == 0 ? Number(start) : Result(list.steps.size() - 1), Number(by),
                            fmt::format("{}: {}=", i + 1, x)});
    problem.ways.push_back(std::move(list));
    problem.trap = steps;
    problem.trap[0].left = Number(times - 1);
    problem.trap_rate = 0.35;
    problem.reread = fmt::format("it runs {} times", times);
  } else {
    const int lines = dice.Chance(0.45) ? 2 : dice.Chance(0.75) ? 3 : 4;
    const int first = dice.Amount(), second = dice.Between(3, 40);
    problem.key = KeyOf("program", {first, second});
    if (dice.missing())
      problem.missing = x;
    else
      line(fmt::format("{}={}", x, first));
    line(fmt::format("{}={}", y, second));
    struct Variable {
      std::string name;
      Operand operand, old;
      int value;
      int from_first;  // how often the first number is in the value
    };
    std::array<Variable, 2> both = {{{x, Number(first), Number(first), first, 1},
                                     {y, Number(second), Number(second), second, 0}}};
    std::optional<std::size_t> stale;  // a step that reads a variable which has changed
    Operand stale_operand;
    for (int i = 0; i < lines; ++i) {
      Variable& target = both[static_cast<std::size_t>(i % 2)];
      Variable& source = both[static_cast<std::size_t>(1 - i % 2)];
      const double kind = dice.random.Uniform();
      Step step{.label = target.name + "="};
      int from_first = source.from_first, number = 0;
      if (kind < 0.4) {
        step.op = '+';
        step.left = target.operand, step.right = source.operand;
        from_first += target.from_first;
        line(fmt::format("{0}={0}+{1}", target.name, source.name));
      } else if (kind < 0.6 && source.value > target.value) {
        step.op = '-';
        step.left = source.operand, step.right = target.operand;
        from_first -= target.from_first;
        line(fmt::format("{}={}-{}", target.name, source.name, target.name));
      } else if (kind < 0.8 && source.value < 60) {
        number = dice.Between(2, 5);
        step.op = '*';
        step.left = source.operand, step.right = Number(number);
        from_first *= number;
        line(fmt::format("{}={}*{}", target.name, source.name, number));
      } else {
        number = dice.Between(3, 40);
        step.op = '+';
        step.left = source.operand, step.right = Number(number);
        line(fmt::format("{}={}+{}", target.name, source.name, number));
      }
      problem.key += fmt::format(" {}{}", step.op, number);
      if (source.operand.step >= 0) {
        stale = steps.size();
        stale_operand = source.old;
      }
      steps.push_back(step);
      target.operand = Result(steps.size() - 1);
      target.value = Results(steps).back();
      target.from_first = from_first;
      last = target.name;
    }
    // Without its first number this program has a value all the same: another one is drawn.
    if (dice.missing() && both[static_cast<std::size_t>((lines - 1) % 2)].from_first == 0)
      return Program(dice);
    AddUsualWays(problem, steps, 0.6, dice);
    if (stale) {  // the misreading takes the old value
      problem.trap = steps;
      Step& step = problem.trap[*stale];
      (step.op == '+' && step.right.step >= 0 ? step.right : step.left) = stale_operand;
      problem.trap_rate = AllPositive(problem.trap) ? 0.35 : 0;
      problem.reread = "it has changed by then";
    }
  }
  Values values;
  values.Set("t", text).Set("v", last).Set("n", dice.Pick(kNames));
  problem.question = values.Fill(dice.Word(
      {"A program: {t}. What is {v} at the end?", "Run {t}. What is {v}?",
       "{n} runs this: {t}. What is {v} then?", "Run this program: {t}. What is {v} at the end?",
       "What is {v} after this program? {t}."},
      {"What is {v} at the end of this program? {t}.", "Run the program {t}. What is {v} then?"}));
  return problem;
}

// Two kinds in one question. No author has seen one, so it has a question and an answer alone.
SmallProblem Combination(const Dice& dice) {
  SmallProblem problem;
  const std::string_view name = dice.Pick(kNames);
  std::string_view other = dice.Pick(kNames);
  while (other == name) other = dice.Pick(kNames);
  const std::string_view things = dice.Pick(kThings);
  const double kind = dice.random.Uniform();
  const int whole = 20 * dice.Between(2, 8), share = 10 * dice.Between(1, 5);
  if (kind < 0.25) {  // comparing by percent
    problem.kind = Kind::kCompare;
    const bool more = dice.Chance(0.5);
    problem.question =
        fmt::format("{} has {} {}. {} has {}% {} than {}. How many {} does {} have?", name, whole,
                    things, other, share, more ? "more" : "fewer", name, things, other);
    problem.answer = whole + (more ? 1 : -1) * whole * share / 100;
    problem.key = KeyOf("compare percent", {whole, share, more});
  } else if (kind < 0.5) {  // a story in units
    problem.kind = Kind::kStory;
    const int dozens = dice.Digit(), rest = dice.Between(2, 11), more = dice.Between(11, 60);
    problem.question = fmt::format(
        "{} has {} dozens and {} eggs. {} gives {} {} eggs. How many eggs does {} have now?", name,
        dozens, rest, other, name, more, name);
    problem.answer = 12 * dozens + rest + more;
    problem.key = KeyOf("story units", {dozens, rest, more});
  } else if (kind < 0.75) {  // comparing in units
    problem.kind = Kind::kCompare;
    const int hours = dice.Digit(), rest = dice.Between(2, 59), more = dice.Between(3, 50);
    problem.question = fmt::format(
        "A film lasts {} hours and {} minutes. Another film lasts {} minutes more. How many "
        "minutes "
        "does it last?",
        hours, rest, more);
    problem.answer = 60 * hours + rest + more;
    problem.key = KeyOf("compare units", {hours, rest, more});
  } else {  // a story with percent
    problem.kind = Kind::kStory;
    const int boxes = dice.Digit(), size = 10 * dice.Between(1, 4), total = boxes * size;
    const int sold = 10 * dice.Between(1, 5);
    problem.question = fmt::format(
        "{} has {} boxes with {} {} in each. {} sells {}% of them. How many {} are left?", name,
        boxes, size, things, name, sold, things);
    problem.answer = total - total * sold / 100;
    problem.key = KeyOf("story percent", {boxes, size, sold});
  }
  return problem;
}

}  // namespace

SmallProblem RandomProblem(Draw draw, RandomStream& random) {
  const Dice dice{random, draw,
                  draw == Draw::kLarger || (draw == Draw::kUsual && random.Uniform() < 0.15)};
  const auto of_kind = [&]() -> SmallProblem {
    if (draw == Draw::kCombination) return Combination(dice);
    if (draw == Draw::kLonger) {
      switch (random.Below(4)) {
        case 0: return Story(dice);
        case 1: return Compare(dice);
        default: return Program(dice);
      }
    }
    switch (random.Below(7)) {
      case 0:
      case 1: return Story(dice);
      case 2: return random.Uniform() < 0.5 ? Percent(dice) : Units(dice);
      case 3: return Compare(dice);
      case 4: return Row(dice);
      case 5: return Equation(dice);
      default: return Program(dice);
    }
  };
  SmallProblem problem = of_kind();
  // The number that is left out is in the key, but not in the question.
  if (!problem.missing.empty()) problem.key = problem.question;
  return problem;
}

std::vector<SmallProblem> MakeProblems(Draw draw, const std::string& name, int count, uint64_t seed,
                                       std::set<std::string>& taken) {
  RandomStream random(seed, kernels::MixStream(0, name));
  std::vector<SmallProblem> problems;
  while (std::ssize(problems) < count) {
    SmallProblem problem = RandomProblem(draw, random);
    if (!taken.insert(problem.key).second) continue;
    problem.id = fmt::format("{}-{:04}", name, problems.size() + 1);
    problems.push_back(std::move(problem));
  }
  return problems;
}

}  // namespace pivotal::small
