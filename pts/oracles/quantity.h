// Apache-2.0. Numbers with units in running text, as exact rationals.
#pragma once

#include <optional>
#include <string_view>

#include "pts/oracles/rational.h"
#include "pts/oracles/unit.h"

namespace pivotal::pts {

struct Quantity {
  Rational value;
  std::optional<Unit> unit;  // where a known one stands beside the number
};

// The last number of `text`. Beyond decimals (decimal.h) it reads
//   3/4, \frac{3}{4}, \frac34, ½       fractions
//   1 1/2, 1\frac{1}{2}, 1½            mixed numbers, with a proper fraction
//   1e5, 1.2 \times 10^{5}, 1.2 x 10^5 scientific notation; 10^5 and 2^{10}: powers
//   1{,}000, 1,\!000                   groups of LaTeX
//   2.5 million                        thousand, million, billion, trillion
// Exponents of units ("5 m^2") are no numbers. Nullopt without a number, and where it is too large.
std::optional<Quantity> LastQuantity(std::string_view text);

// Equal numbers; where both sides carry a known unit the units count: 3 hours are 180 minutes and
// neither 3 minutes nor 3 km. Percent is a unit too, so 50% is 50 and 50 percent but not 0.5, as in
// the graders of GSM8K.
bool SameQuantity(const Quantity& a, const Quantity& b);

}  // namespace pivotal::pts
