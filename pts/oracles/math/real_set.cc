// Apache-2.0.
#include "pts/oracles/math/real_set.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pts/oracles/math/compare.h"

namespace pivotal::pts {
namespace {

// Limit for the bounds of a set, since each is compared with all.
constexpr std::size_t kMaxBounds = 24;

bool IsReals(const Math& m) { return IsSymbol(m, "\\mathbb R"); }

// All bounds of both sets cut the real line into regions: below the first bound, the first bound
// itself, between the first and the second, and so on. A set is the regions that it covers.
using Regions = std::vector<char>;

class RealLine {
 public:
  // Adds the bounds in `m`. Returns false if there are too many or one is no known real number.
  bool AddBounds(const Math& m) {
    const bool opens = Is(m, MathKind::kBracket) || Is(m, MathKind::kSet) ||
                       Is(m, MathKind::kRelation) || Is(m, MathKind::kDifference) ||
                       Is(m, MathKind::kList);
    for (const Math& arg : m->args) {
      const bool inner = Is(arg, MathKind::kBracket) || Is(arg, MathKind::kSet) ||
                         Is(arg, MathKind::kRelation) || Is(arg, MathKind::kDifference) ||
                         Is(arg, MathKind::kList) || Is(arg, MathKind::kUnion) ||
                         Is(arg, MathKind::kIntersection);
      if (inner) {
        if (!AddBounds(arg)) return false;
      } else if (opens && !HasVariable(arg) && InfinitySign(arg) == 0 && !AddBound(arg)) {
        return false;
      }
    }
    return true;
  }

  // Returns the regions of the set `m`; nullopt if it is none.
  std::optional<Regions> Of(const Math& m) const {
    switch (m->kind) {
      case MathKind::kBracket: return Interval(m);
      case MathKind::kSet: return Points(m->args);
      case MathKind::kUnion: return Join(m->args, false);
      case MathKind::kIntersection: return Join(m->args, true);
      case MathKind::kDifference: return Difference(m);
      case MathKind::kRelation: return Condition(m);
      case MathKind::kList: return Conditions(m);
      default: return IsReals(m) ? std::optional(All()) : std::nullopt;
    }
  }

 private:
  Regions All() const { return Regions(2 * bounds_.size() + 1, 1); }
  Regions None() const { return Regions(2 * bounds_.size() + 1, 0); }

  bool AddBound(const Math& bound) {
    std::size_t at = 0;
    for (; at < bounds_.size(); ++at) {
      const auto order = OrderOf(bound, bounds_[at]);
      if (!order) return false;
      if (*order == 0) return true;
      if (*order < 0) break;
    }
    if (bounds_.empty() && !OrderOf(bound, bound)) return false;
    bounds_.insert(bounds_.begin() + static_cast<std::ptrdiff_t>(at), bound);
    return bounds_.size() <= kMaxBounds;
  }

  // Returns the region of a bound; nullopt for what is none.
  std::optional<std::size_t> RegionOf(const Math& bound) const {
    for (std::size_t i = 0; i < bounds_.size(); ++i)
      if (OrderOf(bound, bounds_[i]) == 0) return 2 * i + 1;
    return std::nullopt;
  }

  // Returns the numbers from `low` to `high`, each of which may be infinite.
  std::optional<Regions> Between(const Math& low, bool with_low, const Math& high,
                                 bool with_high) const {
    std::size_t begin = 0, end = 2 * bounds_.size() + 1;
    if (InfinitySign(low) > 0 || InfinitySign(high) < 0) return std::nullopt;
    if (InfinitySign(low) == 0) {
      const auto region = RegionOf(low);
      if (!region) return std::nullopt;
      begin = with_low ? *region : *region + 1;
    }
    if (InfinitySign(high) == 0) {
      const auto region = RegionOf(high);
      if (!region) return std::nullopt;
      end = with_high ? *region + 1 : *region;
    }
    if (begin > end) return std::nullopt;
    Regions regions = None();
    std::fill(regions.begin() + static_cast<std::ptrdiff_t>(begin),
              regions.begin() + static_cast<std::ptrdiff_t>(end), 1);
    return regions;
  }

  std::optional<Regions> Interval(const Math& m) const {
    if (m->args.size() != 2 || m->name == "::") return std::nullopt;
    return Between(m->args[0], m->name[0] == '[', m->args[1], m->name[1] == ']');
  }

  std::optional<Regions> Points(const std::vector<Math>& points) const {
    Regions regions = None();
    for (const Math& point : points) {
      const auto region = RegionOf(point);
      if (!region) return std::nullopt;
      regions[*region] = 1;
    }
    return regions;
  }

  std::optional<Regions> Join(const std::vector<Math>& sets, bool intersect) const {
    Regions joined = intersect ? All() : None();
    for (const Math& set : sets) {
      const auto regions = Of(set);
      if (!regions) return std::nullopt;
      joined = intersect ? Both(joined, *regions) : Either(joined, *regions);
    }
    return joined;
  }

  std::optional<Regions> Difference(const Math& m) const {
    const bool plain = IsSymbol(m->args[0], "R");  // "R \setminus \{2\}"
    const auto left = plain ? std::optional(All()) : Of(m->args[0]);
    auto right = Of(m->args[1]);
    if (!right) right = Points({m->args[1]});  // "\mathbb{R} \setminus 2"
    if (!left || !right) return std::nullopt;
    return Both(*left, Not(*right));
  }

  // Returns the numbers of which one relation is true.
  std::optional<Regions> Condition(const Math& m) const {
    const auto solved = SolvedRelation(m);
    if (solved) return Of(solved->set);
    if (m->relations.size() != 1 || HasVariable(m->args[1])) return std::nullopt;
    const auto point = Points({m->args[1]});
    if (!point || !IsVariable(*m->args[0])) return std::nullopt;
    if (m->relations[0] == "=") return point;
    return m->relations[0] == "!=" ? std::optional(Not(*point)) : std::nullopt;
  }

  std::optional<Regions> Conditions(const Math& m) const {
    std::vector<Regions> all;
    bool restricts = false;
    std::string repeated;  // the "=" or "\ne" that "x = 2, 3" has once
    for (const Math& item : m->args) {
      std::optional<Regions> regions;
      const bool bare = !Is(item, MathKind::kRelation) && !Is(item, MathKind::kBracket) &&
                        !Is(item, MathKind::kUnion);
      if (bare && !repeated.empty()) {
        regions = Points({item});
        if (regions && repeated == "!=") regions = Not(*regions);
      } else {
        regions = Of(item);
        const std::string name = Is(item, MathKind::kRelation) ? item->relations[0] : "";
        repeated = name == "=" || name == "!=" ? name : "";
        restricts = restricts || name == "!=" || name == "in";
      }
      if (!regions) return std::nullopt;
      all.push_back(std::move(*regions));
    }
    Regions either = None(), both = All();
    for (const Regions& regions : all) {
      either = Either(either, regions);
      both = Both(both, regions);
    }
    const bool nothing = both == None(), everything = either == All();
    if (m->name == "or") return either;
    const bool meet = m->name == "and" || restricts || everything;
    return meet && !nothing ? both : either;
  }

  static Regions Both(Regions a, const Regions& b) {
    std::ranges::transform(a, b, a.begin(), std::bit_and<char>());
    return a;
  }
  static Regions Either(Regions a, const Regions& b) {
    std::ranges::transform(a, b, a.begin(), std::bit_or<char>());
    return a;
  }
  static Regions Not(Regions a) {
    for (char& region : a) region = region == 0 ? 1 : 0;
    return a;
  }

  std::vector<Math> bounds_;  // in order
};

// Returns the one variable that all relations in `m` are about; nullptr if there is none; nullopt
// if there are several.
std::optional<Math> Subject(const Math& m) {
  Math subject;
  if (Is(m, MathKind::kRelation)) {
    const auto solved = SolvedRelation(m);
    return solved ? solved->subject : m->args[0];
  }
  for (const Math& arg : m->args) {
    const auto inner = Subject(arg);
    if (!inner) return std::nullopt;
    if (!*inner) continue;
    if (subject && !SameValue(subject, *inner)) return std::nullopt;
    subject = *inner;
  }
  return subject;
}

}  // namespace

bool IsRealSet(const Math& m) {
  switch (m->kind) {
    case MathKind::kUnion:
    case MathKind::kIntersection:
    case MathKind::kDifference:
    case MathKind::kRelation: return true;
    case MathKind::kList: return std::ranges::any_of(m->args, IsRealSet);
    default: return IsReals(m);
  }
}

std::optional<bool> SameRealSet(const Math& a, const Math& b) {
  const auto x = Subject(a), y = Subject(b);
  if (!x || !y) return std::nullopt;
  if (*x && *y && !SameValue(*x, *y)) return std::nullopt;
  RealLine line;
  if (!line.AddBounds(a) || !line.AddBounds(b)) return std::nullopt;
  const auto left = line.Of(a), right = left ? line.Of(b) : std::nullopt;
  if (!left || !right) return std::nullopt;
  return *left == *right;
}

}  // namespace pivotal::pts
