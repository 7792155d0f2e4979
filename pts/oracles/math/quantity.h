// Apache-2.0. Numbers with units in running text, as exact rationals.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "pts/oracles/math/number.h"

namespace pivotal::pts {

struct Unit {
  std::string_view dimension;  // "length", "money"
  Rational factor;             // size in the base unit of the dimension
  unsigned power = 1;          // 2 for square meters
};

struct Quantity {
  Rational value;
  std::optional<Unit> unit;  // the unit beside the number, if it is a known one
};

// Returns the unit of a word or sign ("km", "Hours", "$", "percent"); nullopt for other words, and
// for "in", which mostly is the preposition.
std::optional<Unit> FindUnit(std::string_view word);

// Returns the last number of `text`. Beyond decimals (number.h) it reads
//   3/4, \frac{3}{4}, \frac34, ½         fractions
//   1 1/2, 1\frac{1}{2}, 1½              mixed numbers with a proper fraction
//   1e5, 1.2 \times 10^{5}, 1.2 x 10^5   scientific notation
//   10^5, 2^{10}                         powers
//   1{,}000, 1,\!000                     digits grouped in LaTeX
//   2.5 million                          thousand, million, billion, trillion
// Exponents of units ("5 m^2") are no numbers. Returns nullopt if there is no number or it is too
// large.
std::optional<Quantity> LastQuantity(std::string_view text);

// Returns a text that LastQuantity() reads as this quantity, one text for one value and unit: "72",
// "3/4", "3 hour".
std::string TextOf(const Quantity& quantity);

// Returns true if the numbers are equal. If both sides have a known unit, the units count: 3 hours
// are 180 minutes, but neither 3 minutes nor 3 km. Percent is a unit too, so 50% is 50 and 50
// percent but not 0.5, as in the graders of GSM8K.
bool SameQuantity(const Quantity& a, const Quantity& b);

}  // namespace pivotal::pts
