// Apache-2.0.
#include "pts/oracles/math_words.h"

#include <unordered_map>
#include <unordered_set>

namespace pivotal::pts {
namespace {

using Words = std::unordered_set<std::string_view>;
using Map = std::unordered_map<std::string_view, std::string_view>;

std::string Find(const Map& map, std::string_view key) {
  const auto found = map.find(key);
  return found == map.end() ? std::string() : std::string(found->second);
}

}  // namespace

std::string FunctionName(std::string_view word) {
  static const Map map = {
      {"sin", "sin"},       {"cos", "cos"},     {"tan", "tan"},       {"tg", "tan"},
      {"cot", "cot"},       {"ctg", "cot"},     {"sec", "sec"},       {"csc", "csc"},
      {"cosec", "csc"},     {"sinh", "sinh"},   {"cosh", "cosh"},     {"tanh", "tanh"},
      {"arcsin", "arcsin"}, {"asin", "arcsin"}, {"arccos", "arccos"}, {"acos", "arccos"},
      {"arctan", "arctan"}, {"atan", "arctan"}, {"arctg", "arctan"},  {"exp", "exp"},
      {"ln", "ln"},         {"log", "log"},     {"lg", "log"},        {"max", "max"},
      {"min", "min"},       {"gcd", "gcd"},     {"lcm", "lcm"},       {"abs", "abs"},
      {"floor", "floor"},   {"ceil", "ceil"},   {"Re", "Re"},         {"Im", "Im"},
      {"cis", "cis"}};
  return Find(map, word);
}

std::string InverseFunction(std::string_view name) {
  static const Map map = {{"sin", "arcsin"}, {"cos", "arccos"}, {"tan", "arctan"}};
  return Find(map, name);
}

bool TakesAngle(std::string_view name) {
  static const Words words = {"sin", "cos", "tan", "cot", "sec", "csc", "cis"};
  return words.contains(name);
}

std::string RelationName(std::string_view command) {
  static const Map map = {{"lt", "<"},        {"gt", ">"},   {"le", "<="},   {"leq", "<="},
                          {"leqslant", "<="}, {"ge", ">="},  {"geq", ">="},  {"geqslant", ">="},
                          {"ne", "!="},       {"neq", "!="}, {"equiv", "="}, {"in", "in"},
                          {"approx", "~"},    {"simeq", "~"}};
  return Find(map, command);
}

std::string GreekSymbol(std::string_view word) {
  static const Words words = {
      "pi",    "alpha",   "beta",     "gamma", "delta",   "epsilon", "varepsilon", "zeta",
      "eta",   "theta",   "vartheta", "iota",  "kappa",   "lambda",  "mu",         "nu",
      "xi",    "rho",     "sigma",    "tau",   "upsilon", "phi",     "varphi",     "chi",
      "psi",   "omega",   "Gamma",    "Delta", "Theta",   "Lambda",  "Xi",         "Pi",
      "Sigma", "Upsilon", "Phi",      "Psi",   "Omega",   "ell"};
  static const Map map = {{"infty", "\\infty"},        {"infinity", "\\infty"},
                          {"Infinity", "\\infty"},     {"inf", "\\infty"},
                          {"oo", "\\infty"},           {"varphi", "\\phi"},
                          {"varepsilon", "\\epsilon"}, {"vartheta", "\\theta"}};
  if (auto symbol = Find(map, word); !symbol.empty()) return symbol;
  return words.contains(word) ? std::string("\\").append(word) : std::string();
}

bool IsUnitWord(std::string_view word) {
  static const Words words = {
      "mm",      "cm",      "dm",      "km",       "ft",     "foot",   "feet",    "yd",
      "mi",      "inch",    "inches",  "in",       "mile",   "miles",  "yard",    "yards",
      "meter",   "meters",  "metre",   "metres",   "mg",     "kg",     "gram",    "grams",
      "lb",      "lbs",     "oz",      "ton",      "tons",   "pound",  "pounds",  "ounce",
      "ounces",  "ml",      "mL",      "liter",    "liters", "cup",    "cups",    "sec",
      "secs",    "min",     "mins",    "hr",       "hrs",    "hour",   "hours",   "day",
      "days",    "week",    "weeks",   "year",     "years",  "month",  "months",  "second",
      "seconds", "minute",  "minutes", "mph",      "kph",    "dollar", "dollars", "cent",
      "cents",   "USD",     "unit",    "units",    "sq",     "square", "cubic",   "per",
      "way",     "ways",    "people",  "students", "boys",   "girls",  "eggs",    "apples",
      "degree",  "degrees", "deg",     "radians",  "rad",    "pm",     "am",      "kmh",
      "cc",      "bits",    "each",    "men",      "women",  "pts",    "points",  "times",
      "rad",     "mod"};
  return words.contains(word);
}

bool IsUnitLetter(std::string_view word) {
  static const Words words = {"m", "s", "g", "h", "L", "J", "N", "W"};
  return words.contains(word);
}

bool IsLeadWord(std::string_view word) {
  static const Words words = {"about",  "approximately", "exactly", "roughly",
                              "simply", "just",          "only",    "option"};
  return words.contains(word);
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

}  // namespace pivotal::pts
