// Apache-2.0. The small model's world: problems of six kinds, and authors who solve them in ways of
// different reliability.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/philox.h"

namespace pivotal::small {

// A number in a step: a number of the question, or the result of an earlier step.
struct Operand {
  int value = 0;
  int step = -1;  // index of the earlier step; -1: `value` counts
};

// One step of a solution.
struct Step {
  char op = '+';  // + - * /, or % for "left percent of right"
  Operand left = {}, right = {};
  std::string label = {};  // text before the step: "x=" in programs
};

// Returns the result of an operation. Division drops what is left over.
int Calculate(char op, int left, int right);
// Returns the operands of a step, given the results of the steps before it.
std::pair<int, int> OperandsOf(const Step& step, const std::vector<int>& results);

// A way to solve a problem.
struct Way {
  double weight = 1;             // how often authors take it, beside the other ways
  std::string name = {};         // "worked", "head", "list", ...
  std::vector<Step> steps = {};  // at least one; the last one's result is the answer
  std::string prose = {};        // the whole working in words, in place of steps
  int result = 0;                // of the prose
};

enum class Kind { kStory, kPercent, kCompare, kRow, kEquation, kProgram };

struct SmallProblem {
  std::string id = {};
  Kind kind = Kind::kStory;
  std::string question = {};
  int answer = 0;
  std::vector<Way> ways = {};
  // A misreading that authors fall for, and how often; no steps: none.
  std::vector<Step> trap = {};
  double trap_rate = 0;
  std::string reread = {};   // what a second reading says: "Anna has more"
  std::string missing = {};  // what the question leaves out: "the number at the start"
  std::string key = {};      // kind and numbers: problems with one key are the same
};

// What a problem is drawn from.
enum class Draw {
  kUsual,         // the problems of the training corpus
  kWording,       // wordings that no training document has
  kLarger,        // numbers of three digits, which 15% of the training problems have
  kLonger,        // longer than any problem of the training corpus
  kCombination,   // two kinds in one question, which no training document has
  kUnanswerable,  // questions that leave something out
};
SmallProblem RandomProblem(Draw draw, kernels::RandomStream& random);

// A system message changes how an author works.
enum class Manner { kFree, kStepByStep, kBriefly };
// Returns the text of the system message; "" for kFree.
std::string SystemMessage(Manner manner);

// What an author wrote, and how.
struct Solution {
  std::string text = {};    // ends with "#### 307", or with a refusal
  std::string answer = {};  // what stands behind ####
  std::string way = {};     // name of the way, or "refusal"
  bool trapped = false, slipped = false, checked = false, mended = false;
};
// How careful authors are.
struct Habits {
  double slip = 0.05;        // share of shown steps that come out wrong
  double guess_slip = 0.55;  // share of products without working that come out wrong
  double check = 0.35;       // share of solutions that end with a check
  double finds = 0.85;       // share of the checked slips that a check finds
  double refuses = 0.5;      // share of refusals where something is missing
  double refuses_wrongly = 0.03;
};
Solution Solve(const SmallProblem& problem, Manner manner, const Habits& habits,
               kernels::RandomStream& random);

// The text of a refusal behind ####.
inline constexpr const char* kRefusal = "can't tell";

// One training document: a drill, or a problem with a solution.
struct Document {
  std::string system, question, response;
};
// Returns a document that solves none of the problems with `excluded` keys.
Document RandomDocument(const std::set<std::string>& excluded, kernels::RandomStream& random);

// Makes `count` problems that differ in their keys from each other and from `taken`, to which
// theirs are added. Their ids are "NAME-0001" and so on.
std::vector<SmallProblem> MakeProblems(Draw draw, const std::string& name, int count, uint64_t seed,
                                       std::set<std::string>& taken);

}  // namespace pivotal::small
