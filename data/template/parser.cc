// Apache-2.0. A recursive descent parser of chat templates, with a method per rule as in
// jinja2/parser.py.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>

#include "data/template/lexer.h"
#include "data/template/program.h"

namespace pivotal::data::jinja {
namespace {

using Kind = Token::Kind;
using Words = std::initializer_list<std::string_view>;

constexpr int kMaxExprDepth = 200, kMaxRecursion = 300, kMaxStatements = 50;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Block Template() { return Statements({}); }

 private:
  // Counts one level of recursion while it lives. Throws Fault beyond the limit.
  class DepthGuard {
   public:
    DepthGuard(int& depth, int limit, int line) : depth_(depth) {
      if (++depth_ > limit) {
        --depth_;
        throw Fault(fmt::format("the template is nested deeper than {} levels", limit), line);
      }
    }
    ~DepthGuard() { --depth_; }
    DepthGuard(const DepthGuard&) = delete;

   private:
    int& depth_;
  };

  const Token& Now() const { return tokens_[at_]; }
  const Token& Ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token Next() { return Now().kind == Kind::kEnd ? Now() : tokens_[at_++]; }
  bool IsOp(std::string_view text) const {
    return Now().kind == Kind::kOperator && Now().text == text;
  }
  bool IsWord(std::string_view text) const {
    return Now().kind == Kind::kName && Now().text == text;
  }
  bool IsAnyWord(Words words) const {
    return std::any_of(words.begin(), words.end(), [&](auto word) { return IsWord(word); });
  }
  bool SkipOp(std::string_view text) { return IsOp(text) && (++at_, true); }
  bool SkipWord(std::string_view text) { return IsWord(text) && (++at_, true); }

  static std::string Describe(const Token& token) {
    switch (token.kind) {
      case Kind::kVariableEnd: return "\"}}\"";
      case Kind::kBlockEnd: return "\"%}\"";
      case Kind::kEnd: return "the end of the template";
      case Kind::kString: return "a string";
      case Kind::kName:
      case Kind::kInteger:
      case Kind::kFloat:
      case Kind::kOperator: return "\"" + token.text.substr(0, 40) + "\"";
      default: return "text";
    }
  }
  [[noreturn]] void Unexpected(std::string_view wanted) const {
    throw Fault(fmt::format("found {}, expected {}", Describe(Now()), wanted), Now().line);
  }
  [[noreturn]] void Unsupported(std::string_view what) const {
    throw Fault(fmt::format("{} is not supported", what), Now().line);
  }
  void ExpectOp(std::string_view text) {
    if (!SkipOp(text)) Unexpected(fmt::format("\"{}\"", text));
  }
  void ExpectWord(std::string_view text) {
    if (!SkipWord(text)) Unexpected(fmt::format("\"{}\"", text));
  }
  std::string ExpectName() {
    if (Now().kind != Kind::kName) Unexpected("a name");
    return Next().text;
  }
  void Expect(Kind kind, std::string_view text) {
    if (Now().kind != kind) Unexpected(text);
    ++at_;
  }

  // ---- statements

  // Parses statements up to a tag that begins with one of `ends`, and stops at that word. Without
  // `ends` it parses up to the end of the template.
  Block Statements(Words ends) {
    const DepthGuard guard(statements_, kMaxStatements, Now().line);
    Block block;
    while (Now().kind != Kind::kEnd) {
      const int line = Now().line;
      const Token token = Next();
      if (token.kind == Kind::kData) {
        block.push_back(Make(StatementKind::kText, line));
        block.back().text = token.text;
      } else if (token.kind == Kind::kVariableBegin) {
        block.push_back(Make(StatementKind::kOutput, line));
        block.back().value = Tuple(true);
        Expect(Kind::kVariableEnd, "\"}}\"");
      } else {  // kBlockBegin, the only other token that can stand here
        if (IsAnyWord(ends)) return block;
        block.push_back(OneStatement());
        Expect(Kind::kBlockEnd, "\"%}\"");
      }
    }
    if (ends.size() > 0) Unexpected(fmt::format("{{% {} %}}", *std::prev(ends.end())));
    return block;
  }

  // Parses the end of a statement's first tag, then its body up to one of `ends`.
  Block Body(Words ends) {
    SkipOp(":");
    Expect(Kind::kBlockEnd, "\"%}\"");
    return Statements(ends);
  }

  static Statement Make(StatementKind kind, int line) {
    Statement statement;
    statement.kind = kind;
    statement.line = line;
    return statement;
  }

  Statement OneStatement() {
    const int line = Now().line;
    if (Now().kind != Kind::kName) Unexpected("a statement");
    if (IsWord("if")) return If();
    if (IsWord("for")) return For();
    if (IsWord("set")) return Set();
    if (IsAnyWord({"break", "continue"})) {
      if (loops_ == 0)
        throw Fault(fmt::format("{} is used outside of a loop", Describe(Now())), line);
      return Make(Next().text == "break" ? StatementKind::kBreak : StatementKind::kContinue, line);
    }
    if (SkipWord("generation")) {
      Statement statement = Make(StatementKind::kScope, line);
      const int loops = std::exchange(loops_, 0);
      statement.body = Body({"endgeneration"});
      loops_ = loops;
      ++at_;
      return statement;
    }
    if (Now().text.starts_with("end") || IsAnyWord({"else", "elif"}))
      Unexpected("the start of a statement");
    Unsupported(fmt::format("the statement {{% {} %}}", Now().text));
  }

  Statement If() {
    Statement statement = Make(StatementKind::kIf, Now().line);
    while (true) {
      ++at_;  // if, elif
      Branch branch;
      branch.condition = Tuple(false);
      branch.body = Body({"elif", "else", "endif"});
      statement.branches.push_back(std::move(branch));
      if (IsWord("elif")) continue;
      if (Next().text == "else") {
        statement.otherwise = Body({"endif"});
        ++at_;
      }
      return statement;
    }
  }

  Statement For() {
    Statement statement = Make(StatementKind::kFor, Now().line);
    ++at_;
    statement.target = ParseTarget(false);
    ExpectWord("in");
    statement.value = Tuple(false);
    if (SkipWord("if")) statement.condition = Expression();
    if (IsWord("recursive")) Unsupported("a recursive loop");
    ++loops_;
    statement.body = Body({"else", "endfor"});
    --loops_;
    if (Next().text == "else") {
      statement.otherwise = Body({"endfor"});
      ++at_;
    }
    return statement;
  }

  Statement Set() {
    Statement statement = Make(StatementKind::kSet, Now().line);
    ++at_;
    statement.target = ParseTarget(true);
    if (SkipOp("=")) {
      statement.value = Tuple(true);
      return statement;
    }
    statement.kind = StatementKind::kSetBlock;
    ExprPtr filters;
    while (IsOp("|")) filters = Filter(std::move(filters));
    statement.value = std::move(filters);
    const int loops = std::exchange(loops_, 0);
    statement.body = Body({"endset"});
    loops_ = loops;
    ++at_;
    return statement;
  }

  Target ParseTarget(bool with_attribute) {
    Target target;
    const bool parentheses = SkipOp("(");
    do {
      if (target.unpacks && Now().kind != Kind::kName) break;  // after a trailing comma
      if (!target.names.empty() && IsWord("in")) break;
      if (Now().kind != Kind::kName) Unexpected("the name of a variable");
      if (IsAnyWord({"true", "false", "True", "False", "none", "None", "loop"}))
        Unexpected("the name of a variable");
      target.names.push_back(Next().text);
      if (with_attribute && !parentheses && target.names.size() == 1 && SkipOp(".")) {
        target.attribute = ExpectName();
        if (IsOp(",")) Unsupported("unpacking into an attribute");
        return target;
      }
      target.unpacks = target.unpacks || IsOp(",");
    } while (SkipOp(","));
    if (parentheses) ExpectOp(")");
    return target;
  }

  // ---- expressions

  std::unique_ptr<Expr> Make(ExprKind kind, int line, std::string text = "") const {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->line = line;
    expr->text = std::move(text);
    return expr;
  }
  static void Add(Expr& expr, ExprPtr part) {
    if (part != nullptr) Deepen(expr, *part);
    expr.parts.push_back(std::move(part));
  }
  static void Deepen(Expr& expr, const Expr& part) {
    expr.depth = std::max(expr.depth, part.depth + 1);
    if (expr.depth > kMaxExprDepth)
      throw Fault(fmt::format("an expression has more than {} levels", kMaxExprDepth), expr.line);
  }
  template <typename... Parts>
  std::unique_ptr<Expr> Tree(ExprKind kind, int line, std::string text, Parts... parts) const {
    auto expr = Make(kind, line, std::move(text));
    (Add(*expr, std::move(parts)), ...);
    return expr;
  }
  ExprPtr Constant(Value value, int line) const {
    auto expr = Make(ExprKind::kConstant, line);
    expr->constant = std::move(value);
    return expr;
  }

  bool TupleEnds() const {
    return Now().kind == Kind::kVariableEnd || Now().kind == Kind::kBlockEnd || IsOp(")") ||
           IsWord("recursive");
  }

  // Parses one expression, or a tuple of expressions with commas between them.
  ExprPtr Tuple(bool with_condition, bool parentheses = false) {
    auto tuple = Make(ExprKind::kTuple, Now().line);
    bool is_tuple = false;
    do {
      if (TupleEnds()) break;
      Add(*tuple, with_condition ? Expression() : Or());
      is_tuple = is_tuple || IsOp(",");
    } while (SkipOp(","));
    if (is_tuple) return tuple;
    if (!tuple->parts.empty()) return std::move(tuple->parts[0]);
    if (!parentheses) Unexpected("an expression");
    return tuple;
  }

  ExprPtr Expression() {
    const DepthGuard guard(recursion_, kMaxRecursion, Now().line);
    const int line = Now().line;
    ExprPtr value = Or();
    while (SkipWord("if")) {
      ExprPtr condition = Or();
      ExprPtr other = SkipWord("else") ? Expression() : nullptr;
      value = Tree(ExprKind::kCondition, line, "", std::move(value), std::move(condition),
                   std::move(other));
    }
    return value;
  }

  ExprPtr Or() {
    ExprPtr left = And();
    for (int line = Now().line; SkipWord("or"); line = Now().line)
      left = Tree(ExprKind::kOr, line, "", std::move(left), And());
    return left;
  }

  ExprPtr And() {
    ExprPtr left = Not();
    for (int line = Now().line; SkipWord("and"); line = Now().line)
      left = Tree(ExprKind::kAnd, line, "", std::move(left), Not());
    return left;
  }

  ExprPtr Not() {
    const DepthGuard guard(recursion_, kMaxRecursion, Now().line);
    const int line = Now().line;
    if (SkipWord("not")) return Tree(ExprKind::kNot, line, "", Not());
    return Compare();
  }

  ExprPtr Compare() {
    auto expr = Make(ExprKind::kCompare, Now().line);
    Add(*expr, Sum());
    while (true) {
      std::string op;
      for (const char* candidate : {"==", "!=", "<", "<=", ">", ">="})
        if (SkipOp(candidate)) {
          op = candidate;
          break;
        }
      if (op.empty() && SkipWord("in")) op = "in";
      if (op.empty() && IsWord("not") && Ahead().kind == Kind::kName && Ahead().text == "in") {
        at_ += 2;
        op = "not in";
      }
      if (op.empty()) break;
      expr->operators.push_back(op);
      Add(*expr, Sum());
    }
    if (expr->operators.empty()) return std::move(expr->parts[0]);
    return expr;
  }

  ExprPtr Sum() {
    ExprPtr left = Concat();
    while (IsOp("+") || IsOp("-")) {
      const Token op = Next();
      left = Tree(ExprKind::kBinary, op.line, op.text, std::move(left), Concat());
    }
    return left;
  }

  ExprPtr Concat() {
    auto expr = Make(ExprKind::kConcat, Now().line);
    do Add(*expr, Product());
    while (SkipOp("~"));
    if (expr->parts.size() == 1) return std::move(expr->parts[0]);
    return expr;
  }

  ExprPtr Product() {
    ExprPtr left = Unary(true);
    while (IsOp("*") || IsOp("/") || IsOp("//") || IsOp("%")) {
      const Token op = Next();
      left = Tree(ExprKind::kBinary, op.line, op.text, std::move(left), Unary(true));
    }
    return left;
  }

  ExprPtr Unary(bool with_filter) {
    const DepthGuard guard(recursion_, kMaxRecursion, Now().line);
    const int line = Now().line;
    ExprPtr value;
    if (SkipOp("-"))
      value = Tree(ExprKind::kNegative, line, "", Unary(false));
    else if (SkipOp("+"))
      value = Tree(ExprKind::kPositive, line, "", Unary(false));
    else
      value = Primary();
    value = Postfix(std::move(value));
    if (with_filter) value = FiltersAndTests(std::move(value));
    if (IsOp("**")) Unsupported("the operator **");
    return value;
  }

  ExprPtr Primary() {
    const Token token = Next();
    const auto is = [&](const char* word) { return token.text == word; };
    switch (token.kind) {
      case Kind::kName:
        if (is("true") || is("True")) return Constant(true, token.line);
        if (is("false") || is("False")) return Constant(false, token.line);
        if (is("none") || is("None")) return Constant(None{}, token.line);
        return Make(ExprKind::kName, token.line, token.text);
      case Kind::kString: {
        std::string text = token.text;
        while (Now().kind == Kind::kString) text += Next().text;
        return Constant(std::move(text), token.line);
      }
      case Kind::kInteger: {
        int64_t value = 0;
        const char* end = token.text.data() + token.text.size();
        if (std::from_chars(token.text.data(), end, value).ec != std::errc())
          throw Fault("an integer beyond 64 bits is not supported", token.line);
        return Constant(value, token.line);
      }
      case Kind::kFloat: {
        const double value = std::strtod(token.text.c_str(), nullptr);
        if (!std::isfinite(value))
          throw Fault("a float that is not finite is not supported", token.line);
        return Constant(value, token.line);
      }
      default: break;
    }
    if (token.kind == Kind::kOperator) {
      if (is("(")) {
        ExprPtr inner = Tuple(true, true);
        ExpectOp(")");
        return inner;
      }
      if (is("[")) return ListLiteral(token.line);
      if (is("{")) return DictLiteral(token.line);
    }
    if (token.kind != Kind::kEnd) --at_;
    Unexpected("an expression");
  }

  ExprPtr ListLiteral(int line) {
    auto list = Make(ExprKind::kList, line);
    while (!IsOp("]")) {
      if (!list->parts.empty()) ExpectOp(",");
      if (IsOp("]")) break;
      Add(*list, Expression());
    }
    ExpectOp("]");
    return list;
  }

  ExprPtr DictLiteral(int line) {
    auto dict = Make(ExprKind::kDict, line);
    while (!IsOp("}")) {
      if (!dict->parts.empty()) ExpectOp(",");
      if (IsOp("}")) break;
      Add(*dict, Expression());
      ExpectOp(":");
      Add(*dict, Expression());
    }
    ExpectOp("}");
    return dict;
  }

  ExprPtr Postfix(ExprPtr value) {
    while (true) {
      if (IsOp(".") || IsOp("["))
        value = Subscript(std::move(value));
      else if (IsOp("("))
        value = Call(std::move(value));
      else
        return value;
    }
  }

  ExprPtr Subscript(ExprPtr value) {
    const Token token = Next();
    if (token.text == ".") {
      if (Now().kind == Kind::kName)
        return Tree(ExprKind::kAttribute, token.line, Next().text, std::move(value));
      if (Now().kind != Kind::kInteger) Unexpected("a name or a number");
      return Tree(ExprKind::kItem, token.line, "", std::move(value), Primary());
    }
    ExprPtr first = IsOp(":") ? nullptr : Expression();
    if (IsOp(",")) Unsupported("a subscript with a comma");
    if (!IsOp(":")) {
      ExpectOp("]");
      return Tree(ExprKind::kItem, token.line, "", std::move(value), std::move(first));
    }
    const auto bound = [&]() -> ExprPtr {
      return SkipOp(":") && !IsOp(":") && !IsOp("]") ? Expression() : nullptr;
    };
    ExprPtr second = bound(), third = bound();
    ExpectOp("]");
    return Tree(ExprKind::kSlice, token.line, "", std::move(value), std::move(first),
                std::move(second), std::move(third));
  }

  void Arguments(Expr& call) {
    ExpectOp("(");
    bool first = true;
    while (!IsOp(")")) {
      if (!std::exchange(first, false)) ExpectOp(",");
      if (IsOp(")")) break;
      if (IsOp("*") || IsOp("**")) Unsupported("an argument with * or **");
      if (Now().kind == Kind::kName && Ahead().kind == Kind::kOperator && Ahead().text == "=") {
        std::string name = Next().text;
        for (const auto& [known, value] : call.named)
          if (known == name)
            throw Fault(fmt::format("argument {} is given twice", name), Now().line);
        ++at_;
        ExprPtr value = Expression();
        Deepen(call, *value);
        call.named.emplace_back(std::move(name), std::move(value));
      } else {
        if (!call.named.empty()) Unexpected("a named argument");
        Add(call, Expression());
      }
    }
    ExpectOp(")");
  }

  ExprPtr Call(ExprPtr callee) {
    auto call = Tree(ExprKind::kCall, Now().line, "", std::move(callee));
    Arguments(*call);
    return call;
  }

  ExprPtr FiltersAndTests(ExprPtr value) {
    while (true) {
      if (IsOp("|"))
        value = Filter(std::move(value));
      else if (IsWord("is"))
        value = Test(std::move(value));
      else if (IsOp("("))
        value = Call(std::move(value));
      else
        return value;
    }
  }

  ExprPtr Filter(ExprPtr value) {
    const int line = Next().line;
    auto filter = Tree(ExprKind::kFilter, line, ExpectName(), std::move(value));
    if (IsOp(".")) Unsupported("a filter name with a dot");
    if (IsOp("(")) Arguments(*filter);
    return filter;
  }

  ExprPtr Test(ExprPtr value) {
    const int line = Next().line;
    const bool negated = SkipWord("not");
    auto test = Tree(ExprKind::kTest, line, ExpectName(), std::move(value));
    if (IsOp(".")) Unsupported("a test name with a dot");
    if (IsOp("(")) {
      Arguments(*test);
    } else {
      const Kind kind = Now().kind;
      const bool argument = kind == Kind::kName || kind == Kind::kString ||
                            kind == Kind::kInteger || kind == Kind::kFloat || IsOp("[") ||
                            IsOp("{");
      if (argument && !IsAnyWord({"else", "or", "and"})) {
        if (IsWord("is")) Unexpected("the end of the test; tests cannot be chained");
        Add(*test, Postfix(Primary()));
      }
    }
    if (!test->named.empty()) Unsupported("a test with named arguments");
    if (!negated) return test;
    return Tree(ExprKind::kNot, line, "", ExprPtr(std::move(test)));
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int statements_ = 0, recursion_ = 0, loops_ = 0;
};

}  // namespace

Block Parse(std::string_view source) { return Parser(Tokenize(source)).Template(); }

}  // namespace pivotal::data::jinja
