// Apache-2.0.
#include <fmt/format.h>

#include <algorithm>

#include "pts/oracles/math/notation.h"
#include "pts/oracles/math/parser.h"
#include "pts/oracles/math/quantity.h"

namespace pivotal::pts {
namespace {

// Returns true for a choice: "(E)" or "E" of \text{(E)}.
bool IsChoice(std::string_view text) {
  if (text.size() == 3 && text[0] == '(' && text[2] == ')') text = text.substr(1, 1);
  return text.size() == 1 && text[0] >= 'A' && text[0] <= 'Z';
}

// Returns true for "all real numbers" and its like.
bool IsRealNumbers(std::string_view words) {
  for (std::string_view name : {"all real numbers", "all reals", "all real", "real numbers",
                                "the real numbers", "all real numbers x", "reals"})
    if (words == name) return true;
  return false;
}

std::size_t CountNodes(const Math& m) {
  std::size_t count = 1;
  for (const Math& arg : m->args) count += CountNodes(arg);
  return count;
}

// Returns how many sums lie inside each other in `m`; their variables are numbered by that.
int SeriesDepth(const Math& m) {
  int depth = 0;
  for (const Math& arg : m->args) depth = std::max(depth, SeriesDepth(arg));
  return depth + (m->name == "sum" || m->name == "product" ? 1 : 0);
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
  // "by the" begins a sentence; "by" alone is b times y
  const bool words_follow = Peek(1).kind == TokenKind::kWord && Peek(1).spaced;
  Need(!IsClauseWord(Lower(word)) || (word.size() <= 3 && !words_follow));
  const bool apart = token.spaced || at_ == 0 || tokens_[at_ - 1].kind != TokenKind::kNumber;
  if (apart && (word.size() > 3 || Lower(word) == "all" || (word.size() > 1 && IsUnitWord(word))))
    return Words();
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
  const bool except = text.ends_with(" except") || text.ends_with(" except for");
  if (IsRealNumbers(text.substr(0, except ? text.rfind(" except") : text.size()))) {
    Math reals = MakeSymbol("\\mathbb R");
    if (!except) return reals;
    const Math list = List();
    std::vector<Math> items;
    for (const Math& item : Is(list, MathKind::kList) ? list->args : std::vector<Math>{list})
      items.push_back(Is(item, MathKind::kRelation) ? item->args.back() : item);
    return Node(MathKind::kDifference, {std::move(reals), Node(MathKind::kSet, std::move(items))});
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
  if (name == "sum" || name == "prod") return Series(name == "sum" ? "sum" : "product");
  if (const auto function = FunctionName(name); !function.empty()) return Function(function);
  if (const auto symbol = GreekSymbol(name); !symbol.empty()) return MakeSymbol(symbol);
  if (name == "{") return SetBraces();
  if (name == "emptyset" || name == "varnothing") return Node(MathKind::kSet, {});
  if (name.starts_with("mathbb ")) return MakeSymbol(fmt::format("\\{}", name));
  if (name == "langle") return Bracket("<");
  if (name == "lvert" || name == "mid") return Bars("abs", name == "mid" ? "mid" : "rvert");
  if (name == "lVert") return Bars("norm", "rVert");
  if (name == "det") return Determinant(Primary());
  if (name == "|") {
    ++norms_;
    Math inside = Sum();
    Need(EatCommand("|") || EatCommand("rVert"));
    --norms_;
    return Size(std::move(inside), "norm");
  }
  if (name.starts_with("currency ")) {
    const auto unit = FindUnit(name.substr(9));
    Math amount = Number();
    if (!unit) return amount;
    return MakeUnit({std::move(amount)}, std::string(unit->dimension), unit->factor);
  }
  if (name == "lfloor") return Bars("floor", "rfloor");
  if (name == "lceil") return Bars("ceil", "rceil");
  for (std::string_view rows : {"cases", "aligned", "align*", "align", "gathered"})
    if (name == std::string("begin ").append(rows)) return Cases(std::string("end ").append(rows));
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
  if (sign == "(" || sign == "[" || sign == "]") return Bracket(sign == "]" ? "(" : sign);
  if (sign == "{") return Braces();
  if (sign == "_" || sign == "^") {
    --at_;
    return Choose();
  }
  if (sign == "|") {
    ++bars_;
    Math inside = Sum();
    Need(EatSign("|") || EatCommand("rvert"));
    --bars_;
    return Size(std::move(inside), "abs");
  }
  throw NotMath{};
}

// Parses a bracket: "(a)" is a; with commas inside it is a point or an interval.
Math MathGrammar::Bracket(const std::string& open) {
  Math inside = Inside([this] { return List(); });
  std::string close;
  if (open == "<") {
    Need(EatCommand("rangle"));
  } else {
    close = Take().text;
    if (close == "[") close.assign(1, ')');  // "[1,2[" is [1,2)
    Need(close == ")" || close == "]");
  }
  if (!Is(inside, MathKind::kList)) {
    Need(open == "<" || (open == "(") == (close == ")"));
    return inside;
  }
  const auto is_point = [](const Math& m) { return Is(m, MathKind::kBracket); };
  if (open == "[" && close == "]" && std::ranges::all_of(inside->args, is_point))
    return Node(MathKind::kList, inside->args);  // "[(1,2),(3,4)]" lists points
  return Node(MathKind::kBracket, inside->args, open == "<" ? "()" : open + close);
}

// Parses braces, which group; "{1,2}" in plain text is a set.
Math MathGrammar::Braces() {
  if (EatSign("}")) return Postfix(Primary());  // {} is an empty placeholder
  Math inside = Inside([this] { return Infix(List()); });
  Need(EatSign("}"));
  return Is(inside, MathKind::kList) ? Node(MathKind::kSet, inside->args) : inside;
}

// Parses the rest of "n \choose k" and "a \over b", which braces enclose.
Math MathGrammar::Infix(Math left) {
  if (EatCommand("choose")) return Node(MathKind::kFunction, {std::move(left), Sum()}, "binomial");
  if (EatCommand("over")) return Node(MathKind::kQuotient, {std::move(left), Sum()});
  return left;
}

// Parses "_5C_2", "^5C_2" and "_5P_2" from the first script on.
Math MathGrammar::Choose() {
  Need(EatSign("_") || EatSign("^"));
  Math n = Argument(false);
  const Token kind = Take();
  Need(kind.text == "C" || kind.text == "P");
  Need(EatSign("_"));
  Math k = Argument(false);
  if (kind.text == "C") return Node(MathKind::kFunction, {std::move(n), std::move(k)}, "binomial");
  Math rest = Node(MathKind::kSum, {n, Node(MathKind::kNegate, {std::move(k)})});
  return Node(MathKind::kQuotient, {Node(MathKind::kFunction, {n}, "factorial"),
                                    Node(MathKind::kFunction, {std::move(rest)}, "factorial")});
}

// Parses "_{k=1}^n term" after \sum or \prod. A short sum of numbers is written out.
Math MathGrammar::Series(const std::string& name) {
  const Level level(*this);
  Math start, last;
  for (int i = 0; i < 2; ++i) {
    if (!start && EatSign("_")) {
      Need(EatSign("{"));
      start = Relation();
      Need(EatSign("}"));
    } else if (!last && EatSign("^")) {
      last = Exponent();
    }
  }
  Need(start && last && Is(start, MathKind::kRelation) && start->relations.size() == 1 &&
       start->relations[0] == "=" && Is(start->args[0], MathKind::kSymbol));
  const std::string variable = start->args[0]->name;
  Math term = Product();
  const Math bound = MakeSymbol(fmt::format("\\bound{}", SeriesDepth(term)));
  term = Substitute(term, variable, bound);
  return WrittenOut(
      Node(MathKind::kFunction, {std::move(term), bound, start->args[1], last}, name));
}

// Returns the terms of a short sum or product whose bounds are numbers; others stay as they are.
Math MathGrammar::WrittenOut(const Math& series) {
  constexpr int kMaxTerms = 200;
  const Math &term = series->args[0], &first = series->args[2], &last = series->args[3];
  const auto is_whole = [](const Math& m) {
    return Is(m, MathKind::kNumber) && IsInteger(m->number) && abs(m->number) < 1'000'000;
  };
  if (!is_whole(first) || !is_whole(last) || last->number - first->number >= kMaxTerms)
    return series;
  const auto begin = static_cast<int>(first->number), end = static_cast<int>(last->number);
  const bool sum = series->name == "sum";
  std::vector<Math> terms = {MakeNumber(sum ? 0 : 1)};
  for (int k = begin; k <= end; ++k) {
    const std::size_t nodes = CountNodes(term);
    if (nodes > nodes_left_) return series;
    nodes_left_ -= nodes;
    terms.push_back(Substitute(term, series->args[1]->name, MakeNumber(k)));
  }
  return Node(sum ? MathKind::kSum : MathKind::kProduct, std::move(terms));
}

// Returns `m` with `value` for each symbol `name`; sums whose bounds become numbers are written
// out.
Math MathGrammar::Substitute(const Math& m, const std::string& name, const Math& value) {
  if (IsSymbol(m, name)) return value;
  if (m->args.empty()) return m;
  auto node = std::make_shared<MathNode>(*m);
  for (Math& arg : node->args) arg = Substitute(arg, name, value);
  const bool series = Is(m, MathKind::kFunction) && (m->name == "sum" || m->name == "product");
  return series ? WrittenOut(node) : Math(node);
}

Math MathGrammar::SetBraces() {
  if (EatCommand("}")) return Node(MathKind::kSet, {});
  Math set = Inside([this] { return SetContent(); });
  Need(EatCommand("}"));
  return set;
}

// Parses what stands between \{ and \}. {x | condition} is read as its condition, and as two
// conditions if x is in a set other than the real numbers.
Math MathGrammar::SetContent() {
  bars_ = 1;  // "|" means "such that" here
  colon_ = false;
  const std::size_t begin = at_;
  Math head = Relation();
  const bool colon = Peek().IsSign(":") || Peek().IsCommand("colon");
  if (colon && !HasVariable(head)) {  // a set of ratios
    at_ = begin;
    colon_ = true;
    head = Relation();
  } else if (colon || Peek().IsSign("|") || Peek().IsCommand("mid")) {
    Take();
    colon_ = true;
    Math condition = List();
    const bool real = !Is(head, MathKind::kRelation) || IsSymbol(head->args.back(), "\\mathbb R");
    return real ? condition : Node(MathKind::kList, {std::move(head), std::move(condition)}, "and");
  }
  colon_ = true;
  std::vector<Math> items = {std::move(head)};
  while (!EatSeparator().empty()) items.push_back(Relation());
  return Node(MathKind::kSet, std::move(items));
}

Math MathGrammar::Bars(std::string_view name, std::string_view close_command) {
  Math inside = Inside([this] { return Sum(); });
  Need(EatCommand(close_command) || (close_command == "rvert" && EatSign("|")) ||
       (close_command == "rVert" && EatCommand("|")));
  return Size(std::move(inside), std::string(name));
}

// Returns what bars around `inside` mean: the length of a point or vector, the determinant of a
// square matrix, or else the function `name`.
Math MathGrammar::Size(Math inside, const std::string& name) {
  const bool matrix = Is(inside, MathKind::kMatrix) && inside->name.empty();
  if (matrix && name == "abs" && inside->rows * inside->rows == inside->args.size())
    return Determinant(inside);
  const bool vector = matrix && (inside->rows == 1 || inside->rows == inside->args.size());
  const bool point = Is(inside, MathKind::kBracket) && inside->name == "()";
  if (!vector && !point) return Node(MathKind::kFunction, {std::move(inside)}, name);
  std::vector<Math> squares;
  for (const Math& arg : inside->args)
    squares.push_back(Node(MathKind::kPower, {arg, MakeNumber(2)}));
  return Node(MathKind::kFunction, {Node(MathKind::kSum, std::move(squares)), MakeNumber(2)},
              "root");
}

// Returns the determinant of a square matrix of up to four rows, written out along its first row;
// larger ones stay as they are.
Math MathGrammar::Determinant(const Math& matrix) {
  constexpr std::size_t kMaxRows = 4;
  Need(Is(matrix, MathKind::kMatrix) && matrix->rows * matrix->rows == matrix->args.size());
  const std::size_t n = matrix->rows;
  auto node = std::make_shared<MathNode>(*matrix);
  node->name.assign(1, 'v');
  if (n > kMaxRows) return node;
  if (n == 1) return matrix->args[0];
  std::vector<Math> terms;
  for (std::size_t column = 0; column < n; ++column) {
    auto minor = std::make_shared<MathNode>();
    minor->kind = MathKind::kMatrix;
    minor->rows = n - 1;
    for (std::size_t i = n; i < n * n; ++i)
      if (i % n != column) minor->args.push_back(matrix->args[i]);
    Math term = Node(MathKind::kProduct, {matrix->args[column], Determinant(minor)});
    terms.push_back(column % 2 == 0 ? std::move(term) : Node(MathKind::kNegate, {std::move(term)}));
  }
  return Node(MathKind::kSum, std::move(terms));
}

bool MathGrammar::AtRowEnd(const std::string& end) const {
  return Peek().IsSign("\\") || Peek().IsCommand(end);
}

// Parses rows of equations, which are a list.
Math MathGrammar::Cases(const std::string& end) {
  std::vector<Math> rows;
  while (!EatCommand(end)) {
    EatSign("&");
    Math row = List();
    if (Is(row, MathKind::kList))
      rows.insert(rows.end(), row->args.begin(), row->args.end());
    else
      rows.push_back(std::move(row));
    Need(AtRowEnd(end));
    EatSign("\\");
  }
  Need(!rows.empty());
  return rows.size() == 1 ? rows[0] : Node(MathKind::kList, std::move(rows));
}

Math MathGrammar::Matrix(const std::string& environment) {
  Need(std::ranges::find(kMatrices, environment) != std::end(kMatrices));
  const std::string end = "end " + environment;
  auto node = std::make_shared<MathNode>();
  node->kind = MathKind::kMatrix;
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
  return environment == "vmatrix" ? Determinant(node) : Math(node);
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
  Math exponent = Exponent();
  if (Peek().IsSign("_") && !Is(base, MathKind::kSymbol)) {
    exponent = Postfix(std::move(exponent));  // "2^a_1"
  } else if (EatSign("_")) {
    base = Subscripted(base);  // "b^3_2" is b_2^3
  }
  return Postfix(Node(MathKind::kPower, {std::move(base), std::move(exponent)}));
}

// Skips "'", "^\prime" or "^{\prime}"; returns false without one.
bool MathGrammar::EatPrime() {
  if (EatSign("'")) return true;
  if (!Peek().IsSign("^")) return false;
  const bool braces = Peek(1).IsSign("{");
  if (!Peek(braces ? 2 : 1).IsCommand("prime") || (braces && !Peek(3).IsSign("}"))) return false;
  at_ += braces ? 4 : 2;
  return true;
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

// Parses what follows `base`. In an exponent without braces a subscript belongs to the whole power.
Math MathGrammar::Postfix(Math base, bool subscripts) {
  for (int n = 0;; Need(++n <= 6)) {
    if (Peek().IsSign("!") && !Peek(1).IsSign("=")) {
      Take();
      base = Node(MathKind::kFunction, {std::move(base)}, "factorial");
    } else if (EatPercent()) {
      base = Node(MathKind::kPercent, {std::move(base)});
    } else if (Is(base, MathKind::kSymbol) && EatPrime()) {
      base = MakeSymbol(base->name + "'");
    } else if (subscripts && EatSign("_")) {
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
  if (Is(base, MathKind::kSymbol)) {
    // "a'_1" and "a_1'" are the same symbol
    const std::size_t name = base->name.find_last_not_of('\'') + 1;
    return MakeSymbol(
        fmt::format("{}_{}{}", base->name.substr(0, name), text, base->name.substr(name)));
  }
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
  Math exponent = Postfix(Primary(), false);
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
    Math inside = Infix(Sum());
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
