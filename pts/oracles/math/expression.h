// Apache-2.0. Expression trees of answers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pts/oracles/math/number.h"

namespace pivotal::pts {

// The kind of a node, and which members of MathNode it uses.
enum class MathKind {
  kNumber,    // the member `number`
  kSymbol,    // name: "x", "x_1", "\pi", "e", "i", "\infty", "\mathbb{R}"
  kSum,       // args
  kProduct,   // args
  kQuotient,  // args: dividend, divisor
  kNegate,    // one arg
  kPower,     // args: base, exponent
  // name: "sin", "log" (x, base), "root" (x, n), "abs", "factorial", ...; args. "sum" and "product"
  // have the term, its variable (renamed to \bound) and both bounds
  kFunction,
  kPlusMinus,  // name: "+-" or "-+"; args: right, or left and right
  kPercent,    // one arg
  kDegrees,    // one arg: an angle in degrees
  // name: what is measured, as "length", "length^2", "a.m." or "mod"; number: the size of the unit;
  // args: the number before the unit and, of "mod", the modulus. Only known units are kept.
  kUnit,
  kBased,  // name: the digits; args: the base (4343_6)
  // name: both delimiters, "()", "[)" or "::" (a ratio); args in order: points, intervals, ratios
  kBracket,
  kSet,           // args in any order, repetitions without meaning
  kList,          // args in any order; name: "and" or "or" if such a word joins them
  kUnion,         // args in any order
  kIntersection,  // args in any order
  kDifference,    // args: two sets
  kMatrix,  // args: rows of equal length, one after the other; name: "" or "v" (a determinant)
  // args joined by relations[i]: "=", "!=", "<", "<=", ">", ">=", "in", "~" (approximately)
  kRelation,
  kText,  // name: words in lower case
};

struct MathNode;
using Math = std::shared_ptr<const MathNode>;  // the parser bounds the depth

struct MathNode {
  MathKind kind = MathKind::kNumber;
  Rational number;
  std::string name;
  std::vector<Math> args;
  std::vector<std::string> relations;
  std::size_t rows = 0;  // number of rows of a matrix
};

inline Math MakeMath(MathKind kind, std::vector<Math> args, std::string name = "") {
  auto node = std::make_shared<MathNode>();
  node->kind = kind;
  node->args = std::move(args);
  node->name = std::move(name);
  return node;
}
inline Math MakeNumber(Rational number) {
  auto node = std::make_shared<MathNode>();
  node->number = std::move(number);
  return node;
}
inline Math MakeSymbol(std::string name) {
  return MakeMath(MathKind::kSymbol, {}, std::move(name));
}

inline Math MakeUnit(std::vector<Math> args, std::string name, Rational size) {
  auto node = std::make_shared<MathNode>();
  node->kind = MathKind::kUnit;
  node->args = std::move(args);
  node->name = std::move(name);
  node->number = std::move(size);
  return node;
}

inline bool Is(const Math& m, MathKind kind) { return m->kind == kind; }
inline bool IsSymbol(const Math& m, std::string_view name) {
  return m->kind == MathKind::kSymbol && m->name == name;
}

// Returns 1 for infinity, -1 for its negative, 0 for anything else.
inline int InfinitySign(const Math& m) {
  if (IsSymbol(m, "\\infty")) return 1;
  return Is(m, MathKind::kNegate) ? -InfinitySign(m->args[0]) : 0;
}

// Returns true if some node of the tree satisfies `test`.
template <typename Test>
bool AnyNode(const Math& m, const Test& test) {
  if (test(*m)) return true;
  for (const Math& arg : m->args)
    if (AnyNode(arg, test)) return true;
  return false;
}

// Returns true for symbols without a value of their own: all but \pi, e, i and \infty.
inline bool IsVariable(const MathNode& m) {
  return m.kind == MathKind::kSymbol && m.name != "\\pi" && m.name != "e" && m.name != "i" &&
         m.name != "\\infty";
}
inline bool HasVariable(const Math& m) { return AnyNode(m, IsVariable); }

}  // namespace pivotal::pts
