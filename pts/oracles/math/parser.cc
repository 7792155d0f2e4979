// Apache-2.0.
#include "pts/oracles/math/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "pts/oracles/math/notation.h"
#include "pts/oracles/math/quantity.h"

namespace pivotal::pts {

const Token& MathGrammar::Peek(std::size_t ahead) const {
  return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
}

Token MathGrammar::Take() {
  const Token token = Peek();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool MathGrammar::EatSign(std::string_view text) {
  if (!Peek().IsSign(text)) return false;
  Take();
  return true;
}

bool MathGrammar::EatCommand(std::string_view text) {
  if (!Peek().IsCommand(text)) return false;
  Take();
  return true;
}

Math MathGrammar::Node(MathKind kind, std::vector<Math> args, std::string name) {
  return MakeMath(kind, std::move(args), std::move(name));
}

Math MathGrammar::Answer() {
  while (Peek().kind == TokenKind::kWord && IsLeadWord(Lower(Peek().text))) {
    Take();
    EatSign(",");
  }
  Math answer = List();
  EatSign(".");
  EatSign("\\");
  Need(Peek().kind == TokenKind::kEnd);
  return answer;
}

// Skips commas, semicolons, "and" and "or". Returns the last of them, a comma for any sign; "" if
// there is none.
std::string MathGrammar::EatSeparator() {
  std::string eaten;
  for (;; Take()) {
    const Token& token = Peek();
    const bool named = token.kind == TokenKind::kWord || token.kind == TokenKind::kText;
    const std::string word = named ? Lower(token.text) : std::string();
    const bool comma = token.IsSign(",") || token.IsSign(";");
    if (!comma && word != "and" && word != "or" && word != ", and" && word != ", or" &&
        !token.IsCommand("lor") && !token.IsCommand("vee") && !token.IsCommand("wedge"))
      return eaten;
    if (word.ends_with("and") || token.IsCommand("wedge"))
      eaten = "and";
    else if (!comma)
      eaten = "or";
    else if (eaten.empty())
      eaten = ",";
  }
}

Math MathGrammar::List() {
  const Level level(*this);
  std::vector<Math> items = {Relation()};
  std::string joint;
  for (std::string word; !(word = EatSeparator()).empty();) {
    if (Peek().kind == TokenKind::kEnd) break;
    items.push_back(Relation());
    if (word != ",") joint = word;
  }
  return items.size() == 1 ? items[0] : Node(MathKind::kList, std::move(items), joint);
}

std::string MathGrammar::EatRelation() {
  const bool aligned = Peek().IsSign("&");  // "x &= 1"
  const Token& token = Peek(aligned ? 1 : 0);
  std::string name;
  if (token.kind == TokenKind::kCommand) {
    name = RelationName(token.text);
  } else if (token.IsSign("=") || token.IsSign("<") || token.IsSign(">")) {
    name = token.text;
  } else if (token.Is(TokenKind::kWord, "in") && (Peek(1).IsSign("[") || Peek(1).IsSign("("))) {
    name = "in";
  } else if (token.IsSign("!") && Peek(1).IsSign("=")) {
    Take();
    name = "!=";
  }
  if (name.empty()) return name;
  if (aligned) Take();
  Take();
  if (name.size() == 1 && EatSign("=") && name != "=") name += '=';  // reads "<=", and "==" as "="
  return name;
}

Math MathGrammar::Relation() {
  std::vector<Math> sides = {Ratio()};
  std::vector<std::string> relations;
  for (std::string name; !(name = EatRelation()).empty();) {
    relations.push_back(name);
    EatSign("&");  // skips the alignment mark of "=&"
    sides.push_back(Ratio());
  }
  if (relations.empty()) return sides[0];
  auto node = std::make_shared<MathNode>();
  node->kind = MathKind::kRelation;
  node->args = std::move(sides);
  node->relations = std::move(relations);
  return node;
}

// Parses a ratio or a time. 2:3 is 2/3; a ratio of more parts keeps their order, and so does a
// time, which ends in two digits with a zero ("2:03") or has "a.m." or "p.m." as the unit of the
// whole.
Math MathGrammar::Ratio() {
  std::vector<Math> parts = {Sets()};
  while (colon_ && (Peek().IsSign(":") || Peek().IsCommand("colon"))) {
    Take();
    parts.push_back(Sets());
  }
  if (parts.size() == 1) return parts[0];
  if (const Math half = parts.back(); Is(half, MathKind::kUnit) && half->name.ends_with(".m.")) {
    parts.back() = half->args[0];
    const auto is_zero = [](const Math& m) { return Is(m, MathKind::kNumber) && m->number == 0; };
    while (parts.size() > 1 && is_zero(parts.back())) parts.pop_back();
    Math time = parts.size() == 1 ? parts[0] : Node(MathKind::kBracket, std::move(parts), "::");
    return MakeUnit({std::move(time)}, half->name, 1);
  }
  const Token& last = tokens_[at_ - 1];
  const bool minutes = last.kind == TokenKind::kNumber && last.text.starts_with('0') &&
                       last.text.find('.') == std::string::npos && last.text.size() == 2;
  if (parts.size() == 2 && !minutes) return Node(MathKind::kQuotient, std::move(parts));
  return Node(MathKind::kBracket, std::move(parts), "::");
}

Math MathGrammar::Sets() {
  Math left = Sum();
  for (;;) {
    MathKind kind = MathKind::kUnion;
    if (EatCommand("cap"))
      kind = MathKind::kIntersection;
    else if (EatCommand("setminus") || EatCommand("backslash") || EatCommand("smallsetminus"))
      kind = MathKind::kDifference;
    else if (!EatCommand("cup") && !(Peek().Is(TokenKind::kWord, "U") && (Take(), true)))
      return left;
    Math right = Sum();
    // Keeps unions flat, so that their order does not matter.
    if (kind != MathKind::kDifference && Is(left, kind)) {
      auto args = left->args;
      args.push_back(std::move(right));
      left = Node(kind, std::move(args));
    } else {
      left = Node(kind, {std::move(left), std::move(right)});
    }
  }
}

namespace {

// Returns true for sets that "-" and "/" can take a set out of: \mathbb{R}, \{1, 2\}.
bool IsSet(const Math& m) {
  return Is(m, MathKind::kSet) || (Is(m, MathKind::kSymbol) && m->name.starts_with("\\mathbb"));
}

}  // namespace

Math MathGrammar::Sum() {
  const Level level(*this);
  std::vector<Math> terms = {Product()};
  const auto sum = [&] {
    return terms.size() == 1 ? terms[0] : Node(MathKind::kSum, std::exchange(terms, {}));
  };
  for (;;) {
    if (EatSign("+")) {
      terms.push_back(Product());
    } else if (EatSign("-")) {
      Math right = Product();
      const bool one = terms.size() == 1 && Is(terms[0], MathKind::kSymbol) &&
                       Is(right, MathKind::kNumber);  // "\mathbb{R}-{2}"
      if (terms.size() == 1 && IsSet(terms[0]) && (one || Is(right, MathKind::kSet)))
        terms = {Node(MathKind::kDifference, {terms[0], std::move(right)})};
      else
        terms.push_back(Node(MathKind::kNegate, {std::move(right)}));
    } else if (Peek().IsCommand("pm") || Peek().IsCommand("mp")) {
      const std::string name = Take().text == "pm" ? "+-" : "-+";
      Math left = sum();
      terms = {Node(MathKind::kPlusMinus, {std::move(left), Product()}, name)};
      Need(++depth_ <= kMaxDepth);  // each \pm nests the sum so far
    } else {
      return sum();
    }
  }
}

Math MathGrammar::Unary() {
  const Level level(*this);
  if (EatSign("+")) return Unary();
  if (EatSign("-")) return Node(MathKind::kNegate, {Unary()});
  if (EatCommand("pm")) return Node(MathKind::kPlusMinus, {Unary()}, "+-");
  if (EatCommand("mp")) return Node(MathKind::kPlusMinus, {Unary()}, "-+");
  return Power();
}

// Returns true if the next token can begin a factor without a sign before it.
bool MathGrammar::StartsFactor() const {
  const Token& token = Peek();
  switch (token.kind) {
    case TokenKind::kNumber: return true;
    case TokenKind::kWord: {
      const std::string word = Lower(token.text);
      if (token.text == "U" && (Peek(1).IsSign("(") || Peek(1).IsSign("["))) return false;
      if (word == "in" && (Peek(1).IsSign("[") || Peek(1).IsSign("("))) return false;
      return word != "and" && word != "or";
    }
    case TokenKind::kCommand: {
      static constexpr std::string_view kClose[] = {
          "}",          "rangle",    "rvert",  "rfloor", "rceil", "cup",          "cap",
          "setminus",   "backslash", "pm",     "mp",     "colon", "lor",          "vee",
          "mid",        "pmod",      "mod",    "bmod",   "rVert", "lt",           "gt",
          "Rightarrow", "implies",   "choose", "over",   "wedge", "smallsetminus"};
      for (std::string_view name : kClose)
        if (token.text == name) return false;
      if (token.text == "|") return norms_ == 0;
      return RelationName(token.text).empty() && !token.text.starts_with("end ");
    }
    case TokenKind::kSign:
      if (token.text == "[") {  // "[1,2[" is [1,2)
        const Token& next = Peek(1);
        return next.kind != TokenKind::kEnd && !next.IsCommand("cup") && !next.IsCommand("cap");
      }
      return token.text == "(" || token.text == "{" || (token.text == "|" && bars_ == 0);
    default: return false;
  }
}

Math MathGrammar::Product() {
  const std::size_t begin = at_;
  Math first = Unary();
  return WithUnits(Factors(std::move(first), begin), begin);
}

Math MathGrammar::Factors(Math first, std::size_t begin) {
  std::vector<Math> factors = {std::move(first)};
  const auto product = [&] {
    return factors.size() == 1 ? factors[0] : Node(MathKind::kProduct, std::exchange(factors, {}));
  };
  int quotients = 0;
  for (;;) {
    if (EatSign("*") || EatCommand("cdot") || EatCommand("times") || EatCommand("ast") ||
        EatCommand("bullet") || (IsTimesSign() && (Take(), true))) {
      EatSign("*");  // accepts "**", which no answer has as a power here
      factors.push_back(Unary());
    } else if (Peek().IsSign("/") || Peek().IsCommand("div")) {
      if (Peek(1).kind == TokenKind::kText || IsUnitWord(Peek(1).text)) return product();
      Take();
      Need(++quotients <= 12);
      Math above = product();
      Math below = Unary();
      const bool sets = IsSet(above) && Is(below, MathKind::kSet);
      factors = {Node(sets ? MathKind::kDifference : MathKind::kQuotient,
                      {std::move(above), std::move(below)})};
    } else if (Lower(Peek().text) == "choose" && Peek().kind != TokenKind::kCommand) {
      Take();
      Math above = product();
      factors = {Node(MathKind::kFunction, {std::move(above), Unary()}, "binomial")};
    } else if (StartsFactor()) {
      const Token& token = Peek();
      // "1 2" is no product, but "2^4 3^2" and "\sqrt2 3" are.
      const bool joins =
          Is(factors.back(), MathKind::kPower) ||
          (Is(factors.back(), MathKind::kFunction) && factors.back()->name == "root");
      Need(joins || token.kind != TokenKind::kNumber ||
           tokens_[at_ - 1].kind != TokenKind::kNumber);
      if (AtSuffix(HasNumberSince(begin))) return product();
      factors.push_back(Power());
      Need(!Is(factors.back(), MathKind::kText));
    } else {
      if (factors.size() > 1) Need(!Is(factors[0], MathKind::kText));
      return product();
    }
  }
}

bool MathGrammar::HasNumberSince(std::size_t begin) const {
  for (std::size_t i = begin; i < at_; ++i) {
    const Token& token = tokens_[i];
    if (token.kind == TokenKind::kNumber || token.IsCommand("pi") || token.text == "pi")
      return true;
  }
  return false;
}

// Returns true for the "x" of "3 x 10^5".
bool MathGrammar::IsTimesSign() const {
  const bool x = Peek().Is(TokenKind::kWord, "x") || Peek().Is(TokenKind::kWord, "X");
  return x && Peek().spaced && Peek(1).kind == TokenKind::kNumber && Peek(1).spaced && at_ > 0 &&
         tokens_[at_ - 1].kind == TokenKind::kNumber;
}

namespace {

// Splits the text of a unit into words in lower case, with "^2" for an exponent and "/" for a
// slash. Returns none if it holds digits or signs that no unit has.
std::vector<std::string> UnitWords(std::string_view text) {
  std::vector<std::string> words;
  const auto is_letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; };
  const auto is_digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at + 1;
    if (is_letter(text[at])) {
      while (end < text.size() && is_letter(text[end])) ++end;
      words.push_back(Lower(text.substr(at, end - at)));
    } else if (text[at] == '^') {
      while (end < text.size() && (text[end] == '{' || text[end] == '-')) ++end;
      const std::size_t digits = end;
      while (end < text.size() && is_digit(text[end])) ++end;
      words.push_back(std::string("^").append(text.substr(digits, end - digits)));
    } else if (text[at] == '/') {
      words.emplace_back("/");
    } else if (std::string_view(" .,-'(){}$%\\\t\n").find(text[at]) == std::string_view::npos) {
      return {};
    }
    at = end;
  }
  return words;
}

// Returns the unit that is named by `words`, as "square inches" or "cm ^2"; nullopt if it is
// unknown or made of several units.
std::optional<Unit> KnownUnit(const std::vector<std::string>& words) {
  std::optional<Unit> unit;
  unsigned power = 1;
  for (const std::string& word : words) {
    if (word == "per" || word == "/" || word == "a") return std::nullopt;
    if (word == "square" || word == "sq" || word == "squared" || word == "^2") {
      power = 2;
    } else if (word == "cubic" || word == "cu" || word == "cubed" || word == "^3") {
      power = 3;
    } else if (word.starts_with('^')) {
      return std::nullopt;
    } else if (word == "celsius" || word == "centigrade") {
      return Unit{"degrees Celsius", 1, 1};
    } else if (word == "fahrenheit") {
      return Unit{"degrees Fahrenheit", 1, 1};
    } else if (const auto found = FindUnit(word)) {
      if (unit) return std::nullopt;
      unit = found;
    }
  }
  if (!unit || power == 1) return unit;
  unit->factor = *Power(unit->factor, power);
  unit->power = power;
  return unit;
}

// Returns the tokens' word or text if it begins with a scale ("million dollars").
int64_t ScaleAt(const Token& token) {
  if (token.kind != TokenKind::kWord && token.kind != TokenKind::kText) return 0;
  return ScaleOf(Lower(token.text.substr(0, token.text.find(' '))));
}

bool IsModuloWord(const Token& token) {
  if (token.kind == TokenKind::kCommand)
    return token.text == "pmod" || token.text == "bmod" || token.text == "mod";
  return (token.kind == TokenKind::kWord || token.kind == TokenKind::kText) &&
         (token.text == "mod" || token.text == "modulo");
}

}  // namespace

// Skips one unit: \text{...}, or a word of plain text after a number. Appends its words to `words`.
bool MathGrammar::EatUnit(bool has_number, std::vector<std::string>* words) {
  const Token& token = Peek();
  const std::string word = Lower(token.text);
  std::vector<std::string> found = {word};
  if (token.kind == TokenKind::kText) {
    found = UnitWords(token.text);
    const auto is_symbol = [](const std::string& w) {
      return !GreekSymbol(w).empty() || w == "x" || w == "y" || w == "z" || w == "n";
    };
    if (found.empty() || std::ranges::any_of(found, is_symbol)) return false;
  } else if (token.kind == TokenKind::kWord && has_number) {
    if (word == "percent" || word == "pct" || !GreekSymbol(token.text).empty() ||
        !FunctionName(token.text).empty() || word == "sqrt")
      return false;
    const bool unit = token.text.size() > 1 && IsUnitWord(token.text);
    const bool letter = token.spaced && IsUnitLetter(token.text);
    const bool unknown = token.spaced && token.text.size() >= 4;
    if (!unit && !letter && !unknown) return false;
  } else {
    return false;
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    const bool after_unit = i > 0 || (words != nullptr && !words->empty());
    if (after_unit && (found[i] == "squared" || found[i] == "cubed")) continue;
    if (ChangesValue(found[i]) || ScaleOf(found[i]) != 0) return false;
  }
  if (words != nullptr) words->insert(words->end(), found.begin(), found.end());
  Take();
  return true;
}

// Skips "a.m." or "PM" and returns it as "a.m." or "p.m."; "" without one.
std::string MathGrammar::EatDayHalf() {
  const Token& token = Peek();
  std::string half = Lower(token.text);
  std::erase_if(half, [](char c) { return c == '.' || c == ' '; });
  const bool word = token.kind == TokenKind::kWord || token.kind == TokenKind::kText;
  if (word && (half == "am" || half == "pm")) {
    Take();
    if (token.kind == TokenKind::kWord) EatSign(".");
    return half == "am" ? "a.m." : "p.m.";
  }
  const bool dotted = token.kind == TokenKind::kWord && (half == "a" || half == "p") &&
                      Peek(1).IsSign(".") && Lower(Peek(2).text) == "m";
  if (!dotted) return "";
  at_ += 3;
  EatSign(".");
  return half + ".m.";
}

// Returns true before what can only stand after a number: a scale, a unit, "a.m.", "(mod 5)".
bool MathGrammar::AtSuffix(bool has_number) {
  if (IsModuloWord(Peek()) || (Peek().IsSign("(") && IsModuloWord(Peek(1)))) return true;
  if (Peek().kind != TokenKind::kWord) return false;
  if (has_number && ScaleAt(Peek()) != 0) return true;
  const std::size_t before = at_;
  const bool suffix = (has_number && !EatDayHalf().empty()) || EatUnit(has_number);
  at_ = before;
  return suffix;
}

// Parses what follows a value: "million" multiplies it; "a.m.", a modulus and a unit that is known
// go with it; other units, as in "5 \text{ m}^2/\text{s}" or "11.1 meters per second", are dropped.
Math MathGrammar::WithUnits(Math value, std::size_t begin) {
  const bool has_number = HasNumberSince(begin);
  for (int64_t scale = 0; has_number && (scale = ScaleAt(Peek())) != 0;) {
    value = Node(MathKind::kProduct, {std::move(value), MakeNumber(scale)});
    std::string& text = tokens_[at_].text;
    const auto end = text.find(' ');
    if (end == std::string::npos)
      Take();
    else
      text.erase(0, end + 1);
  }
  if (const auto half = has_number ? EatDayHalf() : ""; !half.empty())
    return MakeUnit({std::move(value)}, half, 1);
  std::vector<std::string> words;
  for (;;) {
    const std::size_t before = at_;
    const bool slash = EatSign("/");
    if (!slash && !words.empty()) EatCommand("cdot");
    if (slash) words.emplace_back("/");
    if (!EatUnit(has_number, &words)) {
      if (slash) words.pop_back();
      at_ = before;
      break;
    }
    if (EatSign("^")) {
      const bool braces = EatSign("{");
      EatSign("-");
      Need(Peek().kind == TokenKind::kNumber);
      words.push_back("^" + Take().text);
      if (braces) Need(EatSign("}"));
    }
  }
  if (Is(value, MathKind::kDegrees) && words.size() == 1) {
    if (words[0] == "c") words[0] = "celsius";
    if (words[0] == "f") words[0] = "fahrenheit";
  }
  if (const auto unit = KnownUnit(words)) {
    const std::string power = unit->power == 1 ? "" : fmt::format("^{}", unit->power);
    value = MakeUnit({std::move(value)}, std::string(unit->dimension) + power, unit->factor);
  }
  return Modulo(std::move(value));
}

// Parses "\pmod{5}", "(mod 5)" or "mod 5" after `value`.
Math MathGrammar::Modulo(Math value) {
  const bool bracket = Peek().IsSign("(") && IsModuloWord(Peek(1));
  if (!bracket && !IsModuloWord(Peek())) return value;
  if (bracket) Take();
  Take();
  Math modulus = bracket ? Sum() : Argument(false);
  if (bracket) Need(EatSign(")"));
  return MakeUnit({std::move(value), std::move(modulus)}, "mod", 1);
}

std::optional<Math> ParseMath(std::string_view text, const LexOptions& options) {
  auto tokens = LexLatex(text, options);
  if (!tokens || tokens->size() == 1) return std::nullopt;
  try {
    return MathGrammar(std::move(*tokens)).Answer();
  } catch (const MathGrammar::NotMath&) {
    return std::nullopt;
  }
}

}  // namespace pivotal::pts
