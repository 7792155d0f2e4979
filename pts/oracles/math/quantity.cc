// Apache-2.0.
#include "pts/oracles/math/quantity.h"

#include <algorithm>
#include <array>
#include <string>
#include <unordered_map>
#include <utility>

#include "data/base/text.h"
#include "pts/oracles/math/notation.h"
#include "pts/oracles/math/number.h"

namespace pivotal::pts {
using data::IsDigit;
using data::IsLetter;

namespace {

struct Entry {
  std::string_view dimension;
  int64_t over, under = 1;
};

const std::unordered_map<std::string_view, Entry>& Table() {
  static const std::unordered_map<std::string_view, Entry> table = {
      {"mm", {"length", 1, 1000}},
      {"millimeter", {"length", 1, 1000}},
      {"cm", {"length", 1, 100}},
      {"centimeter", {"length", 1, 100}},
      {"m", {"length", 1}},
      {"meter", {"length", 1}},
      {"metre", {"length", 1}},
      {"km", {"length", 1000}},
      {"kilometer", {"length", 1000}},
      {"kilometre", {"length", 1000}},
      {"inch", {"length", 254, 10000}},
      {"inches", {"length", 254, 10000}},
      {"ft", {"length", 3048, 10000}},
      {"foot", {"length", 3048, 10000}},
      {"feet", {"length", 3048, 10000}},
      {"yd", {"length", 9144, 10000}},
      {"yard", {"length", 9144, 10000}},
      {"mile", {"length", 1609344, 1000}},
      {"mg", {"mass", 1, 1000000}},
      {"g", {"mass", 1, 1000}},
      {"gram", {"mass", 1, 1000}},
      {"kg", {"mass", 1}},
      {"kilogram", {"mass", 1}},
      {"lb", {"mass", 45359237, 100000000}},
      {"pound", {"mass", 45359237, 100000000}},
      {"oz", {"mass", 45359237, 1600000000}},
      {"ounce", {"mass", 45359237, 1600000000}},
      {"s", {"time", 1}},
      {"sec", {"time", 1}},
      {"second", {"time", 1}},
      {"min", {"time", 60}},
      {"minute", {"time", 60}},
      {"h", {"time", 3600}},
      {"hr", {"time", 3600}},
      {"hour", {"time", 3600}},
      {"day", {"time", 86400}},
      {"week", {"time", 604800}},
      {"month", {"months", 1}},
      {"year", {"months", 12}},
      {"ml", {"volume", 1, 1000}},
      {"milliliter", {"volume", 1, 1000}},
      {"l", {"volume", 1}},
      {"liter", {"volume", 1}},
      {"litre", {"volume", 1}},
      {"$", {"dollars", 1}},
      {"dollar", {"dollars", 1}},
      {"usd", {"dollars", 1}},
      {"cent", {"dollars", 1, 100}},
      {"\u00a2", {"dollars", 1, 100}},
      {"\u20ac", {"euros", 1}},
      {"euro", {"euros", 1}},
      {"%", {"percent", 1}},
      {"percent", {"percent", 1}},
      {"\u00b0", {"angle", 1}},
      {"degree", {"angle", 1}},
  };
  return table;
}

}  // namespace

std::optional<Unit> FindUnit(std::string_view word) {
  const std::string lower = Lower(word);
  auto found = Table().find(lower);
  if (found == Table().end() && lower.size() > 2 && lower.back() == 's')  // "hours", "kms"
    found = Table().find(std::string_view(lower).substr(0, lower.size() - 1));
  if (found == Table().end()) return std::nullopt;
  return Unit{found->second.dimension, Rational(found->second.over, found->second.under), 1};
}

namespace {

constexpr auto kNone = std::string_view::npos;

// A number and the position after its text.
struct Found {
  Rational value;
  std::size_t end;
};

class QuantityReader {
 public:
  explicit QuantityReader(std::string_view text) : text_(text) {}

  std::optional<Quantity> Last() const {
    std::optional<Quantity> last;
    std::size_t from = 0;
    while (const auto decimal = NextDecimal(text_, from)) {
      from = decimal->end;
      if (IsScript(decimal->begin)) continue;
      const auto found = NumberFrom(*decimal);
      last.reset();
      // A number that is too large: it hides those before it, and none of its parts counts.
      if (!found) {
        from = std::min(text_.find_first_of(" \n", from), text_.size());
        continue;
      }
      from = found->end;
      last = Quantity{found->value, UnitAround(decimal->begin, found->end)};
    }
    return last;
  }

 private:
  std::string_view Rest(std::size_t at) const { return text_.substr(std::min(at, text_.size())); }
  bool At(std::size_t at, std::string_view what) const { return Rest(at).starts_with(what); }
  bool EndsBefore(std::size_t at, std::string_view what) const {
    return text_.substr(0, at).ends_with(what);
  }
  std::size_t PastSpaces(std::size_t at) const {
    while (At(at, " ") || At(at, "~")) ++at;
    return at;
  }

  // Returns true for an exponent or a subscript.
  bool IsScript(std::size_t begin) const {
    while (begin > 0 && (text_[begin - 1] == '-' || text_[begin - 1] == '{')) --begin;
    return begin > 0 && (text_[begin - 1] == '^' || text_[begin - 1] == '_');
  }

  std::optional<Found> NumberFrom(const Decimal& decimal) const {
    if (const auto command = FractionCommandBefore(decimal.begin); command != kNone) {
      auto fraction = LatexFraction(command);
      if (fraction && EndsInSign(text_.substr(0, command))) fraction->value = -fraction->value;
      if (fraction) return fraction;
    }
    const auto value = ParseRational(decimal.value);
    if (!value) return std::nullopt;
    Found found{*value, decimal.end};
    if (AddFraction(decimal, found)) return found;
    if (!Scale(found)) return std::nullopt;
    return found;
  }

  // Returns where the "\frac" stands whose numerator begins at `begin`; npos for none.
  std::size_t FractionCommandBefore(std::size_t begin) const {
    for (std::string_view name : {"\\frac", "\\dfrac", "\\tfrac"})
      for (std::string_view open : {"{", "", " ", "{-"})
        if (EndsBefore(begin, std::string(name).append(open)))
          return begin - name.size() - open.size();
    return kNone;
  }

  // Reads "\frac{3}{4}" or "\frac34" at `at`.
  std::optional<Found> LatexFraction(std::size_t at) const {
    while (at < text_.size() && text_[at] != 'c') ++at;  // skips its name
    std::array<std::optional<Rational>, 2> parts;
    ++at;
    for (auto& part : parts) {
      at = PastSpaces(at);
      const bool braces = At(at, "{");
      if (braces) ++at;
      std::size_t end = at;
      if (At(end, "-")) ++end;
      while (end < text_.size() && (IsDigit(text_[end]) || text_[end] == '.') &&
             (braces || end == at))
        ++end;
      part = ParseRational(text_.substr(at, end - at));
      if (!part || (braces && !At(end, "}"))) return std::nullopt;
      at = end + (braces ? 1 : 0);
    }
    const auto value = Quotient(*parts[0], *parts[1]);
    return value ? std::optional(Found{*value, at}) : std::nullopt;
  }

  // Reads the number at `at` if it is nothing but digits.
  std::optional<Found> DigitsAt(std::size_t at) const {
    std::size_t end = at;
    while (end < text_.size() && IsDigit(text_[end])) ++end;
    const bool more = (At(end, ".") && end + 1 < text_.size() && IsDigit(text_[end + 1]));
    const auto value = more ? std::nullopt : ParseRational(text_.substr(at, end - at));
    return value ? std::optional(Found{*value, end}) : std::nullopt;
  }

  // Reads the rest of "3/4" after its "3"; not in a date (1/2/2003).
  std::optional<Found> OverDigits(const Found& above, std::size_t begin) const {
    std::size_t at = above.end;
    if (At(at, " / "))
      at += 3;
    else if (At(at, "/"))
      ++at;
    else
      return std::nullopt;
    const auto below = DigitsAt(at);
    if (!below || At(below->end, "/") || EndsBefore(begin, "/")) return std::nullopt;
    const auto value = Quotient(above.value, below->value);
    return value ? std::optional(Found{*value, below->end}) : std::nullopt;
  }

  // Extends `found`, a whole number or a numerator, to the fraction or mixed number that it begins.
  // Returns false if it begins none.
  bool AddFraction(const Decimal& decimal, Found& found) const {
    if (const auto fraction = OverDigits(found, decimal.begin)) {
      found = *fraction;
      return true;
    }
    if (!IsInteger(found.value)) return false;
    const std::size_t at = PastSpaces(found.end);
    std::optional<Found> part;
    if (At(at, "\\frac") || At(at, "\\dfrac") || At(at, "\\tfrac"))
      part = LatexFraction(at);
    else if (const auto above = at > found.end ? DigitsAt(at) : std::nullopt)
      part = OverDigits(*above, at);
    if (!part || part->value <= 0 || part->value >= 1) return false;
    const bool negative = decimal.value.starts_with('-');
    found = {negative ? Rational(found.value - part->value) : Rational(found.value + part->value),
             part->end};
    return true;
  }

  // Extends `found` by a power, a power of ten or a scale word. Returns false if the result is too
  // large.
  bool Scale(Found& found) const {
    if (const auto exponent = ExponentAt(found.end)) {
      auto power = Power(abs(found.value), exponent->value);
      if (power && found.value < 0) power = -*power;  // "-2^2" is -4
      return Apply(found, power, exponent->end);
    }
    if (const auto exponent = ScientificAt(found.end)) {
      const auto ten = Power(10, exponent->value);
      return ten && Apply(found, Bounded(found.value * *ten), exponent->end);
    }
    constexpr std::array<std::pair<std::string_view, int>, 4> kWords = {
        {{"thousand", 3}, {"million", 6}, {"billion", 9}, {"trillion", 12}}};
    const std::size_t at = PastSpaces(found.end);
    for (const auto& [word, zeros] : kWords) {
      if (Lower(Rest(at).substr(0, word.size())) != word) continue;
      return Apply(found, Bounded(found.value * *Power(10, zeros)), at + word.size());
    }
    return true;
  }

  static bool Apply(Found& found, const std::optional<Rational>& value, std::size_t end) {
    if (value) found = {*value, end};
    return value.has_value();
  }

  // Reads "^5" or "^{-5}".
  std::optional<Found> ExponentAt(std::size_t at) const {
    if (!At(at, "^")) return std::nullopt;
    ++at;
    const bool braces = At(at, "{");
    if (braces) ++at;
    const bool negative = At(at, "-");
    auto digits = DigitsAt(negative ? at + 1 : at);
    if (!digits || (braces && !At(digits->end, "}"))) return std::nullopt;
    if (braces) ++digits->end;
    if (negative) digits->value = -digits->value;
    return digits;
  }

  // Reads the exponent of "e5", "E-3", "\times 10^{5}" or "x 10^5".
  std::optional<Found> ScientificAt(std::size_t at) const {
    if (At(at, "e") || At(at, "E")) {
      const bool sign = At(at + 1, "-") || At(at + 1, "+");
      auto digits = DigitsAt(at + (sign ? 2 : 1));
      if (!digits || (digits->end < text_.size() && IsLetter(text_[digits->end])))
        return std::nullopt;
      if (At(at + 1, "-")) digits->value = -digits->value;
      return digits;
    }
    at = PastSpaces(at);
    for (std::string_view times : {"\\times", "\\cdot", "x", "*"}) {
      if (!At(at, times)) continue;
      const std::size_t ten = PastSpaces(at + times.size());
      return At(ten, "10^") ? ExponentAt(ten + 2) : std::nullopt;
    }
    return std::nullopt;
  }

  // Returns the currency before the number or the unit after it. A dollar sign on both sides only
  // sets a formula.
  std::optional<Unit> UnitAround(std::size_t begin, std::size_t end) const {
    std::size_t at = end;
    while (At(at, " ") || At(at, "~") || At(at, "\\ ") || At(at, "\\,") || At(at, "$") ||
           At(at, "-"))
      at += At(at, "\\") ? 2 : 1;
    for (std::string_view open : {"\\text{", "\\mathrm{", "\\textrm{"})
      if (At(at, open)) at = PastSpaces(at + open.size());
    if (At(at, "\\%") || At(at, "%")) return FindUnit("%");
    if (At(at, "^\\circ") || At(at, "^{\\circ}")) return FindUnit("\u00b0");
    std::size_t stop = at;
    while (stop < text_.size() && IsLetter(text_[stop])) ++stop;
    if (const auto unit = FindUnit(text_.substr(at, stop - at)); unit && stop > at) {
      const bool compound =
          At(stop, "^") || At(stop, "/") || Lower(Rest(PastSpaces(stop)).substr(0, 4)) == "per ";
      return compound ? std::nullopt : unit;  // m^2 and km/h count as bare numbers
    }
    for (std::string_view sign : {"\u20ac", "\u00a2"})
      if (EndsBefore(begin, sign) || At(end, sign)) return FindUnit(sign);
    const bool currency = EndsBefore(begin, "$") && (EndsBefore(begin, "\\$") || !At(end, "$"));
    return currency ? FindUnit("$") : std::nullopt;
  }

  const std::string_view text_;
};

// Replaces the commas that LaTeX sets without a space, "{,}" and ",\!", by plain ones.
std::string PlainCommas(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  while (!text.empty()) {
    const bool comma = text.starts_with("{,}") || text.starts_with(",\\!");
    plain += comma ? ',' : text.front();
    text.remove_prefix(comma ? 3 : 1);
  }
  return plain;
}

}  // namespace

std::optional<Quantity> LastQuantity(std::string_view text) {
  const std::string plain = PlainCommas(TypesetToLatex(text));
  return QuantityReader(plain).Last();
}

std::string TextOf(const Quantity& quantity) {
  std::string text = quantity.value.str();
  if (!quantity.unit) return text;
  std::string_view name;  // the longest word: a sign such as "$" stands before a number
  for (const auto& [word, entry] : Table()) {
    const bool fits = entry.dimension == quantity.unit->dimension &&
                      Rational(entry.over, entry.under) == quantity.unit->factor;
    if (!fits || !std::ranges::all_of(word, IsLetter)) continue;
    if (word.size() > name.size() || (word.size() == name.size() && word < name)) name = word;
  }
  return text.append(" ").append(name);
}

bool SameQuantity(const Quantity& a, const Quantity& b) {
  if (!a.unit || !b.unit) return a.value == b.value;
  return a.unit->dimension == b.unit->dimension &&
         a.value * a.unit->factor == b.value * b.unit->factor;
}

}  // namespace pivotal::pts
