// Apache-2.0. Equality of values and of equations.
#pragma once

#include "pts/oracles/math_expression.h"

namespace pivotal::pts {

// True if both are the same number or function of their variables: exactly where both are rational,
// else with fifty digits at points fixed by the names of the variables. Variables are real; points
// where a side has no value do not count, and without enough points with one nothing is equal. A
// side alone in percent equals its bare number and a hundredth of it: 50% is 50 and 0.5.
bool SameValue(const Math& a, const Math& b);

// True if `a` is a constant multiple of `b`, other than zero; `positive`: a positive one. So 2x = 6
// is x = 3, as differences of their sides.
bool SameUpToFactor(const Math& a, const Math& b, bool positive);

// True where two constants differ by at most one part in a hundred: one may stand for the other
// behind "\approx".
bool RoughlySame(const Math& a, const Math& b);

// Plus or minus infinity: 1 or -1; else 0.
int InfinitySign(const Math& m);

}  // namespace pivotal::pts
