// Apache-2.0. What expressions are worth.
#pragma once

#include <boost/multiprecision/cpp_complex.hpp>
#include <cstdint>
#include <optional>

#include "pts/oracles/math_expression.h"

namespace pivotal::pts {

// The rational number that `m` is, where it is built from rationals alone and stays in bounds
// (rational.h). Percent and degrees count as their bare numbers.
std::optional<Rational> ExactValue(const Math& m);

using Complex = boost::multiprecision::cpp_complex_50;
using Real = boost::multiprecision::cpp_bin_float_50;

// Where variables are evaluated: each has a real value that depends on its name and `index` alone;
// magnitudes lie in [0.2, 20], the first points are all positive.
struct Point {
  uint64_t index = 0;
  // True: a square root or logarithm of a negative number with variables in it has no value, as in
  // real algebra. Else its principal value.
  bool real = true;
};

// Nullopt where `m` has no finite value there: a pole, an overflow, a kind that has no value. Odd
// roots and powers of negative numbers are real where they can be: (-8)^{1/3} is -2.
std::optional<Complex> ValueAt(const Math& m, const Point& point);

}  // namespace pivotal::pts
