// Apache-2.0.
#include "pts/oracles/math/parser.h"

#include "pts/oracles/math/notation.h"

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
  while (Peek().kind == TokenKind::kWord && IsLeadWord(Lower(Peek().text))) Take();
  Math answer = List();
  EatSign(".");
  EatSign("\\");
  Need(Peek().kind == TokenKind::kEnd);
  return answer;
}

bool MathGrammar::EatSeparator() {
  bool eaten = false;
  for (;; eaten = true, Take()) {
    const Token& token = Peek();
    const bool named = token.kind == TokenKind::kWord || token.kind == TokenKind::kText;
    const std::string word = named ? Lower(token.text) : std::string();
    const bool comma = token.IsSign(",") || token.IsSign(";");
    if (!comma && word != "and" && word != "or" && word != ", and" && word != ", or" &&
        !token.IsCommand("lor") && !token.IsCommand("vee"))
      return eaten;
  }
}

Math MathGrammar::List() {
  const Level level(*this);
  std::vector<Math> items = {Relation()};
  while (EatSeparator()) {
    if (Peek().kind == TokenKind::kEnd) break;
    items.push_back(Relation());
  }
  return items.size() == 1 ? items[0] : Node(MathKind::kList, std::move(items));
}

std::string MathGrammar::EatRelation() {
  const Token& token = Peek();
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

// Parses a ratio. 2:3 is 2/3; a ratio of more parts keeps their order.
Math MathGrammar::Ratio() {
  std::vector<Math> parts = {Sets()};
  while (Peek().IsSign(":") || Peek().IsCommand("colon")) {
    Take();
    parts.push_back(Sets());
  }
  if (parts.size() == 1) return parts[0];
  if (parts.size() == 2) return Node(MathKind::kQuotient, std::move(parts));
  return Node(MathKind::kBracket, std::move(parts), "::");
}

Math MathGrammar::Sets() {
  Math left = Sum();
  for (;;) {
    MathKind kind = MathKind::kUnion;
    if (EatCommand("cap"))
      kind = MathKind::kIntersection;
    else if (EatCommand("setminus") || EatCommand("backslash"))
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
      terms.push_back(Node(MathKind::kNegate, {Product()}));
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
          "}",         "rangle", "rvert", "rfloor", "rceil", "cup",        "cap",    "setminus",
          "backslash", "pm",     "mp",    "colon",  "lor",   "vee",        "mid",    "pmod",
          "mod",       "bmod",   "rVert", "lt",     "gt",    "Rightarrow", "implies"};
      for (std::string_view name : kClose)
        if (token.text == name) return false;
      return RelationName(token.text).empty() && !token.text.starts_with("end ");
    }
    case TokenKind::kSign:
      return token.text == "(" || token.text == "[" || token.text == "{" ||
             (token.text == "|" && bars_ == 0);
    default: return false;
  }
}

Math MathGrammar::Product() {
  const std::size_t begin = at_;
  Math product = Factors(Unary(), begin);
  DropUnits(begin);
  return product;
}

Math MathGrammar::Factors(Math first, std::size_t begin) {
  std::vector<Math> factors = {std::move(first)};
  const auto product = [&] {
    return factors.size() == 1 ? factors[0] : Node(MathKind::kProduct, std::exchange(factors, {}));
  };
  int quotients = 0;
  for (;;) {
    if (EatSign("*") || EatCommand("cdot") || EatCommand("times") || EatCommand("ast")) {
      EatSign("*");  // accepts "**", which no answer has as a power here
      factors.push_back(Unary());
    } else if (Peek().IsSign("/") || Peek().IsCommand("div")) {
      if (Peek(1).kind == TokenKind::kText || IsUnitWord(Peek(1).text)) return product();
      Take();
      Need(++quotients <= 12);
      Math above = product();
      factors = {Node(MathKind::kQuotient, {std::move(above), Unary()})};
    } else if (StartsFactor()) {
      const Token& token = Peek();
      const bool two_numbers =
          token.kind == TokenKind::kNumber && tokens_[at_ - 1].kind == TokenKind::kNumber;
      Need(!two_numbers);
      const std::size_t before = at_;
      if (token.kind == TokenKind::kWord && EatUnit(HasNumberSince(begin))) {
        at_ = before;
        return product();
      }
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

// Skips one unit: \text{...}, or a word of plain text after a number.
bool MathGrammar::EatUnit(bool has_number) {
  const Token& token = Peek();
  const std::string word = Lower(token.text);
  if (token.kind == TokenKind::kText) {
    if (word == "and" || word == "or" || word == ", and" || word == ", or") return false;
    Take();
    return true;
  }
  if (token.kind != TokenKind::kWord || !has_number || word == "and" || word == "or") return false;
  if (word == "percent" || word == "pct" || !GreekSymbol(token.text).empty() ||
      !FunctionName(token.text).empty() || word == "sqrt")
    return false;
  const bool unit = token.text.size() > 1 && IsUnitWord(token.text);
  const bool letter = token.spaced && IsUnitLetter(token.text);
  const bool unknown = token.spaced && token.text.size() >= 4;
  if (!unit && !letter && !unknown) return false;
  Take();
  return true;
}

// Skips the units after a value, as in "5 \text{ m}^2/\text{s}" or "11.1 meters per second": they
// are not compared.
void MathGrammar::DropUnits(std::size_t begin) {
  const bool has_number = HasNumberSince(begin);
  bool dropped = false;
  for (;;) {
    const std::size_t before = at_;
    if (!EatSign("/") && dropped) EatCommand("cdot");
    if (!EatUnit(has_number)) {
      at_ = before;
      break;
    }
    dropped = true;
    if (EatSign("^")) {
      const bool braces = EatSign("{");
      EatSign("-");
      Need(Take().kind == TokenKind::kNumber);
      if (braces) Need(EatSign("}"));
    }
  }
  if (EatCommand("pmod") || EatCommand("bmod") || EatCommand("mod")) ArgumentText();
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
