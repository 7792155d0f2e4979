// Apache-2.0.
#include "pts/oracles/math/compare.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "pts/oracles/math/real_set.h"

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

// Returns `m` with the k-th plus-minus replaced by the sign that bit k of `signs` says (set: the
// lower one).
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

// Returns true for x and f(x), which an inequality may bound.
bool IsBounded(const Math& m) {
  return Is(m, MathKind::kProduct) ? std::ranges::all_of(m->args, IsBounded) : IsVariable(*m);
}

// Reads x < a, a > x and their like.
std::optional<Solved> HalfLine(const Math& left, const std::string& relation, const Math& right) {
  if (!IsBelow(relation) && !IsAbove(relation)) return std::nullopt;
  if (IsBounded(left) && !HasVariable(right))
    return Solved{left, IsBelow(relation) ? Interval(Infinity(true), "<", right, relation)
                                          : Interval(right, relation, Infinity(false), "<")};
  if (IsBounded(right) && !HasVariable(left))
    return Solved{right, IsBelow(relation) ? Interval(left, relation, Infinity(false), "<")
                                           : Interval(Infinity(true), "<", left, relation)};
  return std::nullopt;
}

// Writes out each "plus or minus": 1 \pm \sqrt{5} gives both numbers. Signs are independent of each
// other, or all linked if a \mp is among them. More than four signs stay as they are.
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

}  // namespace

std::optional<Solved> SolvedRelation(const Math& relation) {
  const auto& sides = relation->args;
  const auto& names = relation->relations;
  if (names.size() == 1 && names[0] == "in") return Solved{sides[0], sides[1]};
  if (names.size() == 1) return HalfLine(sides[0], names[0], sides[1]);
  if (names.size() != 2 || !IsBounded(sides[1]) || HasVariable(sides[0]) || HasVariable(sides[2]))
    return std::nullopt;
  if (IsBelow(names[0]) && IsBelow(names[1]))
    return Solved{sides[1], Interval(sides[0], names[0], sides[2], names[1])};
  if (IsAbove(names[0]) && IsAbove(names[1]))
    return Solved{sides[1], Interval(sides[2], names[1], sides[0], names[0])};
  return std::nullopt;
}

namespace {

// Multiplies a matrix by its numeric factors, entry by entry; returns anything else unchanged.
Math WithoutFactor(const Math& m) {
  if (Is(m, MathKind::kNegate) || Is(m, MathKind::kQuotient) || Is(m, MathKind::kProduct)) {
    const auto is_matrix = [](const Math& arg) { return Is(arg, MathKind::kMatrix); };
    if (std::ranges::count_if(m->args, is_matrix) != 1) return m;
    const auto at = std::ranges::find_if(m->args, is_matrix) - m->args.begin();
    if (Is(m, MathKind::kQuotient) && at != 0) return m;
    auto scaled = std::make_shared<MathNode>(*m->args[static_cast<std::size_t>(at)]);
    if (!scaled->name.empty()) return m;  // a determinant is a number, not a matrix
    for (Math& entry : scaled->args) {
      auto args = m->args;
      args[static_cast<std::size_t>(at)] = entry;
      entry = MakeMath(m->kind, std::move(args));
    }
    return scaled;
  }
  return m;
}

// limit for a list, whose comparison takes the square of its length
constexpr std::size_t kMaxItems = 64;

bool Same(const Math& a, const Math& b);

bool SameInOrder(const std::vector<Math>& a, const std::vector<Math>& b) {
  return std::ranges::equal(a, b, Same);
}

// Pairs the items of two lists, each with one that says the same. Taking the first that fits is not
// enough: 50% is 50 and 0.5.
class Pairing {
 public:
  Pairing(const std::vector<Math>& a, const std::vector<Math>& b)
      : fits_(a.size(), std::vector<char>(b.size())), partner_(b.size(), kNone) {
    for (std::size_t i = 0; i < a.size(); ++i)
      for (std::size_t j = 0; j < b.size(); ++j) fits_[i][j] = Same(a[i], b[j]) ? 1 : 0;
  }

  bool IsComplete() {
    for (std::size_t i = 0; i < fits_.size(); ++i) {
      std::vector<char> tried(partner_.size(), 0);
      if (!Place(i, tried)) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  // Finds a partner for item i of the first list; others may have to change theirs.
  bool Place(std::size_t i, std::vector<char>& tried) {
    for (std::size_t j = 0; j < partner_.size(); ++j) {
      if (fits_[i][j] == 0 || tried[j] != 0) continue;
      tried[j] = 1;
      if (partner_[j] != kNone && !Place(partner_[j], tried)) continue;
      partner_[j] = i;
      return true;
    }
    return false;
  }

  std::vector<std::vector<char>> fits_;
  std::vector<std::size_t> partner_;  // of each item of the second list
};

bool SameInAnyOrder(const std::vector<Math>& a, const std::vector<Math>& b) {
  return a.size() == b.size() && a.size() <= kMaxItems && Pairing(a, b).IsComplete();
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

// Returns the items of a list, set or union (or the single answer), with every \pm written out.
std::vector<Math> Parts(const Math& m) {
  std::vector<Math> parts;
  for (const Math& item : IsMany(m) ? m->args : std::vector<Math>{m})
    for (Math& variant : WriteOutSigns(item)) parts.push_back(std::move(variant));
  return parts;
}

bool IsInterval(const Math& m) {
  if (Is(m, MathKind::kRelation)) return SolvedRelation(m).has_value();
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

// Returns d for an inequality "0 < d" or "0 <= d" and for an equation "0 = d".
Math Side(const Math& relation) {
  const bool above = relation->relations[0].starts_with('>');
  return above ? Difference(relation->args[0], relation->args[1])
               : Difference(relation->args[1], relation->args[0]);
}

std::string Direction(const std::string& relation) {
  if (relation == ">") return "<";
  return relation == ">=" ? "<=" : relation;
}

// Returns true for what an equation can define: y, f(x), f^{-1}(x), |AB|, AB/CD, (p, q).
bool IsName(const Math& m) {
  if (Is(m, MathKind::kPower)) return IsVariable(*m->args[0]) && Is(m->args[1], MathKind::kNegate);
  const bool joins = Is(m, MathKind::kProduct) || Is(m, MathKind::kQuotient) ||
                     Is(m, MathKind::kBracket) || (Is(m, MathKind::kFunction) && m->name == "abs");
  return joins ? std::ranges::all_of(m->args, IsName) : IsVariable(*m) || Is(m, MathKind::kText);
}

// Returns true for a chain of equations that begins with a name. The name stands for the last side.
bool IsDefinition(const Math& relation) {
  const auto equals = [](const std::string& name) { return name == "="; };
  return std::ranges::all_of(relation->relations, equals) && IsName(relation->args[0]);
}

bool SameRelation(const Math& a, const Math& b) {
  const auto x = SolvedRelation(a), y = SolvedRelation(b);
  if (x && y && Same(x->subject, y->subject) && Same(x->set, y->set)) return true;
  if (a->relations.size() == 1 && b->relations.size() == 1) {
    if (Direction(a->relations[0]) != Direction(b->relations[0])) return false;
    if (a->relations[0] == "in" || a->relations[0] == "~") return SameInOrder(a->args, b->args);
    return SameUpToFactor(Side(a), Side(b), Direction(a->relations[0]).starts_with('<'));
  }
  if (IsDefinition(a) && IsDefinition(b) && Same(a->args[0], b->args[0]))
    return Same(a->args.back(), b->args.back());
  return a->relations == b->relations && SameInOrder(a->args, b->args);
}

// Returns true for an equation of constants that is plainly wrong, as "5 = 6"; "1/3 = 0.33" and "5
// feet = 60 inches" are not.
bool IsFalse(const Math& relation) {
  for (std::size_t i = 0; i + 1 < relation->args.size(); ++i) {
    const Math &left = relation->args[i], &right = relation->args[i + 1];
    const auto x = ExactValue(left), y = ExactValue(right);
    const auto has_unit = [](const MathNode& n) {
      return n.kind == MathKind::kUnit || n.kind == MathKind::kPercent;
    };
    if (relation->relations[i] != "=" || !x || !y) continue;
    const bool far = abs(*x - *y) * 20 > std::max(Rational(abs(*x)), Rational(abs(*y)));
    if (far && !AnyNode(left, has_unit) && !AnyNode(right, has_unit)) return true;
  }
  return false;
}

// Returns true if the relation says `value`, which is no relation: the value or the set it gives.
bool SaysValue(const Math& relation, const Math& value) {
  const auto& names = relation->relations;
  if (const auto solved = SolvedRelation(relation)) return Same(solved->set, value);
  if (IsFalse(relation)) return false;
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

// Returns true for what a number can be the value of: m + n, f(2), \sin x, \log_2 x, 2a - b; but
// not for an expression in the coordinates x, y and z, whose equation is a curve.
bool IsQuantity(const Math& m) {
  const auto is_coordinate = [](const MathNode& n) {
    return n.kind == MathKind::kSymbol && (n.name == "x" || n.name == "y" || n.name == "z");
  };
  if (Is(m, MathKind::kFunction)) return IsName(m->args[0]);
  if (Is(m, MathKind::kPower) && Is(m->args[0], MathKind::kFunction)) return IsQuantity(m->args[0]);
  if (Is(m, MathKind::kProduct)) {
    static const std::string_view kFunctions = "fghFGHPQ";
    Math first = m->args[0];
    if (Is(first, MathKind::kPower)) first = first->args[0];  // f^{-1}(2)
    if (Is(first, MathKind::kSymbol) && first->name.size() == 1 &&
        kFunctions.find(first->name[0]) != std::string_view::npos)
      return true;
  }
  return HasVariable(m) && !AnyNode(m, is_coordinate);
}

// Returns true for a relation that gives a value: y = 2x, but not x^2 + y^2 = 4.
bool IsSolved(const Math& relation) {
  if (relation->relations[0] != "=") return true;
  const Math &first = relation->args[0], &last = relation->args.back();
  if (!HasVariable(first)) return IsName(last) || !HasVariable(last);
  return IsName(first) || IsQuantity(first);
}

// "x = 1, y = 2" against the point (1, 2).
bool AssignsPoint(const Math& list, const Math& point) {
  const bool listed = Is(list, MathKind::kList) || Is(list, MathKind::kSet);
  if (!listed || !Is(point, MathKind::kBracket) || point->name != "()" ||
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

// Compares a number in another base: its digits count, not its value.
bool SameBased(const Math& a, const Math& b) {
  if (Is(a, MathKind::kBased) && Is(b, MathKind::kBased))
    return a->name == b->name && SameValue(a->args[0], b->args[0]);
  const Math &based = Is(a, MathKind::kBased) ? a : b, &other = Is(a, MathKind::kBased) ? b : a;
  const auto digits = ParseRational(based->name);
  return Is(other, MathKind::kNumber) && digits && *digits == other->number;
}

// Returns true for x \in S, and for S = \{1, 2\}, which names several values.
bool NamesMany(const Math& m) {
  if (!Is(m, MathKind::kRelation) || m->relations.size() != 1) return false;
  return m->relations[0] == "in" ||
         (m->relations[0] == "=" && IsMany(m->args[1]) && IsName(m->args[0]));
}

bool IsText(const Math& m) { return Is(m, MathKind::kText); }

// Returns true if both whole numbers leave the same remainder.
bool IsCongruent(const Math& a, const Math& b, const Math& modulus) {
  const auto x = ExactValue(a), y = ExactValue(b), n = ExactValue(modulus);
  return x && y && n && *n > 0 && IsInteger(*x) && IsInteger(*y) && IsInteger((*x - *y) / *n);
}

Math Scaled(const Math& m) {
  return MakeMath(MathKind::kProduct, {m->args[0], MakeNumber(m->number)});
}

// Compares two numbers with units, or one with a bare number.
bool SameMeasure(const Math& a, const Math& b) {
  if (Is(a, MathKind::kUnit) && Is(b, MathKind::kUnit)) {
    const Math &x = a->args[0], &y = b->args[0];
    if (a->name != b->name) return false;
    if (a->name == "mod")
      return Same(a->args[1], b->args[1]) && (Same(x, y) || IsCongruent(x, y, a->args[1]));
    return a->number == b->number ? Same(x, y) : Same(Scaled(a), Scaled(b));
  }
  const Math &measure = Is(a, MathKind::kUnit) ? a : b, &bare = Is(a, MathKind::kUnit) ? b : a;
  if (Same(measure->args[0], bare)) return true;
  if (measure->name != "mod") return false;
  const auto residue = ExactValue(bare), modulus = ExactValue(measure->args[1]);
  return residue && modulus && *residue >= 0 && *residue < *modulus &&
         IsCongruent(measure->args[0], bare, measure->args[1]);
}

// Compares a time, as in "9:45 a.m.", with a ratio, as "9:45" alone is read. "2:3" is no time.
bool IsTimeAsRatio(const Math& time, const Math& ratio) {
  if (!Is(time, MathKind::kBracket) || time->name != "::" || time->args.size() != 2) return false;
  const auto minutes = ExactValue(time->args[1]);
  return minutes && *minutes >= 10 && Is(ratio, MathKind::kQuotient) &&
         SameInOrder(time->args, ratio->args);
}

// Compares functions without a value, part by part: \|v\|, and sums up to n.
bool SameFormally(const Math& a, const Math& b) {
  if (!Is(a, MathKind::kFunction) || !Is(b, MathKind::kFunction) || a->name != b->name)
    return false;
  const bool formal = a->name == "norm" || a->name == "sum" || a->name == "product";
  return formal && SameInOrder(a->args, b->args);
}

bool Same(const Math& left, const Math& right) {
  const Math a = WithoutFactor(left), b = WithoutFactor(right);
  const auto either = [&](MathKind kind) { return Is(a, kind) || Is(b, kind); };
  const auto both = [&](MathKind kind) { return Is(a, kind) && Is(b, kind); };
  if (AssignsPoint(a, b) || AssignsPoint(b, a)) return true;
  if (IsRealSet(a) || IsRealSet(b)) {
    if (const auto same = SameRealSet(a, b)) return *same;
  }
  if (NamesMany(a) != NamesMany(b)) {
    const Math &many = NamesMany(a) ? a : b, &other = NamesMany(a) ? b : a;
    if (!Is(other, MathKind::kRelation)) return Same(many->args[1], other);
  }
  if (IsMany(a) || IsMany(b) || Parts(a).size() > 1 || Parts(b).size() > 1) return SameMany(a, b);
  if (both(MathKind::kRelation)) return SameRelation(a, b);
  if (Is(a, MathKind::kRelation)) return IsSolved(a) && SaysValue(a, b);
  if (Is(b, MathKind::kRelation)) return IsSolved(b) && SaysValue(b, a);
  if (either(MathKind::kUnit)) return SameMeasure(a, b);
  if (IsTimeAsRatio(a, b) || IsTimeAsRatio(b, a)) return true;
  if (either(MathKind::kMatrix)) return SameMatrix(a, b);
  if (both(MathKind::kBracket)) return a->name == b->name && SameInOrder(a->args, b->args);
  if (both(MathKind::kIntersection)) return SameInAnyOrder(a->args, b->args);
  if (both(MathKind::kDifference)) return SameInOrder(a->args, b->args);
  if (IsText(a) || IsText(b)) return IsText(a) && IsText(b) && a->name == b->name;
  if (either(MathKind::kBased)) return SameBased(a, b);
  return SameValue(a, b) || SameFormally(a, b);
}

}  // namespace

bool SameAnswer(const Math& a, const Math& b) { return Same(a, b); }

}  // namespace pivotal::pts
