// Apache-2.0.
#include "pts/oracles/math/number.h"

#include <cstddef>
#include <string>
#include <utility>

#include "data/base/text.h"

namespace pivotal::pts {
using data::IsDigit;
using data::IsLetter;

namespace {

constexpr int kMaxFactorial = 800;  // 800! has 6,552 bits

unsigned Bits(const Integer& value) { return value == 0 ? 0 : msb(abs(value)) + 1; }

bool IsDigits(std::string_view text) {
  return text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Reads digits without leading zeros, which would make the number octal.
Integer Digits(std::string_view text) {
  const auto first = text.find_first_not_of('0');
  return first == std::string_view::npos ? Integer(0) : Integer(std::string(text.substr(first)));
}

Integer PowerOfTen(std::size_t n) { return pow(Integer(10), static_cast<unsigned>(n)); }

// Returns the integer whose n-th power is `value` (>= 0).
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
  // Divides, as Rational's constructor from two integers throws for a negative denominator.
  const Rational over = pow(top, n), under = pow(bottom, n);
  return Bounded(p < 0 ? under / over : over / under);
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

namespace {

constexpr std::string_view kMinusSign = "\u2212";  // U+2212, the typeset minus sign

// Returns the number of digits from text[at] on.
std::size_t DigitRun(std::string_view text, std::size_t at) {
  std::size_t n = 0;
  while (at + n < text.size() && IsDigit(text[at + n])) ++n;
  return n;
}

// Returns the start of the first number at or after `from`: a digit, or a point before a digit that
// does not end another number. A sign, if any, stands before it.
std::size_t FindStart(std::string_view text, std::size_t from) {
  for (std::size_t at = from; at < text.size(); ++at) {
    if (IsDigit(text[at])) return at;
    const bool inside = at > 0 && IsDigit(text[at - 1]);
    if (text[at] == '.' && !inside && DigitRun(text, at + 1) > 0) return at;
  }
  return std::string_view::npos;
}

// Returns true if the number after `before` is negative: "-5", "-$5", "$-5", "-$ 5", "-\$5".
bool IsNegative(std::string_view before) {
  if (EndsInSign(before)) return true;
  while (before.ends_with(' ')) before.remove_suffix(1);
  if (!before.ends_with('$')) return false;
  before.remove_suffix(1);
  if (before.ends_with('\\')) before.remove_suffix(1);
  return EndsInSign(before);
}

std::string NormalForm(std::string whole, std::string fraction, bool negative) {
  whole.erase(0, whole.find_first_not_of('0'));
  fraction.erase(fraction.find_last_not_of('0') + 1);
  if (whole.empty()) whole.assign(1, '0');
  if (!fraction.empty()) whole.append(1, '.').append(fraction);
  if (negative && whole != "0") whole.insert(whole.begin(), '-');
  return whole;
}

}  // namespace

bool EndsInSign(std::string_view before) {
  if (before.ends_with(kMinusSign)) {
    before.remove_suffix(kMinusSign.size());
  } else if (before.ends_with('-')) {
    before.remove_suffix(1);
  } else {
    return false;
  }
  if (before.empty()) return true;
  const char c = before.back();
  return !IsDigit(c) && !IsLetter(c) && c != ')' && c != ']' && c != '}' && c != '%';
}

std::optional<Decimal> NextDecimal(std::string_view text, std::size_t from) {
  const std::size_t start = FindStart(text, from);
  if (start == std::string_view::npos) return std::nullopt;
  std::size_t end = start + DigitRun(text, start);
  std::string whole(text.substr(start, end - start));
  if (!whole.empty() && whole.size() <= 3) {
    while (end < text.size() && text[end] == ',' && DigitRun(text, end + 1) == 3) {
      whole += text.substr(end + 1, 3);
      end += 4;
    }
  }
  std::string fraction;
  if (end < text.size() && text[end] == '.') {
    fraction = text.substr(end + 1, DigitRun(text, end + 1));
    if (!fraction.empty()) end += 1 + fraction.size();
  }
  return Decimal{
      NormalForm(std::move(whole), std::move(fraction), IsNegative(text.substr(0, start))), start,
      end};
}

std::optional<std::string> FirstNumber(std::string_view text) {
  auto number = NextDecimal(text, 0);
  if (!number) return std::nullopt;
  return std::move(number->value);
}

std::optional<std::string> LastNumber(std::string_view text) {
  std::optional<std::string> last;
  std::size_t from = 0;
  while (auto number = NextDecimal(text, from)) {
    from = number->end;
    last = std::move(number->value);
  }
  return last;
}

}  // namespace pivotal::pts
