// Apache-2.0. Answers in the forms that comparison knows.
#pragma once

#include <optional>
#include <vector>

#include "pts/oracles/math_expression.h"

namespace pivotal::pts {

// Each "plus or minus" written out: 1 \pm \sqrt{5} gives both numbers. Signs are independent of
// each other, or all linked where a \mp is among them. More than four signs stay as they are.
std::vector<Math> WriteOutSigns(const Math& m);

// The interval of x that a solved inequality says (1 < x \le 2, x > 5), and the set S of x \in S;
// nullopt for other relations.
std::optional<Math> SolvedSet(const Math& relation);

// A matrix times numbers, entry by entry; everything else stays.
Math WithoutFactor(const Math& m);

}  // namespace pivotal::pts
