// Apache-2.0. Sets of real numbers: intervals, points, solved inequalities, and what \cup, \cap and
// \setminus make of them.
#pragma once

#include <optional>

#include "pts/oracles/math/expression.h"

namespace pivotal::pts {

// Returns true for what can only mean a set of numbers: a union, intersection or difference, the
// real numbers, a relation of a variable to numbers, several of these. A bracket alone may be a
// point.
bool IsRealSet(const Math& m);

// Returns true if both sides are the same set of real numbers, as \mathbb{R} \setminus \{2\} and
// x < 2 or x > 2; nullopt if one of them is no set whose bounds are known numbers. Conditions on x
// and on y are not the same. Conditions joined by "or" are a union, those joined by "and" an
// intersection; where only a comma joins them, or "and" would leave nothing, sense decides.
std::optional<bool> SameRealSet(const Math& a, const Math& b);

}  // namespace pivotal::pts
