// Apache-2.0. The recursive descent behind ParseMath (math_parser.h); private to its .cc files.
//
//   list      relation { ("," | ";" | "and" | "or") relation }
//   relation  ratio { ("=" | "<" | \in | \approx | ...) ratio }
//   ratio     sets { ":" sets }
//   sets      sum { (\cup | \cap | \setminus) sum }
//   sum       product { ("+" | "-" | \pm | \mp) product }
//   product   unary { ["*" | "/" | \cdot | ...] unary } [units]
//   unary     ["+" | "-" | \pm | \mp] power
//   power     primary { "!" | "%" | degrees | "'" | "_" base } ["^" exponent]
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pts/oracles/latex_lexer.h"
#include "pts/oracles/math_expression.h"

namespace pivotal::pts {

class MathGrammar {
 public:
  struct NotMath {};  // thrown where the text is none

  explicit MathGrammar(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}
  Math Answer();  // all tokens; throws NotMath

 private:
  class Level;                           // counts nesting
  static constexpr int kMaxDepth = 120;  // about five for each bracket

  // math_grammar.cc
  Math List();
  bool EatSeparator();
  Math Relation();
  std::string EatRelation();
  Math Ratio();
  Math Sets();
  Math Sum();
  Math Product();
  Math Factors(Math first, std::size_t begin);
  Math Unary();
  void DropUnits(std::size_t begin);
  bool EatUnit(bool has_number);
  bool StartsFactor() const;
  bool HasNumberSince(std::size_t begin) const;

  // math_power.cc
  Math Power();
  Math Postfix(Math base);
  Math Subscripted(const Math& base);
  Math Exponent();
  bool EatDegrees();
  bool EatPercent();
  std::string ArgumentText();
  Math Argument(bool one_digit);
  Math Fraction();
  Math SquareRoot();
  Math Function(const std::string& name);
  Math FunctionArgument();

  // math_primary.cc
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
  Math SetBraces();
  Math Bars(std::string_view name, std::string_view close_command);
  Math Matrix(const std::string& environment);
  bool AtRowEnd(const std::string& end) const;

  const Token& Peek(std::size_t ahead = 0) const;
  Token Take();
  bool EatSign(std::string_view text);
  bool EatCommand(std::string_view text);
  void Need(bool condition) const {
    if (!condition) throw NotMath{};
  }
  Math Node(MathKind kind, std::vector<Math> args, std::string name = "");

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;  // nesting
  int bars_ = 0;   // open "|", which the next "|" closes
};

// Counts one level for as long as it lives; too many are no mathematics.
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
