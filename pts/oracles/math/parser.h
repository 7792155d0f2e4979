// Apache-2.0. Parses answers in LaTeX or plain text into trees.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pts/oracles/math/expression.h"
#include "pts/oracles/math/latex_lexer.h"

namespace pivotal::pts {

// Returns the tree of `text`; nullopt if it is no mathematics that this parser knows, so that it is
// compared as text. Units after a value are dropped, save those that are known (quantity.h). Time
// is linear in the length of the text; nesting, size and numbers are bounded. Never throws.
std::optional<Math> ParseMath(std::string_view text, const LexOptions& options = {});

// The recursive descent parser behind ParseMath(), for parser.cc and parser_atoms.cc alone:
//
//   list      relation { ("," | ";" | "and" | "or") relation }
//   relation  ratio { ("=" | "<" | \in | \approx | ...) ratio }
//   ratio     sets { ":" sets }
//   sets      sum { (\cup | \cap | \setminus) sum }
//   sum       product { ("+" | "-" | \pm | \mp) product }
//   product   unary { ["*" | "/" | \cdot | ...] unary } [scale] [units]
//   unary     ["+" | "-" | \pm | \mp] power
//   power     primary { "!" | "%" | degrees | "'" | "_" base } ["^" exponent]
// where "^" and "_" may come in either order.
class MathGrammar {
 public:
  struct NotMath {};  // thrown if the text is no mathematics

  explicit MathGrammar(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}
  Math Answer();  // parses all tokens; throws NotMath

 private:
  class Level;                           // counts the depth of nesting
  static constexpr int kMaxDepth = 120;  // levels; a bracket takes about five

  // Lists, relations, sums and products: parser.cc.
  Math List();
  std::string EatSeparator();
  Math Relation();
  std::string EatRelation();
  Math Ratio();
  Math Sets();
  Math Sum();
  Math Product();
  Math Factors(Math first, std::size_t begin);
  Math Unary();
  Math WithUnits(Math value, std::size_t begin);
  bool EatUnit(bool has_number, std::vector<std::string>* words = nullptr);
  std::string EatDayHalf();
  Math Modulo(Math value);
  bool AtSuffix(bool has_number);
  bool IsTimesSign() const;
  bool StartsFactor() const;
  bool HasNumberSince(std::size_t begin) const;

  // Powers and functions: parser_atoms.cc.
  Math Power();
  Math Postfix(Math base, bool subscripts = true);
  Math Subscripted(const Math& base);
  bool EatPrime();
  Math Choose();
  Math Series(const std::string& name);
  Math WrittenOut(const Math& series);
  Math Substitute(const Math& m, const std::string& name, const Math& value);
  Math Exponent();
  bool EatDegrees();
  bool EatPercent();
  std::string ArgumentText();
  Math Argument(bool one_digit);
  Math Fraction();
  Math SquareRoot();
  Math Function(const std::string& name);
  Math FunctionArgument();

  // Numbers, names, brackets, sets and matrices: parser_atoms.cc.
  Math Primary();
  Math Number();
  Math Mixed(const Math& whole);
  bool AtNumericFraction() const;
  Math Word();
  Math Letters(const std::string& word);
  Math Words();
  Math Command();
  Math Sign();
  Math Bracket(const std::string& open);
  Math Braces();
  Math Infix(Math left);
  Math SetBraces();
  Math SetContent();
  Math Bars(std::string_view name, std::string_view close_command);
  Math Size(Math inside, const std::string& name);
  Math Determinant(const Math& matrix);
  Math Matrix(const std::string& environment);
  Math Cases(const std::string& end);
  bool AtRowEnd(const std::string& end) const;

  // Calls `parse` for what brackets enclose, where a bar or a colon outside means nothing.
  template <typename Parse>
  Math Inside(const Parse& parse) {
    const int bars = std::exchange(bars_, 0), norms = std::exchange(norms_, 0);
    const bool colon = std::exchange(colon_, true);
    Math inside = parse();
    bars_ = bars;
    norms_ = norms;
    colon_ = colon;
    return inside;
  }

  // Tokens.
  const Token& Peek(std::size_t ahead = 0) const;
  Token Take();
  bool EatSign(std::string_view text);
  bool EatCommand(std::string_view text);
  // Throws NotMath unless the condition holds.
  void Need(bool condition) const {
    if (!condition) throw NotMath{};
  }
  Math Node(MathKind kind, std::vector<Math> args, std::string name = "");

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;                    // levels of nesting
  int bars_ = 0;                     // number of open "|" that the next "|" closes
  int norms_ = 0;                    // the same for "\|"
  std::size_t nodes_left_ = 10'000;  // that sums may take when they are written out
  bool colon_ = true;                // false: a colon is "such that", and no ratio
};

// Counts one level of nesting while it lives. Throws NotMath for too many.
class MathGrammar::Level {
 public:
  explicit Level(MathGrammar& grammar) : grammar_(grammar) {
    grammar.Need(++grammar.depth_ <= kMaxDepth);
  }
  ~Level() { --grammar_.depth_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  MathGrammar& grammar_;
};

}  // namespace pivotal::pts
