// Apache-2.0. Powers, what stands behind a value, and functions.
#include <fmt/format.h>

#include "pts/oracles/math_grammar.h"
#include "pts/oracles/math_words.h"

namespace pivotal::pts {

Math MathGrammar::Power() {
  const Level level(*this);
  Math base = Postfix(Primary());
  if (EatDegrees()) return Node(MathKind::kDegrees, {std::move(base)});
  if (Peek().IsSign("*") && Peek(1).IsSign("*") && !Peek(1).spaced) {  // Python's power
    Take();
    Take();
    return Node(MathKind::kPower, {std::move(base), Unary()});
  }
  if (!EatSign("^")) return base;
  Math power = Node(MathKind::kPower, {std::move(base), Exponent()});
  return Postfix(std::move(power));
}

// "^\circ", "^{\circ}", "\degree".
bool MathGrammar::EatDegrees() {
  if (EatCommand("degree") || EatCommand("circ")) return true;
  if (!Peek().IsSign("^")) return false;
  const bool braces = Peek(1).IsSign("{");
  const Token& inside = Peek(braces ? 2 : 1);
  if (!inside.IsCommand("circ") && !inside.IsCommand("degree")) return false;
  if (braces && !Peek(3).IsSign("}")) return false;
  at_ += braces ? 4 : 2;
  return true;
}

bool MathGrammar::EatPercent() {
  const Token& token = Peek();
  const bool word = token.Is(TokenKind::kWord, "percent") || token.Is(TokenKind::kWord, "pct") ||
                    token.Is(TokenKind::kText, "percent");
  if (!word && !token.IsSign("%")) return false;
  Take();
  return true;
}

Math MathGrammar::Postfix(Math base) {
  for (int n = 0;; Need(++n <= 6)) {
    if (Peek().IsSign("!") && !Peek(1).IsSign("=")) {
      Take();
      base = Node(MathKind::kFunction, {std::move(base)}, "factorial");
    } else if (EatPercent()) {
      base = Node(MathKind::kPercent, {std::move(base)});
    } else if (Is(base, MathKind::kSymbol) && EatSign("'")) {
      base = MakeSymbol(base->name + "'");
    } else if (EatSign("_")) {
      base = Subscripted(base);
    } else {
      return base;
    }
  }
}

// x_1 is a symbol of its own, 204_5 a number in base 5.
Math MathGrammar::Subscripted(const Math& base) {
  const std::string digits = Is(base, MathKind::kNumber) ? tokens_[at_ - 2].text : std::string();
  const std::string text = ArgumentText();
  if (Is(base, MathKind::kSymbol)) return MakeSymbol(fmt::format("{}_{}", base->name, text));
  Need(Is(base, MathKind::kNumber) && digits.find('.') == std::string::npos);
  const auto number = ParseRational(text);
  if (number) return Node(MathKind::kBased, {MakeNumber(*number)}, digits);
  static const std::string_view kNames[] = {"two",   "three", "four", "five", "six",
                                            "seven", "eight", "nine", "ten"};
  for (int i = 0; i < 9; ++i)
    if (Lower(text) == kNames[i]) return Node(MathKind::kBased, {MakeNumber(i + 2)}, digits);
  throw NotMath{};
}

Math MathGrammar::Exponent() {
  const Level level(*this);
  if (EatSign("-")) return Node(MathKind::kNegate, {Exponent()});
  if (EatSign("{")) {
    Math inside = Sum();
    Need(EatSign("}"));
    return inside;
  }
  Math exponent = Postfix(Primary());
  if (!EatSign("^")) return exponent;
  return Node(MathKind::kPower, {std::move(exponent), Exponent()});
}

// The texts of one token, or of all in braces.
std::string MathGrammar::ArgumentText() {
  if (!EatSign("{")) {
    Need(Peek().kind != TokenKind::kEnd);
    return Take().text;
  }
  std::string text;
  for (int open = 1;;) {
    const Token token = Take();
    Need(token.kind != TokenKind::kEnd);
    if (token.IsSign("{")) ++open;
    if (token.IsSign("}") && --open == 0) return text;
    text += token.text;
  }
}

// "\frac12" takes one digit, "\sqrt10" the number.
Math MathGrammar::Argument(bool one_digit) {
  const Level level(*this);
  if (EatSign("{")) {
    Math inside = Sum();
    Need(EatSign("}"));
    return inside;
  }
  Token& token = tokens_[at_];
  if (one_digit && token.kind == TokenKind::kNumber && token.text.size() > 1) {
    Need(token.text[0] != '.');
    const auto digit = ParseRational(std::string_view(token.text).substr(0, 1));
    token.text.erase(0, 1);
    return MakeNumber(*digit);
  }
  if (token.kind == TokenKind::kWord && token.text.size() > 1 && GreekSymbol(token.text).empty()) {
    Math letter = MakeSymbol(token.text.substr(0, 1));
    token.text.erase(0, 1);
    return letter;
  }
  return Primary();
}

Math MathGrammar::Fraction() {
  Math above = Argument(true);
  Math below = Argument(true);
  return Node(MathKind::kQuotient, {std::move(above), std::move(below)});
}

Math MathGrammar::SquareRoot() {
  Math degree = MakeNumber(2);
  if (EatSign("[")) {
    degree = Sum();
    Need(EatSign("]"));
  }
  Math inside = Argument(false);
  return Node(MathKind::kFunction, {std::move(inside), std::move(degree)}, "root");
}

// What a function is applied to: a bracket alone, or factors up to the next function or sign.
Math MathGrammar::FunctionArgument() {
  if (Peek().IsSign("(") || Peek().IsSign("[") || Peek().IsSign("{") || Peek().IsCommand("{"))
    return Postfix(Primary());
  std::vector<Math> factors = {Unary()};
  while (StartsFactor()) {
    const Token& token = Peek();
    const bool function = (token.kind == TokenKind::kCommand || token.kind == TokenKind::kWord) &&
                          !FunctionName(token.text).empty();
    if (function || token.kind == TokenKind::kText || token.text.size() > 3) {
      const bool symbol = token.kind == TokenKind::kCommand && !function;
      if (!symbol) break;
    }
    Need(!(token.kind == TokenKind::kNumber && tokens_[at_ - 1].kind == TokenKind::kNumber));
    factors.push_back(Power());
  }
  return factors.size() == 1 ? factors[0] : Node(MathKind::kProduct, std::move(factors));
}

Math MathGrammar::Function(const std::string& name) {
  const Level level(*this);
  std::string function = name;
  Math base, exponent;
  for (int i = 0; i < 2; ++i) {
    if (function == "log" && !base && EatSign("_")) base = Argument(false);
    if (!exponent && !EatDegrees() && EatSign("^")) exponent = Exponent();
  }
  const bool inverse = exponent && Is(exponent, MathKind::kNegate) &&
                       Is(exponent->args[0], MathKind::kNumber) && exponent->args[0]->number == 1 &&
                       !InverseFunction(function).empty();
  if (inverse) {
    function = InverseFunction(function);
    exponent = nullptr;
  }
  Math argument = FunctionArgument();
  std::vector<Math> args = {argument};
  if (Is(argument, MathKind::kSet) ||
      (Is(argument, MathKind::kBracket) && argument->name == "()")) {
    const bool many =
        function == "max" || function == "min" || function == "gcd" || function == "lcm";
    Need(many || (function == "log" && argument->args.size() == 2));
    args = argument->args;
  }
  if (function == "log" && args.size() == 1) args.push_back(base ? base : MakeNumber(10));
  Math result = Node(MathKind::kFunction, std::move(args), function);
  return exponent ? Node(MathKind::kPower, {std::move(result), std::move(exponent)}) : result;
}

}  // namespace pivotal::pts
