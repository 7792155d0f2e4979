// Apache-2.0. Exact rational numbers of bounded size.
#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <optional>
#include <string_view>

namespace pivotal::pts {

using Integer = boost::multiprecision::cpp_int;
using Rational = boost::multiprecision::cpp_rational;

// Beyond this many bits in numerator or denominator a result is given up: a text of a few bytes
// ("9^9^9") must not cost seconds or gigabytes.
inline constexpr unsigned kMaxBits = 8192;
inline constexpr std::size_t kMaxDigits = 2400;  // decimal digits of kMaxBits

// The value itself, or nullopt where it is too large.
std::optional<Rational> Bounded(Rational value);

// "-12.50", ".5", "007"; digits in parentheses at the end repeat: "0.1(6)" is 1/6. Nullopt for
// anything else and past kMaxDigits.
std::optional<Rational> ParseRational(std::string_view decimal);

// Nullopt where the quotient or power is undefined (0^0 too), irrational or too large.
std::optional<Rational> Quotient(const Rational& a, const Rational& b);
std::optional<Rational> Power(const Rational& base, const Rational& exponent);
// The n-th root that is rational, of a negative number for odd n alone.
std::optional<Rational> Root(const Rational& value, unsigned n);

bool IsInteger(const Rational& value);
Rational Floor(const Rational& value);
// n! and n over k for whole numbers that are small enough.
std::optional<Rational> Factorial(const Rational& n);
std::optional<Rational> Binomial(const Rational& n, const Rational& k);

}  // namespace pivotal::pts
