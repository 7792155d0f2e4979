// Apache-2.0.
#include <algorithm>
#include <boost/multiprecision/cpp_complex.hpp>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pts/oracles/math/compare.h"
#include "pts/oracles/math/notation.h"

namespace pivotal::pts {
namespace {

using Complex = boost::multiprecision::cpp_complex_50;
using Real = boost::multiprecision::cpp_bin_float_50;

using Exact = std::optional<Rational>;

Exact Extreme(const std::vector<Rational>& args, bool largest) {
  return largest ? *std::ranges::max_element(args) : *std::ranges::min_element(args);
}

Exact CommonDivisor(const std::vector<Rational>& args, bool multiple) {
  Integer result = 0;
  for (const Rational& arg : args) {
    if (!IsInteger(arg)) return std::nullopt;
    const Integer n = numerator(arg);
    if (result == 0)
      result = abs(n);
    else
      result = multiple ? Integer(lcm(result, n)) : Integer(gcd(result, n));
  }
  return Bounded(Rational(result));
}

Exact Function(const std::string& name, const std::vector<Rational>& args) {
  const Rational& x = args[0];
  if (name == "abs" || name == "norm") return abs(x);
  if (name == "floor") return Floor(x);
  if (name == "ceil") return -Floor(-x);
  if (name == "factorial") return Factorial(x);
  if (name == "max" || name == "min") return Extreme(args, name == "max");
  if (name == "gcd" || name == "lcm") return CommonDivisor(args, name == "lcm");
  if (args.size() != 2) return std::nullopt;
  if (name == "binomial") return Binomial(x, args[1]);
  if (name == "root" && IsInteger(args[1]) && args[1] > 0 && args[1] <= 64)
    return Root(x, static_cast<unsigned>(args[1]));
  return std::nullopt;
}

Exact Fold(MathKind kind, const std::vector<Rational>& args) {
  Rational result = kind == MathKind::kSum ? 0 : 1;
  for (const Rational& arg : args) {
    auto next = Bounded(kind == MathKind::kSum ? Rational(result + arg) : Rational(result * arg));
    if (!next) return std::nullopt;
    result = std::move(*next);
  }
  return result;
}

}  // namespace

std::optional<Rational> ExactValue(const Math& m) {
  if (Is(m, MathKind::kNumber)) return Bounded(m->number);
  if (m->args.empty()) return std::nullopt;
  std::vector<Rational> args;
  for (const Math& arg : m->args) {
    auto value = ExactValue(arg);
    if (!value) return std::nullopt;
    args.push_back(std::move(*value));
  }
  switch (m->kind) {
    case MathKind::kSum:
    case MathKind::kProduct: return Fold(m->kind, args);
    case MathKind::kQuotient: return Quotient(args[0], args[1]);
    case MathKind::kNegate: return -args[0];
    case MathKind::kPower: return Power(args[0], args[1]);
    case MathKind::kPercent:
    case MathKind::kUnit:
    case MathKind::kDegrees: return args[0];
    case MathKind::kFunction: return Function(m->name, args);
    default: return std::nullopt;
  }
}

namespace {

// Where variables are evaluated: each has a real value that depends on its name and `index` alone.
// Magnitudes lie in [0.2, 20]; at even indices all values are positive.
struct Point {
  uint64_t index = 0;
  // True: a square root or logarithm of a negative number with variables in it has no value, as in
  // real algebra. False: it has its principal value.
  bool real = true;
};

using Value = std::optional<Complex>;

const Real& Pi() {
  static const Real pi = boost::math::constants::pi<Real>();
  return pi;
}

// Beyond these limits fifty digits say nothing about the difference of two values.
const Real kLargest("1e60");
constexpr double kLargestAngle = 1e12, kLargestExponent = 138;  // e^138 is 1e60

Value Finite(Complex value) {
  if (!isfinite(value.real()) || !isfinite(value.imag())) return std::nullopt;
  if (abs(value.real()) > kLargest || abs(value.imag()) > kLargest) return std::nullopt;
  // -0 would select the other branch of the logarithm
  return value.imag() == 0 ? Complex(value.real()) : value;
}

// Rounding leaves a small residue where an exact zero should be.
bool IsZero(const Complex& value) {
  static const Real kCrumb("1e-42");
  return abs(value.real()) < kCrumb && abs(value.imag()) < kCrumb;
}
bool IsReal(const Complex& value) {
  static const Real kCrumb("1e-42");
  return abs(value.imag()) <= kCrumb * (1 + abs(value.real()));
}

// Hashes the name (SplitMix64), so that a variable has the same value everywhere and always.
uint64_t Hash(std::string_view name, uint64_t index) {
  uint64_t hash = 0x9E3779B97F4A7C15u * (index + 1);
  for (char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0xBF58476D1CE4E5B9u;
    hash ^= hash >> 31;
  }
  hash = (hash ^ (hash >> 30)) * 0x94D049BB133111EBu;
  return hash ^ (hash >> 31);
}

Value SymbolValue(const std::string& name, const Point& point) {
  if (name == "\\pi") return Complex(Pi());
  if (name == "e") return Complex(boost::math::constants::e<Real>());
  if (name == "i") return Complex(0, 1);
  if (name == "\\infty") return std::nullopt;
  const uint64_t hash = Hash(name, point.index);
  const double unit = static_cast<double>(hash >> 12) / static_cast<double>(uint64_t{1} << 52);
  const double magnitude = 0.2 * std::pow(100.0, unit);
  const bool negative = point.index % 2 == 1 && (hash & 1) != 0;
  return Complex(Real(negative ? -magnitude : magnitude));
}

class Evaluator {
 public:
  explicit Evaluator(const Point& point) : point_(point) {}

  Value At(const Math& m) const {
    if (const Value value = Raw(m)) return Finite(*value);
    return std::nullopt;
  }

 private:
  Value Raw(const Math& m) const {
    switch (m->kind) {
      case MathKind::kNumber: return Complex(m->number.convert_to<Real>());
      case MathKind::kSymbol: return SymbolValue(m->name, point_);
      case MathKind::kSum:
      case MathKind::kProduct: return Fold(m);
      case MathKind::kQuotient: return Quotient(m);
      case MathKind::kNegate: {
        const Value x = At(m->args[0]);
        return x ? Value(-*x) : std::nullopt;
      }
      case MathKind::kPower: return Power(m);
      case MathKind::kPercent:
      case MathKind::kUnit:
      case MathKind::kDegrees: return At(m->args[0]);
      case MathKind::kFunction: return Function(m);
      default: return std::nullopt;
    }
  }

  Value Fold(const Math& m) const {
    const bool sum = Is(m, MathKind::kSum);
    Complex result(sum ? 0 : 1);
    for (const Math& arg : m->args) {
      const Value x = At(arg);
      if (!x) return std::nullopt;
      if (sum)
        result += *x;
      else
        result *= *x;
      if (!Finite(result)) return std::nullopt;
    }
    return result;
  }

  Value Quotient(const Math& m) const {
    const Value a = At(m->args[0]), b = At(m->args[1]);
    if (!a || !b || IsZero(*b)) return std::nullopt;
    return Complex(*a / *b);
  }

  // Returns false if real algebra gives `m` no value although complex numbers do.
  bool Allowed(const Complex& x, const Math& m) const {
    return !point_.real || !IsReal(x) || x.real() >= 0 || !HasVariable(m);
  }

  Value Power(const Math& m) const {
    const Value base = At(m->args[0]);
    if (!base) return std::nullopt;
    if (const auto exponent = ExactValue(m->args[1]))
      return RationalPower(*base, *exponent, m->args[0]);
    const Value exponent = At(m->args[1]);
    if (!exponent || IsZero(*base) || !Allowed(*base, m)) return std::nullopt;
    return Exponential(*exponent * log(*base));
  }

  Value RationalPower(const Complex& base, const Rational& exponent, const Math& from) const {
    const Integer p = numerator(exponent), q = denominator(exponent);
    if (IsZero(base)) return p > 0 ? Value(Complex(0)) : std::nullopt;
    if (q == 1) {
      const Complex size = log(base) * Real(p);
      if (abs(size.real()) > kLargestExponent || abs(p) > 100'000) return std::nullopt;
      return WholePower(base, static_cast<long>(p));
    }
    const bool negative = IsReal(base) && base.real() < 0;
    if (negative && q % 2 == 1) {  // the real root
      const Value size = Exponential(log(Complex(-base.real())) * exponent.convert_to<Real>());
      return size && p % 2 != 0 ? Value(-*size) : size;
    }
    if (!Allowed(base, from)) return std::nullopt;
    return Exponential(log(base) * exponent.convert_to<Real>());
  }

  static Value WholePower(Complex base, long n) {
    const bool inverse = n < 0;
    Complex result(1);
    for (long left = std::labs(n); left > 0; left >>= 1) {
      if (left & 1) result *= base;
      if (left > 1) base *= base;
    }
    if (inverse && IsZero(result)) return std::nullopt;
    return inverse ? Complex(Real(1) / result) : result;
  }

  static Value Exponential(const Complex& x) {
    if (!Finite(x) || x.real() > kLargestExponent || abs(x.imag()) > kLargestAngle)
      return std::nullopt;
    return x.real() < -10 * kLargestExponent ? Complex(0) : Complex(exp(x));
  }

  Value Function(const Math& m) const {
    const std::string& name = m->name;
    if (const auto exact = ExactValue(m)) return Complex(exact->convert_to<Real>());
    const Value x = Argument(m);
    if (!x) return std::nullopt;
    if (m->args.size() == 2 && (name == "root" || name == "log" || name == "binomial")) {
      if (name == "root") return RootOf(*x, m);
      const Value y = At(m->args[1]);
      if (!y) return std::nullopt;
      return name == "log" ? Logarithm(*x, *y, m->args[0]) : BinomialOf(*x, m);
    }
    if (name == "max" || name == "min") return Extreme(m);
    if (m->args.size() != 1) return std::nullopt;
    if (name == "ln") return Logarithm(*x, Complex(boost::math::constants::e<Real>()), m->args[0]);
    return Elementary(name, *x);
  }

  // Returns the argument of a function, in radians if the function takes an angle and it is in
  // degrees.
  Value Argument(const Math& m) const {
    const Value x = At(m->args[0]);
    const bool degrees =
        AnyNode(m->args[0], [](const MathNode& n) { return n.kind == MathKind::kDegrees; });
    if (!x || !TakesAngle(m->name) || !degrees) return x;
    return *x * Pi() / 180;
  }

  Value RootOf(const Complex& x, const Math& m) const {
    const auto n = ExactValue(m->args[1]);
    if (!n || *n <= 0) {
      const Value degree = At(m->args[1]);
      if (!degree || IsZero(*degree) || IsZero(x)) return std::nullopt;
      return Exponential(log(x) / *degree);
    }
    return RationalPower(x, 1 / *n, m->args[0]);
  }

  Value Logarithm(const Complex& x, const Complex& base, const Math& from) const {
    if (IsZero(x) || IsZero(base) || !Allowed(x, from)) return std::nullopt;
    const Complex below = log(base);
    if (IsZero(below)) return std::nullopt;
    return Complex(log(x) / below);
  }

  // Returns n over k for a whole k: n (n-1) ... (n-k+1) / k!.
  Value BinomialOf(const Complex& n, const Math& m) const {
    const auto k = ExactValue(m->args[1]);
    if (!k || !IsInteger(*k) || *k < 0 || *k > 50) return std::nullopt;
    Complex result(1);
    for (int i = 0; i < static_cast<int>(*k); ++i) result *= (n - i) / Real(i + 1);
    return result;
  }

  Value Extreme(const Math& m) const {
    Value best;
    for (const Math& arg : m->args) {
      const Value x = At(arg);
      if (!x || !IsReal(*x)) return std::nullopt;
      const bool better =
          best && (m->name == "max" ? x->real() > best->real() : x->real() < best->real());
      if (!best || better) best = x;
    }
    return best;
  }

  static Value Elementary(const std::string& name, const Complex& x) {
    if (name == "exp") return Exponential(x);
    if (name == "abs" || name == "norm") return Complex(abs(x));
    if (name == "Re") return Complex(x.real());
    if (name == "Im") return Complex(x.imag());
    if (name == "floor" || name == "ceil") return Rounded(name, x);
    if (name == "factorial") return Gamma(x);
    if (abs(x.real()) > kLargestAngle || abs(x.imag()) > kLargestExponent) return std::nullopt;
    if (name == "cis") return Complex(cos(x) + Complex(0, 1) * sin(x));
    if (name == "sinh") return Complex(sinh(x));
    if (name == "cosh") return Complex(cosh(x));
    if (name == "tanh") return Ratio(sinh(x), cosh(x));
    if (name.starts_with("arc")) return Inverse(name, x);
    return Trigonometric(name, x);
  }

  static Value Ratio(const Complex& a, const Complex& b) {
    return IsZero(b) ? std::nullopt : Value(Complex(a / b));
  }

  static Value Trigonometric(const std::string& name, const Complex& x) {
    if (name == "sin") return Complex(sin(x));
    if (name == "cos") return Complex(cos(x));
    if (name == "tan") return Ratio(sin(x), cos(x));
    if (name == "cot") return Ratio(cos(x), sin(x));
    if (name == "sec") return Ratio(Complex(1), cos(x));
    if (name == "csc") return Ratio(Complex(1), sin(x));
    return std::nullopt;
  }

  static Value Inverse(const std::string& name, const Complex& x) {
    if (IsReal(x)) {
      const Real real = x.real();
      if (name == "arctan") return Complex(atan(real));
      if (abs(real) <= 1) return Complex(name == "arcsin" ? Real(asin(real)) : Real(acos(real)));
    }
    return std::nullopt;
  }

  static Value Rounded(const std::string& name, const Complex& x) {
    if (!IsReal(x)) return std::nullopt;
    return Complex(name == "floor" ? Real(floor(x.real())) : Real(ceil(x.real())));
  }

  // Returns x! of a real number, with enough digits for (n+1)! = (n+1) n! at random points.
  static Value Gamma(const Complex& x) {
    if (!IsReal(x) || x.real() < 0 || x.real() > 40) return std::nullopt;
    return Complex(Real(tgamma(Real(x.real() + 1))));
  }

  const Point point_;
};

// Returns the value of `m` at `point`; nullopt if it has no finite one (a pole, an overflow, a kind
// without value). Odd roots of negative numbers are real where they can be: (-8)^{1/3} is -2.
std::optional<Complex> ValueAt(const Math& m, const Point& point) { return Evaluator(point).At(m); }

// points that are tried; points that suffice; fewest points for equality
constexpr int kCandidates = 24, kWanted = 6, kNeeded = 4;

// Tolerances: fifty digits less what cancellation may cost.
const Real kRelative("1e-34"), kZero("1e-44");

bool Close(const Complex& a, const Complex& b) {
  const Real size = std::max(Real(abs(a)), Real(abs(b)));
  return size <= kZero || abs(a - b) <= kRelative * size;
}

// Calls `agree` with the values of both sides, at points where both have one, until it returns
// false. Returns true if it agreed at enough points.
template <typename Agree>
bool AtPoints(const Math& a, const Math& b, bool real, const Agree& agree) {
  const bool constant = !HasVariable(a) && !HasVariable(b);
  int seen = 0;
  for (uint64_t i = 0; i < (constant ? 1 : kCandidates) && seen < kWanted; ++i) {
    const Point point{i, real};
    const auto x = ValueAt(a, point);
    const auto y = x ? ValueAt(b, point) : std::nullopt;
    if (!x || !y) continue;
    if (!agree(*x, *y)) return false;
    ++seen;
  }
  return seen >= (constant ? 1 : kNeeded);
}

bool HasImaginary(const Math& m) {
  return AnyNode(m, [](const MathNode& n) { return n.kind == MathKind::kSymbol && n.name == "i"; });
}

// Compares in real algebra first, where expressions without i belong, then with complex numbers.
template <typename MakeAgree>
bool AtRealOrComplexPoints(const Math& a, const Math& b, const MakeAgree& make) {
  const bool complex = HasImaginary(a) || HasImaginary(b);
  if (!complex) {
    bool refused = false;
    const auto agree = make();
    const bool same = AtPoints(a, b, true, [&](const Complex& x, const Complex& y) {
      const bool ok = agree(x, y);
      refused = refused || !ok;
      return ok;
    });
    if (same || refused) return same;
  }
  return AtPoints(a, b, false, make());
}

// Returns 1 for infinity, -1 for minus infinity, else 0.
bool SameBare(const Math& a, const Math& b) {
  if (InfinitySign(a) != 0 || InfinitySign(b) != 0) return InfinitySign(a) == InfinitySign(b);
  const auto x = ExactValue(a), y = ExactValue(b);
  if (x && y) return *x == *y;
  return AtRealOrComplexPoints(a, b, [] { return Close; });
}

Math Hundredth(const Math& m) { return MakeMath(MathKind::kQuotient, {m, MakeNumber(100)}); }

bool IsPercent(const Math& m) {
  return Is(m, MathKind::kPercent) ||
         (Is(m, MathKind::kNegate) && Is(m->args[0], MathKind::kPercent));
}

}  // namespace

bool SameValue(const Math& a, const Math& b) {
  if (SameBare(a, b)) return true;
  if (IsPercent(a) == IsPercent(b)) return false;
  return IsPercent(a) ? SameBare(Hundredth(a), b) : SameBare(a, Hundredth(b));
}

bool SameUpToFactor(const Math& a, const Math& b, bool positive) {
  if (!HasVariable(a) || !HasVariable(b)) return false;
  return AtRealOrComplexPoints(a, b, [positive] {
    auto factor = std::make_shared<std::optional<Complex>>();
    return [factor, positive](const Complex& x, const Complex& y) {
      if (abs(x) <= kZero || abs(y) <= kZero) return false;
      const Complex ratio = x / y;
      if (positive && !(ratio.real() > 0 && abs(ratio.imag()) <= kRelative * ratio.real()))
        return false;
      // A factor may be tiny: 10^55 = x has one of 10^-55 to 2x = 3.
      if (*factor) return abs(**factor - ratio) <= kRelative * abs(ratio);
      *factor = ratio;
      return true;
    };
  });
}

std::optional<int> OrderOf(const Math& a, const Math& b) {
  const auto x = ExactValue(a), y = ExactValue(b);
  if (x && y) return x->compare(*y);
  if (HasVariable(a) || HasVariable(b)) return std::nullopt;
  const auto u = ValueAt(a, {}), v = ValueAt(b, {});
  if (!u || !v || !IsReal(*u) || !IsReal(*v)) return std::nullopt;
  if (Close(*u, *v)) return 0;
  return u->real() < v->real() ? -1 : 1;
}

bool RoughlySame(const Math& a, const Math& b) {
  if (HasVariable(a) || HasVariable(b)) return false;
  const auto x = ValueAt(a, {}), y = ValueAt(b, {});
  return x && y && abs(*x - *y) * 100 <= std::max(Real(abs(*x)), Real(abs(*y)));
}

}  // namespace pivotal::pts
