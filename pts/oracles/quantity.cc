// Apache-2.0.
#include "pts/oracles/quantity.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "pts/oracles/decimal.h"
#include "pts/oracles/math_words.h"
#include "pts/oracles/typeset.h"

namespace pivotal::pts {
namespace {

constexpr auto kNone = std::string_view::npos;

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// A value and where its text ends.
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
      if (!found) {  // too large: it hides what stands before it, and none of its parts counts
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

  // An exponent or a subscript.
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

  // Where "\frac" stands whose numerator begins at `begin`; npos where none does.
  std::size_t FractionCommandBefore(std::size_t begin) const {
    for (std::string_view name : {"\\frac", "\\dfrac", "\\tfrac"})
      for (std::string_view open : {"{", "", " ", "{-"})
        if (EndsBefore(begin, std::string(name).append(open)))
          return begin - name.size() - open.size();
    return kNone;
  }

  // "\frac{3}{4}" or "\frac34" at `at`.
  std::optional<Found> LatexFraction(std::size_t at) const {
    while (at < text_.size() && text_[at] != 'c') ++at;  // past its name
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

  // The number that begins exactly at `at` and is nothing but digits.
  std::optional<Found> DigitsAt(std::size_t at) const {
    std::size_t end = at;
    while (end < text_.size() && IsDigit(text_[end])) ++end;
    const bool more = (At(end, ".") && end + 1 < text_.size() && IsDigit(text_[end + 1]));
    const auto value = more ? std::nullopt : ParseRational(text_.substr(at, end - at));
    return value ? std::optional(Found{*value, end}) : std::nullopt;
  }

  // "3/4" behind its "3"; not in a date (1/2/2003).
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

  // Makes `found`, a whole number or numerator, a fraction or mixed number where its text goes on
  // so.
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

  // Powers, powers of ten and scale words; false where the result is too large.
  bool Scale(Found& found) const {
    if (const auto exponent = ExponentAt(found.end))
      return Apply(found, Power(found.value, exponent->value), exponent->end);
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

  // "^5", "^{-5}".
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

  // "e5", "E-3", "\times 10^{5}", "x 10^5".
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

  // A currency before the number or a unit behind it. A dollar sign on both sides sets a formula.
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
      return compound ? std::nullopt : unit;  // m^2 and km/h are compared as bare numbers
    }
    for (std::string_view sign : {"\u20ac", "\u00a2"})
      if (EndsBefore(begin, sign) || At(end, sign)) return FindUnit(sign);
    const bool currency = EndsBefore(begin, "$") && (EndsBefore(begin, "\\$") || !At(end, "$"));
    return currency ? FindUnit("$") : std::nullopt;
  }

  const std::string_view text_;
};

// Commas that LaTeX sets without a space behind them, as plain ones.
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

bool SameQuantity(const Quantity& a, const Quantity& b) {
  if (!a.unit || !b.unit) return a.value == b.value;
  return a.unit->dimension == b.unit->dimension &&
         a.value * a.unit->factor == b.value * b.unit->factor;
}

}  // namespace pivotal::pts
