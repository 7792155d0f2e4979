// Apache-2.0.
#include "pts/oracles/math_value.h"

#include <cmath>
#include <string_view>

#include "pts/oracles/math_words.h"

namespace pivotal::pts {
namespace {

using Value = std::optional<Complex>;

const Real& Pi() {
  static const Real pi = boost::math::constants::pi<Real>();
  return pi;
}

// Beyond these, fifty digits say nothing about the difference of two values.
const Real kLargest("1e60");
constexpr double kLargestAngle = 1e12, kLargestExponent = 138;  // e^138 is 1e60

Value Finite(Complex value) {
  if (!isfinite(value.real()) || !isfinite(value.imag())) return std::nullopt;
  if (abs(value.real()) > kLargest || abs(value.imag()) > kLargest) return std::nullopt;
  return value.imag() == 0 ? Complex(value.real()) : value;  // -0 would pick the other branch
}

// Rounding leaves crumbs where an exact zero should be.
bool IsZero(const Complex& value) {
  static const Real kCrumb("1e-42");
  return abs(value.real()) < kCrumb && abs(value.imag()) < kCrumb;
}
bool IsReal(const Complex& value) {
  static const Real kCrumb("1e-42");
  return abs(value.imag()) <= kCrumb * (1 + abs(value.real()));
}

// SplitMix64 over the name's bytes: the same value everywhere and always.
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
      case MathKind::kNumber:
        return Complex(m->number.convert_to<Real>());
      case MathKind::kSymbol:
        return SymbolValue(m->name, point_);
      case MathKind::kSum:
      case MathKind::kProduct:
        return Fold(m);
      case MathKind::kQuotient:
        return Quotient(m);
      case MathKind::kNegate: {
        const Value x = At(m->args[0]);
        return x ? Value(-*x) : std::nullopt;
      }
      case MathKind::kPower:
        return Power(m);
      case MathKind::kPercent:
      case MathKind::kDegrees:
        return At(m->args[0]);
      case MathKind::kFunction:
        return Function(m);
      default:
        return std::nullopt;
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

  // False where real algebra gives `m` no value although complex numbers do.
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
    if (negative && q % 2 == 1) {  // the real one
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

  // In radians where the function takes an angle.
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

  // n over k for a whole k: n (n-1) ... (n-k+1) / k!
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
    if (name == "abs") return Complex(abs(x));
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

  // x! of a real number: enough digits for (n+1)! = (n+1) n! at random points.
  static Value Gamma(const Complex& x) {
    if (!IsReal(x) || x.real() < 0 || x.real() > 40) return std::nullopt;
    return Complex(Real(tgamma(Real(x.real() + 1))));
  }

  const Point point_;
};

}  // namespace

std::optional<Complex> ValueAt(const Math& m, const Point& point) { return Evaluator(point).At(m); }

}  // namespace pivotal::pts
