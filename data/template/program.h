// Apache-2.0. A chat template as a syntax tree: Parse() builds it, Render() evaluates it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/template/value.h"

namespace pivotal::data::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<const Expr>;

enum class ExprKind {
  kConstant,   // constant
  kName,       // text
  kList,       // parts
  kTuple,      // parts
  kDict,       // parts: key, value, key, value ...
  kAttribute,  // parts[0].text
  kItem,       // parts[0][parts[1]]
  kSlice,      // parts[0][parts[1]:parts[2]:parts[3]]; absent bounds are null
  kCall,       // parts[0](parts[1] ..., named)
  kFilter,     // parts[0] | text(parts[1] ..., named); parts[0] is null in {% set x | text %}
  kTest,       // parts[0] is text(parts[1] ...)
  kNegative,
  kPositive,
  kNot,
  kAnd,
  kOr,
  kBinary,     // parts[0] text parts[1]; text is + - * / // %
  kConcat,     // parts joined by ~
  kCompare,    // parts[0] operators[0] parts[1] operators[1] parts[2] ..., as Python chains them
  kCondition,  // parts[0] if parts[1] else parts[2]; parts[2] may be null
};

struct Expr {
  ExprKind kind;
  int line;
  std::string text;
  Value constant;
  std::vector<ExprPtr> parts;
  std::vector<std::pair<std::string, ExprPtr>> named;  // keyword arguments of a call or filter
  std::vector<std::string> operators;
  int depth = 1;  // levels of this expression tree; the parser bounds it
};

// The left side of an assignment: a name, a namespace's attribute (name.attribute), or several
// names that a sequence is unpacked into.
struct Target {
  std::vector<std::string> names;
  std::string attribute;  // set: names[0] is a namespace, and this attribute of it is assigned
  bool unpacks = false;
};

struct Statement;
using Block = std::vector<Statement>;

enum class StatementKind {
  kText,      // text
  kOutput,    // value
  kIf,        // branches, otherwise
  kFor,       // target, value, condition (may be null), body, otherwise
  kSet,       // target, value
  kSetBlock,  // target, value (a kFilter without parts[0], or null), body
  kScope,     // body, in a variable scope of its own: {% generation %}
  kBreak,
  kContinue,
};

struct Branch;

struct Statement {
  StatementKind kind;
  int line;
  std::string text;
  Target target;
  ExprPtr value, condition;
  std::vector<Branch> branches;
  Block body, otherwise;
};

struct Branch {
  ExprPtr condition;
  Block body;
};

// Parses the text of a template (UTF-8). Throws Fault with its line for bad syntax, for a construct
// outside the supported subset (data/template/chat_template.h), and for nesting deeper than 50
// statements or 200 expressions.
Block Parse(std::string_view source);

using Variables = std::vector<std::pair<std::string, Value>>;

// Returns the text that the template produces. Throws Fault with its line.
std::string Render(const Block& block, const Variables& variables);

}  // namespace pivotal::data::jinja
