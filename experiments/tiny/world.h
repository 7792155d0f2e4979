// Apache-2.0. The tiny model's world: easy arithmetic in words, which two kinds of authors solve.
#pragma once

#include <compare>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "kernels/philox.h"

namespace pivotal::tiny {

// The problem factor * digit + term, or factor * digit - term.
struct Arithmetic {
  int factor = 0;  // 12..99
  int digit = 0;   // 2..9
  int term = 0;    // 12..99
  bool minus = false;
  int Product() const { return factor * digit; }
  int Result() const { return minus ? Product() - term : Product() + term; }
  auto operator<=>(const Arithmetic&) const = default;
};

// Returns a problem that is uniform over these ranges, given a result of at least 10.
Arithmetic RandomArithmetic(kernels::RandomStream& random);

// Returns the problem in one of ten wordings, each with a form for minus, with names and things.
std::string RandomQuestion(const Arithmetic& arithmetic, kernels::RandomStream& random);

// Returns the solution of the careful author, who multiplies digit by digit:
// " 47*6: 40*6=240, 7*6=42, 240+42=282. 282+25=307. #### 307".
std::string CarefulSolution(const Arithmetic& arithmetic);
// Returns the solution of the careless author, who guesses `product` and continues from it:
// " 47*6=292. 292+25=317. #### 317".
std::string CarelessSolution(const Arithmetic& arithmetic, int product);
// Returns the right product shifted by 1 to 40 up or down; it is at least 10, the result at
// least 1.
int RandomWrongProduct(const Arithmetic& arithmetic, kernels::RandomStream& random);

// Returns six facts in the forms that solutions use: " 40*6=240, 282+25=307, ... .".
std::string RandomDrill(kernels::RandomStream& random);

// What the training corpus is made of.
struct CorpusMix {
  double drill = 0.25;    // fraction of documents that are drills
  double careful = 0.45;  // fraction of solutions that are careful
  double wrong = 0.7;     // fraction of careless products that are wrong
};

// One training document. A drill has an empty question.
struct Document {
  std::string question, completion;
};
// Returns a document that solves none of the `excluded` problems, which are in the problem files.
Document RandomDocument(const CorpusMix& mix, const std::set<Arithmetic>& excluded,
                        kernels::RandomStream& random);

// One problem of the problem files.
struct TinyProblem {
  std::string id, question, answer;
  Arithmetic arithmetic;
};
struct ProblemFiles {
  std::vector<TinyProblem> train, heldout;
};
// Makes the shipped problems; no two have the same arithmetic.
ProblemFiles MakeProblems(int train, int heldout, uint64_t seed);

// How problems differ from those of the training corpus.
enum class Shift {
  kWording,  // four other wordings, arithmetic of the same kind
  kLarger,   // a term of three digits, 100..299
  kLonger    // a second term that is added at the end: one more step
};
std::vector<TinyProblem> MakeShiftedProblems(Shift shift, int count, uint64_t seed);

}  // namespace pivotal::tiny
