// Apache-2.0.
#include "pts/oracles/math_compare.h"

#include <algorithm>
#include <string>
#include <vector>

#include "pts/oracles/math_rewrite.h"
#include "pts/oracles/math_scalar.h"
#include "pts/oracles/math_value.h"

namespace pivotal::pts {
namespace {

constexpr std::size_t kMaxItems = 64;  // of a list: comparison takes their square

bool Same(const Math& a, const Math& b);

bool SameInOrder(const std::vector<Math>& a, const std::vector<Math>& b) {
  return std::ranges::equal(a, b, Same);
}

// Each item of the reference matches one of the response, which may repeat itself.
bool SameInAnyOrder(const std::vector<Math>& a, std::vector<Math> b) {
  if (a.size() > b.size() || b.size() > kMaxItems) return false;
  for (const Math& item : a) {
    const auto found =
        std::ranges::find_if(b, [&](const Math& other) { return Same(item, other); });
    if (found == b.end()) return false;
    b.erase(found);
  }
  return std::ranges::all_of(b, [&](const Math& repeated) {
    return std::ranges::any_of(a, [&](const Math& item) { return Same(item, repeated); });
  });
}

bool SameAsSets(const std::vector<Math>& a, const std::vector<Math>& b) {
  if (a.size() > kMaxItems || b.size() > kMaxItems) return false;
  const auto in_b = [&](const Math& x) {
    return std::ranges::any_of(b, [&](const Math& y) { return Same(x, y); });
  };
  const auto in_a = [&](const Math& y) {
    return std::ranges::any_of(a, [&](const Math& x) { return Same(x, y); });
  };
  return std::ranges::all_of(a, in_b) && std::ranges::all_of(b, in_a);
}

bool IsMany(const Math& m) {
  return Is(m, MathKind::kList) || Is(m, MathKind::kSet) || Is(m, MathKind::kUnion);
}

// The parts of what has several, with every \pm written out.
std::vector<Math> Parts(const Math& m) {
  std::vector<Math> parts;
  for (const Math& item : IsMany(m) ? m->args : std::vector<Math>{m})
    for (Math& variant : WriteOutSigns(item)) parts.push_back(std::move(variant));
  return parts;
}

bool IsInterval(const Math& m) {
  if (Is(m, MathKind::kRelation)) return SolvedSet(m).has_value();
  return Is(m, MathKind::kBracket) && m->args.size() == 2;
}

bool SameMany(const Math& a, const Math& b) {
  const auto x = Parts(a), y = Parts(b);
  const bool unions = Is(a, MathKind::kUnion) || Is(b, MathKind::kUnion);
  if (unions && Is(a, MathKind::kUnion) != Is(b, MathKind::kUnion) &&
      !(std::ranges::all_of(x, IsInterval) && std::ranges::all_of(y, IsInterval)))
    return false;
  const bool sets = Is(a, MathKind::kSet) || Is(b, MathKind::kSet);
  return sets ? SameAsSets(x, y) : SameInAnyOrder(x, y);
}

Math Difference(const Math& a, const Math& b) {
  return MakeMath(MathKind::kSum, {a, MakeMath(MathKind::kNegate, {b})});
}

// An inequality as "0 < d" or "0 <= d"; an equation as "0 = d".
Math Side(const Math& relation) {
  const bool above = relation->relations[0].starts_with('>');
  return above ? Difference(relation->args[0], relation->args[1])
               : Difference(relation->args[1], relation->args[0]);
}

std::string Direction(const std::string& relation) {
  if (relation == ">") return "<";
  return relation == ">=" ? "<=" : relation;
}

// y, f(x), f^{-1}(x), |AB|, AB/CD, (p, q): what an equation defines.
bool IsName(const Math& m) {
  if (Is(m, MathKind::kPower)) return IsVariable(*m->args[0]) && Is(m->args[1], MathKind::kNegate);
  const bool joins = Is(m, MathKind::kProduct) || Is(m, MathKind::kQuotient) ||
                     Is(m, MathKind::kBracket) || (Is(m, MathKind::kFunction) && m->name == "abs");
  return joins ? std::ranges::all_of(m->args, IsName) : IsVariable(*m) || Is(m, MathKind::kText);
}

// A chain of equations that begins with a name: what the name stands for is its last side.
bool IsDefinition(const Math& relation) {
  const auto equals = [](const std::string& name) { return name == "="; };
  return std::ranges::all_of(relation->relations, equals) && IsName(relation->args[0]);
}

bool SameRelation(const Math& a, const Math& b) {
  const auto x = SolvedSet(a), y = SolvedSet(b);
  if (x && y && Same(*x, *y)) {
    const bool one_variable = a->args.size() == 3 || b->args.size() == 3 || a->relations[0] == "in";
    if (one_variable) return true;
  }
  if (a->relations.size() == 1 && b->relations.size() == 1) {
    if (Direction(a->relations[0]) != Direction(b->relations[0])) return false;
    if (a->relations[0] == "in" || a->relations[0] == "~") return SameInOrder(a->args, b->args);
    return SameUpToFactor(Side(a), Side(b), Direction(a->relations[0]).starts_with('<'));
  }
  if (IsDefinition(a) && IsDefinition(b) && Same(a->args[0], b->args[0]))
    return Same(a->args.back(), b->args.back());
  return a->relations == b->relations && SameInOrder(a->args, b->args);
}

// A relation against what is none: the value or set that it says.
bool SaysValue(const Math& relation, const Math& value) {
  const auto& names = relation->relations;
  if (const auto set = SolvedSet(relation)) return Same(*set, value);
  const Math &first = relation->args[0], &last = relation->args.back();
  if (names.back() == "=") {
    const bool turned = names.size() == 1 && IsVariable(*last) && !HasVariable(first);
    return Same(turned ? first : last, value);
  }
  if (names.back() != "~") return false;
  const Math& before = relation->args[relation->args.size() - 2];
  if (IsName(before)) return Same(last, value);
  return RoughlySame(before, last) && (Same(before, value) || Same(last, value));
}

// A reference that says a value: y = 2x, but not x^2 + y^2 = 4.
bool IsSolved(const Math& relation) {
  if (relation->relations[0] != "=") return true;
  return IsName(relation->args[0]) ||
         (IsName(relation->args.back()) && !HasVariable(relation->args[0]));
}

// "x = 1, y = 2" against the point (1, 2).
bool AssignsPoint(const Math& list, const Math& point) {
  if (!Is(list, MathKind::kList) || !Is(point, MathKind::kBracket) ||
      list->args.size() != point->args.size())
    return false;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < list->args.size(); ++i) {
    const Math& item = list->args[i];
    const bool assigns = Is(item, MathKind::kRelation) &&
                         item->relations == std::vector<std::string>{"="} &&
                         IsVariable(*item->args[0]);
    if (!assigns || std::ranges::find(names, item->args[0]->name) != names.end()) return false;
    names.push_back(item->args[0]->name);
    if (!Same(item->args[1], point->args[i])) return false;
  }
  return true;
}

bool IsVector(const Math& m) {
  return Is(m, MathKind::kMatrix) && m->name.empty() && (m->rows == 1 || m->rows == m->args.size());
}

bool SameMatrix(const Math& a, const Math& b) {
  if (Is(a, MathKind::kMatrix) && Is(b, MathKind::kMatrix))
    return a->name == b->name && a->rows == b->rows && SameInOrder(a->args, b->args);
  const Math &vector = Is(a, MathKind::kMatrix) ? a : b, &point = Is(a, MathKind::kMatrix) ? b : a;
  return IsVector(vector) && Is(point, MathKind::kBracket) && point->name == "()" &&
         SameInOrder(vector->args, point->args);
}

// The digits of a number in another base count, not its value.
bool SameBased(const Math& a, const Math& b) {
  if (Is(a, MathKind::kBased) && Is(b, MathKind::kBased))
    return a->name == b->name && SameValue(a->args[0], b->args[0]);
  const Math &based = Is(a, MathKind::kBased) ? a : b, &other = Is(a, MathKind::kBased) ? b : a;
  const auto digits = ParseRational(based->name);
  return Is(other, MathKind::kNumber) && digits && *digits == other->number;
}

bool IsText(const Math& m) { return Is(m, MathKind::kText); }

bool Same(const Math& left, const Math& right) {
  const Math a = WithoutFactor(left), b = WithoutFactor(right);
  const auto either = [&](MathKind kind) { return Is(a, kind) || Is(b, kind); };
  const auto both = [&](MathKind kind) { return Is(a, kind) && Is(b, kind); };
  if (AssignsPoint(a, b) || AssignsPoint(b, a)) return true;
  if (IsMany(a) || IsMany(b) || Parts(a).size() > 1 || Parts(b).size() > 1) return SameMany(a, b);
  if (both(MathKind::kRelation)) return SameRelation(a, b);
  if (Is(a, MathKind::kRelation)) return IsSolved(a) && SaysValue(a, b);
  if (Is(b, MathKind::kRelation)) return SaysValue(b, a);
  if (either(MathKind::kMatrix)) return SameMatrix(a, b);
  if (both(MathKind::kBracket)) return a->name == b->name && SameInOrder(a->args, b->args);
  if (both(MathKind::kIntersection)) return SameInAnyOrder(a->args, b->args);
  if (both(MathKind::kDifference)) return SameInOrder(a->args, b->args);
  if (IsText(a) || IsText(b)) return IsText(a) && IsText(b) && a->name == b->name;
  if (either(MathKind::kBased)) return SameBased(a, b);
  return SameValue(a, b);
}

}  // namespace

bool SameAnswer(const Math& reference, const Math& response) { return Same(reference, response); }

}  // namespace pivotal::pts
