// Apache-2.0. Whether two answers say the same: values (value.cc) and all else (compare.cc).
#pragma once

#include <optional>

#include "pts/oracles/math/expression.h"

namespace pivotal::pts {

// Returns the rational number that `m` is, if it is built from rationals alone and stays in bounds
// (number.h). Percent, degrees and units count as their bare numbers.
std::optional<Rational> ExactValue(const Math& m);

// Returns a negative number, zero or a positive number as a < b, a = b or a > b; nullopt unless
// both are finite real constants.
std::optional<int> OrderOf(const Math& a, const Math& b);

// Returns true if both are the same number, or the same function of their variables. Rational
// numbers are compared exactly, all else with fifty digits at points that depend on the names of
// the variables. Variables are real. Points at which a side has no value do not count; without
// enough other points nothing is equal. If one side alone is in percent, it equals its bare number
// and a hundredth of it: 50% is 50 and 0.5.
bool SameValue(const Math& a, const Math& b);

// Returns true if `a` is a constant multiple of `b`, other than zero and, if `positive`, above
// zero. With the differences of their sides this makes 2x = 6 the same as x = 3.
bool SameUpToFactor(const Math& a, const Math& b, bool positive);

// Returns true if two constants differ by at most one percent, so that one may stand for the other
// in "a \approx b".
bool RoughlySame(const Math& a, const Math& b);

// What a solved relation says: the set that its subject lies in.
struct Solved {
  Math subject, set;
};

// Reads x \in S, x > 5 and 1 < x \le 2; nullopt for other relations.
std::optional<Solved> SolvedRelation(const Math& relation);

// Returns true if two answers say the same, whichever of them is the reference. Values are compared
// by SameValue(). Beyond values:
//   - points, vectors and intervals: in order, with the same brackets; a matrix of one column or
//     row is a point
//   - sets: without order and count; lists: without order; sets of real numbers in every notation
//     (real_set.h)
//   - matrices of the same shape: entry by entry; texts: without regard to case
//   - "x = 5" is 5, but not "y = 5"; "m + n = 5" and "f(2) = 5" are 5, but "x + y = 5" in the
//     coordinates x, y and z is a line; the last side of a chain of equations counts; both sides of
//     "a \approx b" count if they differ by at most one percent
//   - equations and inequalities are the same up to a factor: y = 2x + 1 is 2x - y + 1 = 0
//   - a solved inequality is its interval, "x \in S" is S; "x = 1, y = 2" is (1, 2)
//   - 204_5 is 204 and 204_5, but neither 54 nor 204_6
//   - units count where both sides have a known one: 5 cm is 5 and 50 mm, but not 5 m; 9:45 a.m. is
//     not 9:45 p.m.; 7 (mod 5) is 2 (mod 5) and 2
bool SameAnswer(const Math& a, const Math& b);

}  // namespace pivotal::pts
