// Apache-2.0.
#include "pts/oracles/unit.h"

#include <string>
#include <unordered_map>

#include "pts/oracles/math_words.h"

namespace pivotal::pts {
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
  return Unit{found->second.dimension, Rational(found->second.over, found->second.under)};
}

}  // namespace pivotal::pts
