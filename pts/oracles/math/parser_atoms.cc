// Apache-2.0.
#include <fmt/format.h>

#include <algorithm>

#include "pts/oracles/math/notation.h"
#include "pts/oracles/math/parser.h"

namespace pivotal::pts {
namespace {

// Returns true for a choice: "(E)" or "E" of \text{(E)}.
bool IsChoice(std::string_view text) {
  if (text.size() == 3 && text[0] == '(' && text[2] == ')') text = text.substr(1, 1);
  return text.size() == 1 && text[0] >= 'A' && text[0] <= 'Z';
}

bool IsWhole(const Token& token) {
  return token.kind == TokenKind::kNumber && token.text.find_first_of(".(") == std::string::npos;
}

constexpr std::string_view kMatrices[] = {"matrix",  "pmatrix",     "bmatrix", "Bmatrix",
                                          "vmatrix", "smallmatrix", "array"};

}  // namespace

Math MathGrammar::Primary() {
  const Level level(*this);
  switch (Peek().kind) {
    case TokenKind::kNumber: return Number();
    case TokenKind::kWord: return Word();
    case TokenKind::kText: return Words();
    case TokenKind::kCommand: return Command();
    case TokenKind::kSign: return Sign();
    default: throw NotMath{};
  }
}

Math MathGrammar::Number() {
  const auto value = ParseRational(Take().text);
  Need(value.has_value());
  return Mixed(MakeNumber(*value));
}

// Returns true before a \frac of two numbers.
bool MathGrammar::AtNumericFraction() const {
  if (!Peek().IsCommand("frac") && !Peek().IsCommand("dfrac") && !Peek().IsCommand("tfrac"))
    return false;
  std::size_t ahead = 1;
  for (int i = 0; i < 2; ++i) {
    const bool braces = Peek(ahead).IsSign("{");
    const Token& number = Peek(ahead + (braces ? 1 : 0));
    if (number.kind != TokenKind::kNumber || number.text.find_first_of(".(") != std::string::npos)
      return false;
    if (braces && !Peek(ahead + 2).IsSign("}")) return false;
    // \frac12 takes one digit for each number.
    if (!braces && i == 0 && number.text.size() > 1) return true;
    ahead += braces ? 3 : 1;
  }
  return true;
}

// Parses what follows the first number of "1\frac{4}{5}", "1 4/5" and "1e5".
Math MathGrammar::Mixed(const Math& whole) {
  const Token& first = tokens_[at_ - 1];
  if (!IsInteger(whole->number) && Peek().kind != TokenKind::kWord) return whole;
  const Token& next = Peek();
  if (AtNumericFraction()) {
    Take();
    const Math fraction = Fraction();
    const bool proper = fraction->args[0]->number < fraction->args[1]->number;
    return Node(proper ? MathKind::kSum : MathKind::kProduct, {whole, fraction});
  } else if (IsWhole(first) && IsWhole(next) && next.spaced && Peek(1).IsSign("/") &&
             IsWhole(Peek(2))) {
    const auto above = ParseRational(next.text), below = ParseRational(Peek(2).text);
    Need(above && below && *above < *below);
    at_ += 3;
    return MakeNumber(whole->number + *above / *below);
  } else if ((next.Is(TokenKind::kWord, "e") || next.Is(TokenKind::kWord, "E")) && !next.spaced) {
    const bool sign = Peek(1).IsSign("-") || Peek(1).IsSign("+");
    const Token& exponent = Peek(sign ? 2 : 1);
    if (!IsWhole(exponent) || exponent.spaced || exponent.text.size() > 4) return whole;
    if (sign && exponent.text.size() < 2) return whole;  // "3e-2" is 3 e - 2
    const Rational power = *ParseRational(exponent.text);
    const auto scale = pts::Power(10, Peek(1).IsSign("-") ? Rational(-power) : power);
    Need(scale.has_value());
    at_ += sign ? 3 : 2;
    return MakeNumber(whole->number * *scale);
  }
  return whole;
}

Math MathGrammar::Word() {
  const Token& token = Peek();
  const std::string word = token.text;
  if (const auto name = FunctionName(word); !name.empty()) {
    Take();
    return Function(name);
  }
  if (word == "sqrt" || word == "cbrt") {
    Take();
    Math inside = Primary();
    return Node(MathKind::kFunction, {std::move(inside), MakeNumber(word == "sqrt" ? 2 : 3)},
                "root");
  }
  if (const auto symbol = GreekSymbol(word); !symbol.empty()) {
    Take();
    return MakeSymbol(symbol);
  }
  for (std::string_view function : {"sin", "cos", "tan", "ln"}) {  // "cosx"
    if (word.size() == function.size() + 1 && word.starts_with(function)) {
      tokens_[at_].text.erase(0, function.size());
      return Function(std::string(function));
    }
  }
  const bool apart = token.spaced || at_ == 0 || tokens_[at_ - 1].kind != TokenKind::kNumber;
  if (apart && (word.size() > 3 || (word.size() > 1 && IsUnitWord(word)))) return Words();
  return Letters(word);
}

// Parses letters: "xy" is a product, "x2" the symbol x_2.
Math MathGrammar::Letters(const std::string& word) {
  Need(word.size() <= 12);
  tokens_[at_].text.erase(0, 1);
  if (!tokens_[at_].text.empty()) {
    tokens_[at_].spaced = false;
    return MakeSymbol(word.substr(0, 1));  // the other letters follow as factors
  }
  tokens_[at_].text = word;
  Take();
  if (IsWhole(Peek()) && !Peek().spaced) return MakeSymbol(fmt::format("{}_{}", word, Take().text));
  return MakeSymbol(word);
}

Math MathGrammar::Words() {
  if (Peek().kind == TokenKind::kText && IsChoice(Peek().text)) {
    const std::string text = Take().text;
    return MakeSymbol(text.substr(text.size() / 2, 1));
  }
  std::string text;
  while (Peek().kind == TokenKind::kWord || Peek().kind == TokenKind::kText) {
    if (!text.empty()) text += ' ';
    text += Lower(Take().text);
  }
  return Node(MathKind::kText, {}, std::move(text));
}

Math MathGrammar::Command() {
  const std::string name = Take().text;
  if (name == "frac" || name == "dfrac" || name == "tfrac" || name == "cfrac") return Fraction();
  if (name == "sqrt") return SquareRoot();
  if (name == "binom" || name == "dbinom" || name == "tbinom") {
    Math above = Argument(true);
    return Node(MathKind::kFunction, {std::move(above), Argument(true)}, "binomial");
  }
  if (const auto function = FunctionName(name); !function.empty()) return Function(function);
  if (const auto symbol = GreekSymbol(name); !symbol.empty()) return MakeSymbol(symbol);
  if (name == "{") return SetBraces();
  if (name == "emptyset" || name == "varnothing") return Node(MathKind::kSet, {});
  if (name.starts_with("mathbb ")) return MakeSymbol(fmt::format("\\{}", name));
  if (name == "langle") return Bracket("<");
  if (name == "lvert" || name == "vert") return Bars("abs", name == "vert" ? "vert" : "rvert");
  if (name == "|" || name == "lVert") return Bars("norm", name == "|" ? "|" : "rVert");
  if (name == "lfloor") return Bars("floor", "rfloor");
  if (name == "lceil") return Bars("ceil", "rceil");
  if (name.starts_with("begin ")) return Matrix(name.substr(6));
  if (name == "ldots" || name == "dots" || name == "cdots") return MakeSymbol("\\dots");
  if (name == "angle" || name == "triangle") return MakeSymbol(fmt::format("\\{}", name));
  for (std::string_view accent :
       {"overline", "bar", "vec", "hat", "widehat", "overrightarrow", "tilde"})
    if (name == accent) return MakeSymbol(fmt::format("\\{}{{{}}}", name, ArgumentText()));
  throw NotMath{};
}

Math MathGrammar::Sign() {
  const std::string sign = Take().text;
  if (sign == "(" || sign == "[") return Bracket(sign);
  if (sign == "{") return Braces();
  if (sign == "|") {
    ++bars_;
    Math inside = Sum();
    Need(EatSign("|"));
    --bars_;
    return Node(MathKind::kFunction, {std::move(inside)}, "abs");
  }
  throw NotMath{};
}

// Parses a bracket: "(a)" is a; with commas inside it is a point or an interval.
Math MathGrammar::Bracket(const std::string& open) {
  const int bars = std::exchange(bars_, 0);
  Math inside = List();
  bars_ = bars;
  std::string close;
  if (open == "<")
    Need(EatCommand("rangle"));
  else
    Need((close = Take().text) == ")" || close == "]");
  if (!Is(inside, MathKind::kList)) {
    Need(open == "<" || (open == "(") == (close == ")"));
    return inside;
  }
  return Node(MathKind::kBracket, inside->args, open == "<" ? "()" : open + close);
}

// Parses braces, which group; "{1,2}" in plain text is a set.
Math MathGrammar::Braces() {
  if (EatSign("}")) return Postfix(Primary());  // {} is an empty placeholder
  const int bars = std::exchange(bars_, 0);
  Math inside = List();
  bars_ = bars;
  Need(EatSign("}"));
  return Is(inside, MathKind::kList) ? Node(MathKind::kSet, inside->args) : inside;
}

Math MathGrammar::SetBraces() {
  if (EatCommand("}")) return Node(MathKind::kSet, {});
  const int bars = std::exchange(bars_, 1);  // "|" means "such that" here
  const bool builds = Peek().kind == TokenKind::kWord && Peek(1).IsSign(":");
  Math inside = builds ? Word() : Relation();
  if (EatSign("|") || EatCommand("mid") || (builds && EatSign(":"))) {
    inside = List();  // {x | condition} is read as its condition
    bars_ = bars;
    Need(EatCommand("}"));
    return inside;
  }
  std::vector<Math> items = {inside};
  while (EatSeparator()) items.push_back(Relation());
  bars_ = bars;
  Need(EatCommand("}"));
  return Node(MathKind::kSet, std::move(items));
}

Math MathGrammar::Bars(std::string_view name, std::string_view close_command) {
  const int bars = std::exchange(bars_, 0);
  Math inside = Sum();
  bars_ = bars;
  Need(EatCommand(close_command) || (close_command == "rvert" && EatSign("|")));
  return Node(MathKind::kFunction, {std::move(inside)}, std::string(name));
}

bool MathGrammar::AtRowEnd(const std::string& end) const {
  return Peek().IsSign("\\") || Peek().IsCommand(end);
}

Math MathGrammar::Matrix(const std::string& environment) {
  Need(std::ranges::find(kMatrices, environment) != std::end(kMatrices));
  const std::string end = "end " + environment;
  auto node = std::make_shared<MathNode>();
  node->kind = MathKind::kMatrix;
  if (environment == "vmatrix") node->name.assign(1, 'v');
  std::size_t columns = 0;
  while (!EatCommand(end)) {
    const std::size_t before = node->args.size();
    do node->args.push_back(Sum());
    while (EatSign("&"));
    const std::size_t row = node->args.size() - before;
    Need(columns == 0 || row == columns);
    columns = row;
    ++node->rows;
    Need(AtRowEnd(end));
    EatSign("\\");
  }
  Need(node->rows > 0);
  return node;
}

Math MathGrammar::Power() {
  const Level level(*this);
  Math base = Postfix(Primary());
  if (EatDegrees()) return Node(MathKind::kDegrees, {std::move(base)});
  if (Peek().IsSign("*") && Peek(1).IsSign("*") && !Peek(1).spaced) {  // "**" is a power in Python
    Take();
    Take();
    return Node(MathKind::kPower, {std::move(base), Unary()});
  }
  if (!EatSign("^")) return base;
  Math power = Node(MathKind::kPower, {std::move(base), Exponent()});
  return Postfix(std::move(power));
}

// Skips "^\circ", "^{\circ}" or "\degree"; returns false without one.
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

// Parses a subscript: x_1 is a symbol of its own, 204_5 a number in base 5.
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

// Returns the text of one token, or of all tokens in braces.
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

// Parses the argument of a command: "\frac12" takes one digit, "\sqrt10" the whole number.
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

// Parses the argument of a function: one bracket, or factors up to the next function or sign.
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
