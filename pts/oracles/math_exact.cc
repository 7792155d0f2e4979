// Apache-2.0.
#include <algorithm>
#include <vector>

#include "pts/oracles/math_value.h"

namespace pivotal::pts {
namespace {

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
  if (name == "abs") return abs(x);
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
    case MathKind::kProduct:
      return Fold(m->kind, args);
    case MathKind::kQuotient:
      return Quotient(args[0], args[1]);
    case MathKind::kNegate:
      return -args[0];
    case MathKind::kPower:
      return Power(args[0], args[1]);
    case MathKind::kPercent:
    case MathKind::kDegrees:
      return args[0];
    case MathKind::kFunction:
      return Function(m->name, args);
    default:
      return std::nullopt;
  }
}

}  // namespace pivotal::pts
