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
// compared as text. Units after a value are dropped. Time is linear in the length of the text;
// nesting, size and numbers are bounded. Never throws.
std::optional<Math> ParseMath(std::string_view text, const LexOptions& options = {});

// The recursive descent parser behind ParseMath(), for parser.cc and parser_atoms.cc alone:
//
//   list      relation { ("," | ";" | "and" | "or") relation }
//   relation  ratio { ("=" | "<" | \in | \approx | ...) ratio }
//   ratio     sets { ":" sets }
//   sets      sum { (\cup | \cap | \setminus) sum }
//   sum       product { ("+" | "-" | \pm | \mp) product }
//   product   unary { ["*" | "/" | \cdot | ...] unary } [units]
//   unary     ["+" | "-" | \pm | \mp] power
//   power     primary { "!" | "%" | degrees | "'" | "_" base } ["^" exponent]
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

  // Powers and functions: parser_atoms.cc.
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
  Math SetBraces();
  Math Bars(std::string_view name, std::string_view close_command);
  Math Matrix(const std::string& environment);
  bool AtRowEnd(const std::string& end) const;

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
  int depth_ = 0;  // levels of nesting
  int bars_ = 0;   // number of open "|" that the next "|" closes
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
