// Apache-2.0.
#include "pts/oracles/rational.h"

#include <string>
#include <utility>

namespace pivotal::pts {
namespace {

constexpr int kMaxFactorial = 800;  // 800! has 6,552 bits

unsigned Bits(const Integer& value) { return value == 0 ? 0 : msb(abs(value)) + 1; }

bool IsDigits(std::string_view text) {
  return text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Leading zeros would make it octal.
Integer Digits(std::string_view text) {
  const auto first = text.find_first_not_of('0');
  return first == std::string_view::npos ? Integer(0) : Integer(std::string(text.substr(first)));
}

Integer PowerOfTen(std::size_t n) { return pow(Integer(10), static_cast<unsigned>(n)); }

// The integer whose n-th power `value` (>= 0) is.
std::optional<Integer> IntegerRoot(const Integer& value, unsigned n) {
  Integer low = 0, high = Integer(1) << (Bits(value) / n + 1);
  while (low < high) {
    const Integer middle = (low + high + 1) >> 1;
    if (pow(middle, n) <= value)
      low = middle;
    else
      high = middle - 1;
  }
  if (pow(low, n) != value) return std::nullopt;
  return low;
}

}  // namespace

std::optional<Rational> Bounded(Rational value) {
  if (Bits(numerator(value)) > kMaxBits || Bits(denominator(value)) > kMaxBits) return std::nullopt;
  return value;
}

std::optional<Rational> ParseRational(std::string_view decimal) {
  const bool negative = decimal.starts_with('-');
  if (negative) decimal.remove_prefix(1);
  std::string_view repeat;
  if (const auto open = decimal.find('('); open != std::string_view::npos) {
    if (!decimal.ends_with(')') || decimal.find('.') > open) return std::nullopt;
    repeat = decimal.substr(open + 1, decimal.size() - open - 2);
    if (repeat.empty()) return std::nullopt;
    decimal = decimal.substr(0, open);
  }
  const auto point = decimal.find('.');
  const auto whole = decimal.substr(0, point);
  const auto fraction = point == std::string_view::npos ? "" : decimal.substr(point + 1);
  const std::size_t digits = whole.size() + fraction.size() + repeat.size();
  if (digits == 0 || digits > kMaxDigits) return std::nullopt;
  if (!IsDigits(whole) || !IsDigits(fraction) || !IsDigits(repeat)) return std::nullopt;
  const Integer scale = PowerOfTen(fraction.size());
  Rational value(Digits(std::string(whole).append(fraction)), scale);
  if (!repeat.empty()) value += Rational(Digits(repeat), scale * (PowerOfTen(repeat.size()) - 1));
  return negative ? -value : value;
}

std::optional<Rational> Quotient(const Rational& a, const Rational& b) {
  if (b == 0) return std::nullopt;
  return Bounded(a / b);
}

std::optional<Rational> Power(const Rational& base, const Rational& exponent) {
  const Integer q = denominator(exponent), p = numerator(exponent);
  if (abs(p) > kMaxBits || q > 64) return std::nullopt;
  if (base == 0) return p > 0 ? std::optional<Rational>(0) : std::nullopt;
  const auto root = q == 1 ? std::optional(base) : Root(base, static_cast<unsigned>(q));
  if (!root) return std::nullopt;
  const auto n = static_cast<unsigned>(abs(p));
  const Integer top = numerator(*root), bottom = denominator(*root);
  if ((Bits(top) - 1) * n > kMaxBits || (Bits(bottom) - 1) * n > kMaxBits) {
    if (abs(top) != 1 || bottom != 1) return std::nullopt;
  }
  const Integer over = pow(top, n), under = pow(bottom, n);
  return Bounded(p < 0 ? Rational(under, over) : Rational(over, under));
}

std::optional<Rational> Root(const Rational& value, unsigned n) {
  if (n == 0 || n > 64 || (value < 0 && n % 2 == 0)) return std::nullopt;
  const auto top = IntegerRoot(abs(numerator(value)), n),
             bottom = IntegerRoot(denominator(value), n);
  if (!top || !bottom) return std::nullopt;
  return Rational(value < 0 ? Integer(-*top) : *top, *bottom);
}

bool IsInteger(const Rational& value) { return denominator(value) == 1; }

Rational Floor(const Rational& value) {
  const Integer top = numerator(value), bottom = denominator(value);
  const Integer quotient = top / bottom;  // towards zero
  return Rational(quotient * bottom > top ? quotient - 1 : quotient);
}

std::optional<Rational> Factorial(const Rational& n) {
  if (!IsInteger(n) || n < 0 || n > kMaxFactorial) return std::nullopt;
  Integer product = 1;
  for (int i = 2; i <= static_cast<int>(n); ++i) product *= i;
  return Rational(product);
}

std::optional<Rational> Binomial(const Rational& n, const Rational& k) {
  const auto a = Factorial(n), b = Factorial(k), c = Factorial(n - k);
  if (a && k > n && b) return Rational(0);
  if (!a || !b || !c) return std::nullopt;
  return *a / (*b * *c);
}

}  // namespace pivotal::pts
