// Apache-2.0.
#include "experiments/tiny/world.h"

#include <fmt/args.h>
#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <string_view>

namespace pivotal::tiny {
namespace {

constexpr std::array kNames = {"Tom", "Anna", "Ben", "Mia",  "Sam",  "Lily",
                               "Max", "Eva",  "Leo", "Nora", "Jack", "Zoe"};
constexpr std::array kThings = {"apples", "books", "coins", "cards",  "pens",
                                "shells", "beads", "cups",  "stamps", "eggs"};

// Texts with placeholders: {n} name, {i} things, {a} factor, {b} digit, {c} term, {d} second term.
struct Wording {
  const char* plus;
  const char* minus;
};
constexpr std::array<Wording, 10> kWordings = {{
    {"{n} has {b} boxes with {a} {i} in each box and finds {c} more {i}. How many {i} does {n} "
     "have now?",
     "{n} has {b} boxes with {a} {i} in each box and loses {c} of the {i}. How many {i} does {n} "
     "have now?"},
    {"{n} buys {a} bags of {b} {i} and then gets {c} {i} from a friend. How many {i} are there in "
     "all?",
     "{n} buys {a} bags of {b} {i} and then gives {c} {i} to a friend. How many {i} are left?"},
    {"There are {a} rows of {b} {i} on the table. {n} adds {c} {i}. How many {i} are on the table?",
     "There are {a} rows of {b} {i} on the table. {n} takes {c} {i}. How many {i} are on the "
     "table?"},
    {"Each day {n} makes {a} {i}. After {b} days {n} buys {c} more. How many {i} is that in total?",
     "Each day {n} makes {a} {i}. After {b} days {n} sells {c} of them. How many {i} remain?"},
    {"A shop sells packs of {b} {i}. {n} takes {a} packs and {c} single {i}. What is the number of "
     "{i}?",
     "A shop sells packs of {b} {i}. {n} takes {a} packs but {c} {i} are broken. What is the "
     "number of good {i}?"},
    {"In a school {b} groups collect {a} {i} each. {n} brings {c} more {i}. How many {i} do they "
     "have together?",
     "In a school {b} groups collect {a} {i} each. {n} drops {c} of the {i}. How many {i} do they "
     "have together?"},
    {"{n} fills {a} jars. Every jar holds {b} {i}. Another {c} {i} stay in a bag. Count all the "
     "{i}.",
     "{n} fills {a} jars. Every jar holds {b} {i}. Then {c} {i} are eaten. Count the {i} left."},
    {"One crate holds {a} {i}. {n} orders {b} crates and already owns {c} {i}. How many {i} will "
     "{n} own?",
     "One crate holds {a} {i}. {n} orders {b} crates and must return {c} {i}. How many {i} will "
     "{n} own?"},
    {"{n} had {c} {i} and won {b} prizes of {a} {i}. How many {i} does {n} have after that?",
     "{n} owes {c} {i} and won {b} prizes of {a} {i}. How many {i} does {n} have after that?"},
    {"For a party {n} needs {a} plates with {b} {i} on each and {c} spare {i}. How many {i} are "
     "needed?",
     "For a party {n} needs {a} plates with {b} {i} on each but has {c} {i}. How many {i} are "
     "needed?"},
}};

// Wordings that no training document has.
constexpr std::array<Wording, 4> kOtherWordings = {{
    {"{n} reads {b} lists with {a} {i} on each, and later {c} {i} more. What is the sum of the "
     "{i}?",
     "{n} reads {b} lists with {a} {i} on each, and crosses out {c} {i}. What is the sum of the "
     "{i}?"},
    {"A train has {a} wagons, each loaded with {b} {i}. {n} loads another {c}. How many {i} does "
     "the train carry?",
     "A train has {a} wagons, each loaded with {b} {i}. {n} unloads {c}. How many {i} does the "
     "train carry?"},
    {"For {b} weeks {n} saves {a} {i} a week. An aunt sends {c} {i}. Say how many {i} {n} owns.",
     "For {b} weeks {n} saves {a} {i} a week. {n} spends {c} {i}. Say how many {i} {n} owns."},
    {"{n} cuts {a} cakes into {b} slices and puts one of the {i} on each; {c} {i} lie aside. How "
     "many {i} were there?",
     "{n} cuts {a} cakes into {b} slices and puts one of the {i} on each, but {c} {i} fall down. "
     "How many {i} stay?"},
}};
constexpr std::array<Wording, 3> kLongerWordings = {{
    {"{n} has {b} boxes with {a} {i} in each box, finds {c} more {i} and then {d} more. How many "
     "{i} does {n} have now?",
     "{n} has {b} boxes with {a} {i} in each box, loses {c} of the {i} and then finds {d}. How "
     "many {i} does {n} have now?"},
    {"{n} buys {a} bags of {b} {i}, then gets {c} {i} from a friend and {d} from another. How many "
     "{i} are there in all?",
     "{n} buys {a} bags of {b} {i}, then gives {c} {i} to a friend and gets {d} back. How many {i} "
     "are left?"},
    {"There are {a} rows of {b} {i} on the table. {n} adds {c} {i}, and later {d}. How many {i} "
     "are on the table?",
     "There are {a} rows of {b} {i} on the table. {n} takes {c} {i}, and brings {d}. How many {i} "
     "are on the table?"},
}};

template <typename T, std::size_t N>
const T& Pick(const std::array<T, N>& items, kernels::RandomStream& random) {
  return items[static_cast<std::size_t>(random.Below(N))];
}

// Fills in a wording. `second` is the second term of a longer problem.
std::string QuestionOf(const Wording& wording, const Arithmetic& a, int second,
                       kernels::RandomStream& random) {
  fmt::dynamic_format_arg_store<fmt::format_context> values;
  values.push_back(fmt::arg("n", Pick(kNames, random)));
  values.push_back(fmt::arg("i", Pick(kThings, random)));
  values.push_back(fmt::arg("a", a.factor));
  values.push_back(fmt::arg("b", a.digit));
  values.push_back(fmt::arg("c", a.term));
  values.push_back(fmt::arg("d", second));
  return fmt::vformat(a.minus ? wording.minus : wording.plus, values);
}

int Between(int low, int high, kernels::RandomStream& random) {
  return low + static_cast<int>(random.Below(high - low + 1));
}

// Returns the last step of a solution: " 282+25=307".
std::string LastStep(int product, const Arithmetic& a) {
  const int result = a.minus ? product - a.term : product + a.term;
  return fmt::format(" {}{}{}={}", product, a.minus ? '-' : '+', a.term, result);
}

std::string Ending(int product, const Arithmetic& a) {
  return fmt::format("{}. #### {}", LastStep(product, a),
                     a.minus ? product - a.term : product + a.term);
}

// Returns one step of a solution as a drill repeats it. Hard steps (whole products, last steps)
// come up most.
std::string RandomFact(kernels::RandomStream& random) {
  const Arithmetic a = RandomArithmetic(random);
  const int tens = a.factor / 10 * 10, ones = a.factor % 10;
  const double kind = random.Uniform();
  if (kind < 0.07) return fmt::format(" {}*{}={}", tens, a.digit, tens * a.digit);
  if (kind < 0.17) return fmt::format(" {}*{}={}", ones, a.digit, ones * a.digit);
  if (kind < 0.40) return fmt::format(" {}*{}={}", a.factor, a.digit, a.Product());
  if (kind < 0.63) return fmt::format(" {}+{}={}", tens * a.digit, ones * a.digit, a.Product());
  return LastStep(a.Product(), a);
}

}  // namespace

Arithmetic RandomArithmetic(kernels::RandomStream& random) {
  for (;;) {
    Arithmetic a{Between(12, 99, random), Between(2, 9, random), Between(12, 99, random),
                 random.Uniform() < 0.5};
    if (a.Result() >= 10) return a;
  }
}

std::string RandomQuestion(const Arithmetic& a, kernels::RandomStream& random) {
  return QuestionOf(Pick(kWordings, random), a, 0, random);
}

std::string CarefulSolution(const Arithmetic& a) {
  const int tens = a.factor / 10 * 10, ones = a.factor % 10;
  return fmt::format(" {0}*{1}: {2}*{1}={3}, {4}*{1}={5}, {3}+{5}={6}.{7}", a.factor, a.digit, tens,
                     tens * a.digit, ones, ones * a.digit, a.Product(), Ending(a.Product(), a));
}

std::string CarelessSolution(const Arithmetic& a, int product) {
  return fmt::format(" {}*{}={}.{}", a.factor, a.digit, product, Ending(product, a));
}

int RandomWrongProduct(const Arithmetic& a, kernels::RandomStream& random) {
  for (;;) {
    const int shift = Between(1, 40, random);
    const int product = a.Product() + (random.Uniform() < 0.5 ? -shift : shift);
    if (product >= 10 && (!a.minus || product - a.term >= 1)) return product;
  }
}

std::string RandomDrill(kernels::RandomStream& random) {
  std::string text = RandomFact(random);
  for (int i = 1; i < 6; ++i) text.append(",").append(RandomFact(random));
  return text + ".";
}

Document RandomDocument(const CorpusMix& mix, const std::set<Arithmetic>& excluded,
                        kernels::RandomStream& random) {
  if (random.Uniform() < mix.drill) return {"", RandomDrill(random)};
  Arithmetic a = RandomArithmetic(random);
  while (excluded.contains(a)) a = RandomArithmetic(random);
  const std::string question = RandomQuestion(a, random);
  if (random.Uniform() < mix.careful) return {question, CarefulSolution(a)};
  const bool wrong = random.Uniform() < mix.wrong;
  return {question, CarelessSolution(a, wrong ? RandomWrongProduct(a, random) : a.Product())};
}

ProblemFiles MakeProblems(int train, int heldout, uint64_t seed) {
  kernels::RandomStream random(seed, kernels::MixStream(0, "problems"));
  std::set<Arithmetic> seen;
  const auto make = [&](const char* name, int count) {
    std::vector<TinyProblem> problems;
    while (static_cast<int>(problems.size()) < count) {
      const Arithmetic a = RandomArithmetic(random);
      if (!seen.insert(a).second) continue;
      problems.push_back({fmt::format("{}-{:04}", name, problems.size() + 1),
                          RandomQuestion(a, random), std::to_string(a.Result()), a});
    }
    return problems;
  };
  ProblemFiles files;
  files.train = make("train", train);
  files.heldout = make("heldout", heldout);
  return files;
}

std::vector<TinyProblem> MakeShiftedProblems(Shift shift, int count, uint64_t seed) {
  static constexpr std::array<std::string_view, 3> kShiftNames = {"wording", "larger", "longer"};
  const std::string_view name = kShiftNames[static_cast<std::size_t>(shift)];
  kernels::RandomStream random(seed, kernels::MixStream(0, name));
  std::set<Arithmetic> seen;
  std::vector<TinyProblem> problems;
  while (static_cast<int>(problems.size()) < count) {
    Arithmetic a = RandomArithmetic(random);
    if (shift == Shift::kLarger) a.term = Between(100, 299, random);
    if (a.Result() < 10 || !seen.insert(a).second) continue;
    const int second = shift == Shift::kLonger ? Between(12, 99, random) : 0;
    std::string question;
    switch (shift) {
      case Shift::kWording:
        question = QuestionOf(Pick(kOtherWordings, random), a, 0, random);
        break;
      case Shift::kLarger: question = RandomQuestion(a, random); break;
      case Shift::kLonger:
        question = QuestionOf(Pick(kLongerWordings, random), a, second, random);
        break;
    }
    problems.push_back({fmt::format("{}-{:04}", name, problems.size() + 1), question,
                        std::to_string(a.Result() + second), a});
  }
  return problems;
}

}  // namespace pivotal::tiny
