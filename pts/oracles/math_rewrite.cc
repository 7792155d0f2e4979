// Apache-2.0.
#include "pts/oracles/math_rewrite.h"

#include <algorithm>

namespace pivotal::pts {
namespace {

int CountSigns(const Math& m) {
  int count = Is(m, MathKind::kPlusMinus) ? 1 : 0;
  for (const Math& arg : m->args) count += CountSigns(arg);
  return count;
}

bool HasLinkedSign(const Math& m) {
  return AnyNode(
      m, [](const MathNode& n) { return n.kind == MathKind::kPlusMinus && n.name == "-+"; });
}

// `m` with the sign of the k-th plus-minus taken from bit k of `signs` (set: the lower one).
Math WithSigns(const Math& m, unsigned signs, int& next) {
  if (CountSigns(m) == 0) return m;
  const bool is_sign = Is(m, MathKind::kPlusMinus);
  auto node = std::make_shared<MathNode>(*m);
  for (Math& arg : node->args) arg = WithSigns(arg, signs, next);
  if (!is_sign) return node;
  const bool minus = ((signs >> next++) & 1) != (m->name == "-+" ? 1u : 0u);
  Math right = minus ? MakeMath(MathKind::kNegate, {node->args.back()}) : node->args.back();
  if (node->args.size() == 1) return right;
  return MakeMath(MathKind::kSum, {node->args[0], std::move(right)});
}

bool IsBelow(const std::string& relation) { return relation == "<" || relation == "<="; }
bool IsAbove(const std::string& relation) { return relation == ">" || relation == ">="; }

Math Interval(Math low, const std::string& left, Math high, const std::string& right) {
  const std::string open = left.ends_with('=') ? "[" : "(",
                    close = right.ends_with('=') ? "]" : ")";
  return MakeMath(MathKind::kBracket, {std::move(low), std::move(high)}, open + close);
}

Math Infinity(bool negative) {
  Math infinity = MakeSymbol("\\infty");
  return negative ? MakeMath(MathKind::kNegate, {std::move(infinity)}) : infinity;
}

// x or f(x): what an inequality bounds.
bool IsBounded(const Math& m) {
  return Is(m, MathKind::kProduct) ? std::ranges::all_of(m->args, IsBounded) : IsVariable(*m);
}

// x < a, a > x and their like.
std::optional<Math> HalfLine(const Math& left, const std::string& relation, const Math& right) {
  if (!IsBelow(relation) && !IsAbove(relation)) return std::nullopt;
  if (IsBounded(left) && !HasVariable(right))
    return IsBelow(relation) ? Interval(Infinity(true), "<", right, relation)
                             : Interval(right, relation, Infinity(false), "<");
  if (IsBounded(right) && !HasVariable(left))
    return IsBelow(relation) ? Interval(left, relation, Infinity(false), "<")
                             : Interval(Infinity(true), "<", left, relation);
  return std::nullopt;
}

}  // namespace

std::vector<Math> WriteOutSigns(const Math& m) {
  const int count = CountSigns(m);
  if (count == 0 || count > 4) return {m};
  const unsigned all = (1u << count) - 1;
  std::vector<Math> written;
  for (unsigned signs = 0; signs <= all; ++signs) {
    if (HasLinkedSign(m) && signs != 0 && signs != all) continue;
    int next = 0;
    written.push_back(WithSigns(m, signs, next));
  }
  return written;
}

std::optional<Math> SolvedSet(const Math& relation) {
  const auto& sides = relation->args;
  const auto& names = relation->relations;
  if (names.size() == 1 && names[0] == "in") return sides[1];
  if (names.size() == 1) return HalfLine(sides[0], names[0], sides[1]);
  if (names.size() != 2 || !IsBounded(sides[1]) || HasVariable(sides[0]) || HasVariable(sides[2]))
    return std::nullopt;
  if (IsBelow(names[0]) && IsBelow(names[1]))
    return Interval(sides[0], names[0], sides[2], names[1]);
  if (IsAbove(names[0]) && IsAbove(names[1]))
    return Interval(sides[2], names[1], sides[0], names[0]);
  return std::nullopt;
}

Math WithoutFactor(const Math& m) {
  if (Is(m, MathKind::kNegate) || Is(m, MathKind::kQuotient) || Is(m, MathKind::kProduct)) {
    const auto is_matrix = [](const Math& arg) { return Is(arg, MathKind::kMatrix); };
    if (std::ranges::count_if(m->args, is_matrix) != 1) return m;
    const auto at = std::ranges::find_if(m->args, is_matrix) - m->args.begin();
    if (Is(m, MathKind::kQuotient) && at != 0) return m;
    auto scaled = std::make_shared<MathNode>(*m->args[static_cast<std::size_t>(at)]);
    if (!scaled->name.empty()) return m;  // a determinant is a number
    for (Math& entry : scaled->args) {
      auto args = m->args;
      args[static_cast<std::size_t>(at)] = entry;
      entry = MakeMath(m->kind, std::move(args));
    }
    return scaled;
  }
  return m;
}

}  // namespace pivotal::pts
