// Apache-2.0. Whether two answers say the same.
#pragma once

#include "pts/oracles/math_expression.h"

namespace pivotal::pts {

// Values: SameValue (math_scalar.h). Beyond them:
// - points, vectors and intervals: in order, with the same brackets; a column or row matrix is a
// point
// - sets without order and count, lists without order; a list of intervals is their union
// - matrices of the same shape, entry by entry; texts without regard to case
// - "x = 5" is 5, but not "y = 5"; of a chain of equations the last side counts; of "a \approx b"
// both
//   do, where they differ by at most one percent
// - equations and inequalities are the same up to a factor: y = 2x + 1 is 2x - y + 1 = 0
// - a solved inequality is its interval, "x \in S" is S; "x = 1, y = 2" is (1, 2)
// - 204_5 is 204 and 204_5, but neither 54 nor 204_6
bool SameAnswer(const Math& reference, const Math& response);

}  // namespace pivotal::pts
