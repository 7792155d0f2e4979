// Apache-2.0. Exact rational numbers of bounded size, and decimal numbers in running text.
#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pivotal::pts {

using Integer = boost::multiprecision::cpp_int;
using Rational = boost::multiprecision::cpp_rational;

// Results with more bits in numerator or denominator are given up: a text of a few bytes ("9^9^9")
// must not cost seconds or gigabytes.
inline constexpr unsigned kMaxBits = 8192;
inline constexpr std::size_t kMaxDigits = 2400;  // kMaxBits as decimal digits

// Returns the value; nullopt if it is too large.
std::optional<Rational> Bounded(Rational value);

// Reads "-12.50", ".5", "007". Digits in parentheses at the end repeat: "0.1(6)" is 1/6. Returns
// nullopt for anything else and for more than kMaxDigits.
std::optional<Rational> ParseRational(std::string_view decimal);

// Return nullopt if the quotient or power is undefined (0^0 too), irrational or too large.
std::optional<Rational> Quotient(const Rational& a, const Rational& b);
std::optional<Rational> Power(const Rational& base, const Rational& exponent);
// Returns the n-th root if it is rational; negative numbers have one for odd n only.
std::optional<Rational> Root(const Rational& value, unsigned n);

bool IsInteger(const Rational& value);
Rational Floor(const Rational& value);
// Return n! and n over k; nullopt unless the numbers are whole and small enough.
std::optional<Rational> Factorial(const Rational& n);
std::optional<Rational> Binomial(const Rational& n, const Rational& k);

// A number in a text, in a normal form in which equal numbers are equal strings: "1,234",
// "$1,234.0" and "+01234" are "1234", "-0" is "0", ".50" is "0.5". A minus is a sign unless it
// touches something that it could subtract from: "=-4", but not "7-4". Commas group only as in
// 1,234,567; elsewhere they separate numbers.
struct Decimal {
  std::string value;               // normal form
  std::size_t begin = 0, end = 0;  // where its digits and point stand, without the sign
};
// Returns the first number at or after `from`; nullopt if there is none.
std::optional<Decimal> NextDecimal(std::string_view text, std::size_t from);

// Returns true if `before` ends in a minus sign that makes the number after it negative.
bool EndsInSign(std::string_view before);

// Return the first and the last number of a text in normal form; nullopt without a digit.
std::optional<std::string> FirstNumber(std::string_view text);
std::optional<std::string> LastNumber(std::string_view text);

}  // namespace pivotal::pts
