// Apache-2.0.
#include "pts/oracles/math/notation.h"

#include <unordered_map>
#include <unordered_set>

#include "data/base/text.h"

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
      "degree",  "degrees", "deg",     "radians",  "rad",    "kmh",    "cc",      "bits",
      "each",    "men",     "women",   "pts",      "points", "times"};
  return words.contains(word);
}

bool IsUnitLetter(std::string_view word) {
  static const Words words = {"m", "s", "g", "h", "L", "J", "N", "W"};
  return words.contains(word);
}

bool ChangesValue(std::string_view word) {
  static const Words words = {
      // comparisons and conditions
      "or", "and", "nor", "not", "no", "than", "least", "most", "above", "below", "between", "if",
      "when", "whenever", "unless", "except", "without", "through",
      // operations
      "minus", "plus", "twice", "double", "divided", "multiplied", "squared", "cubed", "factorial",
      "mod", "modulo", "base", "choose", "remainder", "root", "infinity", "negative",
      // fractions
      "half", "halves", "third", "thirds", "fourth", "fourths", "fifth", "fifths", "sixth",
      "sixths", "seventh", "sevenths", "eighth", "eighths", "ninth", "ninths", "tenth", "tenths",
      "hundredth", "hundredths", "thousandth", "thousandths",
      // dates
      "january", "february", "march", "april", "may", "june", "july", "august", "september",
      "october", "november", "december",
      // directions and times
      "north", "south", "east", "west", "clockwise", "counterclockwise", "noon", "midnight", "bc",
      "bce", "ad", "ce",
      // other sentences
      "is", "because", "since", "so", "which", "where", "hence", "thus", "therefore", "then",
      "but"};
  return words.contains(word);
}

bool IsClauseWord(std::string_view word) {
  static const Words words = {"because", "since", "so",    "which", "where", "hence", "thus",
                              "then",    "but",   "is",    "are",   "was",   "the",   "by",
                              "as",      "it",    "we",    "for",   "to",    "at",    "an",
                              "be",      "has",   "this",  "that",  "with",  "from",  "when",
                              "while",   "due",   "given", "after"};
  return words.contains(word);
}

int64_t ScaleOf(std::string_view word) {
  static const std::unordered_map<std::string_view, int64_t> scales = {
      {"dozen", 12},
      {"hundred", 100},
      {"thousand", 1000},
      {"million", 1'000'000},
      {"millions", 1'000'000},
      {"billion", 1'000'000'000},
      {"billions", 1'000'000'000},
      {"trillion", 1'000'000'000'000}};
  const auto found = scales.find(word);
  return found == scales.end() ? 0 : found->second;
}

bool IsLeadWord(std::string_view word) {
  static const Words words = {"about",  "approximately", "exactly", "roughly",
                              "simply", "just",          "only",    "option",
                              "so",     "thus",          "hence",   "therefore"};
  return words.contains(word);
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = data::Lower(c);
  return lower;
}

namespace {

// Typeset characters. Superscripts come one by one ("¹²"), so AppendJoined makes one exponent of
// them.
const std::unordered_map<std::string_view, std::string_view>& Table() {
  static const std::unordered_map<std::string_view, std::string_view> table = {
      {"\u03b1", "\\alpha "},
      {"\u03b2", "\\beta "},
      {"\u03b3", "\\gamma "},
      {"\u03b4", "\\delta "},
      {"\u03b5", "\\epsilon "},
      {"\u03b8", "\\theta "},
      {"\u03bb", "\\lambda "},
      {"\u03bc", "\\mu "},
      {"\u03c0", "\\pi "},
      {"\u03c1", "\\rho "},
      {"\u03c3", "\\sigma "},
      {"\u03c4", "\\tau "},
      {"\u03c6", "\\phi "},
      {"\u03d5", "\\phi "},
      {"\u03c8", "\\psi "},
      {"\u03c9", "\\omega "},
      {"\u0393", "\\Gamma "},
      {"\u0394", "\\Delta "},
      {"\u03a3", "\\Sigma "},
      {"\u03a9", "\\Omega "},
      {"\u03a6", "\\Phi "},
      {"\u221e", "\\infty "},
      {"\u221a", "\\sqrt "},
      {"\u00d7", "\\times "},
      {"\u00b7", "\\cdot "},
      {"\u22c5", "\\cdot "},
      {"\u2219", "\\cdot "},
      {"\u00f7", "\\div "},
      {"\u2212", "-"},
      {"\u2013", "-"},
      {"\u2014", " "},
      {"\u2010", "-"},
      {"\u2011", "-"},
      {"\u00b1", "\\pm "},
      {"\u2213", "\\mp "},
      {"\u2264", "\\le "},
      {"\u2265", "\\ge "},
      {"\u2260", "\\ne "},
      {"\u2248", "\\approx "},
      {"\u2261", "\\equiv "},
      {"\u2208", "\\in "},
      {"\u2211", "\\sum "},
      {"\u220f", "\\prod "},
      {"\u2216", "\\setminus "},
      {"\u2223", "|"},
      {"\u2016", "\\|"},
      {"\u2022", "\\cdot "},
      {"\u2228", "\\vee "},
      {"\u222a", "\\cup "},
      {"\u2229", "\\cap "},
      {"\u2205", "\\emptyset "},
      {"\u211d", "\\mathbb{R}"},
      {"\u2124", "\\mathbb{Z}"},
      {"\u2115", "\\mathbb{N}"},
      {"\u211a", "\\mathbb{Q}"},
      {"\u00b0", "^\\circ "},
      {"\u2032", "'"},
      {"\u2044", "/"},
      {"\u2215", "/"},
      {"\u00bd", "\\frac{1}{2}"},
      {"\u00bc", "\\frac{1}{4}"},
      {"\u00be", "\\frac{3}{4}"},
      {"\u2153", "\\frac{1}{3}"},
      {"\u2154", "\\frac{2}{3}"},
      {"\u215b", "\\frac{1}{8}"},
      {"\u2070", "^{0}"},
      {"\u00b9", "^{1}"},
      {"\u00b2", "^{2}"},
      {"\u00b3", "^{3}"},
      {"\u2074", "^{4}"},
      {"\u2075", "^{5}"},
      {"\u2076", "^{6}"},
      {"\u2077", "^{7}"},
      {"\u2078", "^{8}"},
      {"\u2079", "^{9}"},
      {"\u207b", "^{-}"},
      {"\u2080", "_{0}"},
      {"\u2081", "_{1}"},
      {"\u2082", "_{2}"},
      {"\u2083", "_{3}"},
      {"\u2084", "_{4}"},
      {"\u2085", "_{5}"},
      {"\u2086", "_{6}"},
      {"\u2087", "_{7}"},
      {"\u2088", "_{8}"},
      {"\u2089", "_{9}"},
      {"\u00a0", " "},
      {"\u2009", " "},
      {"\u200b", " "},
      {"\u202f", " "},
      {"\ufeff", " "},
      {"\u2061", " "},
      {"\u2062", " "},
      {"\u2308", "\\lceil "},
      {"\u2309", "\\rceil "},
      {"\u230a", "\\lfloor "},
      {"\u230b", "\\rfloor "},
      {"\u27e8", "\\langle "},
      {"\u27e9", "\\rangle "},
  };
  return table;
}

std::size_t CharacterBytes(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

// Appends `latex`; joins "^{1}" and a following "^{2}" to one exponent.
void AppendJoined(std::string& out, std::string_view latex) {
  const bool script = latex.starts_with("^{") || latex.starts_with("_{");
  const auto open = out.rfind('{');
  if (!script || !out.ends_with('}') || open == std::string::npos) {
    out += latex;
    return;
  }
  const auto inside = std::string_view(out).substr(open + 1, out.size() - open - 2);
  const bool joins = open > 0 && out[open - 1] == latex[0] && !inside.empty() &&
                     inside.find_first_not_of("-0123456789") == std::string_view::npos;
  if (joins)
    out.insert(out.size() - 1, latex.substr(2, latex.size() - 3));
  else
    out += latex;
}

}  // namespace

std::string TypesetToLatex(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const auto character = text.substr(at, CharacterBytes(static_cast<unsigned char>(text[at])));
    const auto found = character.size() > 1 ? Table().find(character) : Table().end();
    if (found == Table().end())
      out += character;
    else
      AppendJoined(out, found->second);
    at += character.size();
  }
  return out;
}

}  // namespace pivotal::pts
