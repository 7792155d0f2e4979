// Apache-2.0.
#include "pts/oracles/math_scalar.h"

#include "pts/oracles/math_value.h"

namespace pivotal::pts {
namespace {

constexpr int kCandidates = 24, kWanted = 6, kNeeded = 4;  // points tried, enough, least

// Fifty digits less what cancellation may cost.
const Real kRelative("1e-34"), kZero("1e-44");

bool Close(const Complex& a, const Complex& b) {
  const Real size = std::max(Real(abs(a)), Real(abs(b)));
  return size <= kZero || abs(a - b) <= kRelative * size;
}

// Calls `agree` with both values at points where both have one, until it says no; true if it said
// yes at enough of them.
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

// In real algebra first, where expressions without i belong.
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

int InfinitySign(const Math& m) {
  if (IsSymbol(m, "\\infty")) return 1;
  return Is(m, MathKind::kNegate) ? -InfinitySign(m->args[0]) : 0;
}

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
      if (*factor) return Close(**factor, ratio);
      *factor = ratio;
      return true;
    };
  });
}

bool RoughlySame(const Math& a, const Math& b) {
  if (HasVariable(a) || HasVariable(b)) return false;
  const auto x = ValueAt(a, {}), y = ValueAt(b, {});
  return x && y && abs(*x - *y) * 100 <= std::max(Real(abs(*x)), Real(abs(*y)));
}

}  // namespace pivotal::pts
