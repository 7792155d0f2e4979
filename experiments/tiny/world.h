// Apache-2.0. The tiny model's world: easy arithmetic in words, as two kinds of authors solve it.
#pragma once

#include <compare>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "kernels/philox.h"

namespace pivotal::tiny {

// factor * digit, then + term or - term.
struct Arithmetic {
  int factor = 0;  // 12..99
  int digit = 0;   // 2..9
  int term = 0;    // 12..99
  bool minus = false;
  int Product() const { return factor * digit; }
  int Result() const { return minus ? Product() - term : Product() + term; }
  auto operator<=>(const Arithmetic&) const = default;
};

// Uniform over the ranges above, with a result of at least 10.
Arithmetic DrawArithmetic(kernels::RandomStream& random);

// One of ten wordings (a second form each for minus), with names and things.
std::string DrawQuestion(const Arithmetic& arithmetic, kernels::RandomStream& random);

// " 47*6: 40*6=240, 7*6=42, 240+42=282. 282+25=307. #### 307"
std::string CarefulSolution(const Arithmetic& arithmetic);
// " 47*6=292. 292+25=317. #### 317": the careless author writes `product` and goes on from there.
std::string CarelessSolution(const Arithmetic& arithmetic, int product);
// The right product shifted by 1 to 40 either way, so that product >= 10 and result >= 1.
int DrawWrongProduct(const Arithmetic& arithmetic, kernels::RandomStream& random);

// Six facts in the shapes that solutions use, e.g. " 40*6=240, 282+25=307, ... ."
std::string DrawDrill(kernels::RandomStream& random);

// Shares of the training corpus.
struct CorpusShares {
  double drill = 0.25;    // of all documents
  double careful = 0.45;  // of the solutions
  double wrong = 0.7;     // of the careless products
};

// One training document; a drill has no question.
struct Document {
  std::string question, completion;
};
// `excluded` problems (those of the problem files) never appear as solutions.
Document DrawDocument(const CorpusShares& shares, const std::set<Arithmetic>& excluded,
                      kernels::RandomStream& random);

// The shipped problems: different arithmetic each, train first, then held-out.
struct TinyProblem {
  std::string id, question, answer;
  Arithmetic arithmetic;
};
struct ProblemFiles {
  std::vector<TinyProblem> train, heldout;
};
ProblemFiles DrawProblems(int train, int heldout, uint64_t seed);

// Problems unlike those that the model was made from.
enum class Shift {
  kWording,  // four other wordings, the same arithmetic
  kLarger,   // a term of three digits, 100..299
  kLonger    // a second term, added at the end: a step more
};
std::vector<TinyProblem> DrawShifted(Shift shift, int count, uint64_t seed);

}  // namespace pivotal::tiny
