// Apache-2.0. What an answer says, as a tree.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pts/oracles/rational.h"

namespace pivotal::pts {

enum class MathKind {
  kNumber,        // number
  kSymbol,        // name: "x", "x_1", "\pi", "e", "i", "\infty", "\mathbb{R}"
  kSum,           // args
  kProduct,       // args
  kQuotient,      // two args
  kNegate,        // one
  kPower,         // base, exponent
  kFunction,      // name and args: "sin", "log" (x, base), "root" (x, n), "abs", "factorial", ...
  kPlusMinus,     // name "+-" or "-+"; args: right, or left and right
  kPercent,       // one
  kDegrees,       // one: an angle, in degrees
  kBased,         // name: the digits; args: the base (4343_6)
  kBracket,       // name: both delimiters, "()", "[)", "::"; args in order: points and intervals
  kSet,           // args in any order, without counting
  kList,          // args in any order
  kUnion,         // args in any order
  kIntersection,  // args in any order
  kDifference,    // two sets
  kMatrix,        // rows of equal length one after the other; name: "" or "v" (a determinant)
  kRelation,      // args joined by relations[i]: "=", "!=", "<", "<=", ">", ">=", "in", "~"
  kText,          // name: words, lower case
};

struct MathNode;
using Math = std::shared_ptr<const MathNode>;  // depth is bounded by the parser

struct MathNode {
  MathKind kind = MathKind::kNumber;
  Rational number;
  std::string name;
  std::vector<Math> args;
  std::vector<std::string> relations;
  std::size_t rows = 0;  // of a matrix
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

inline bool Is(const Math& m, MathKind kind) { return m->kind == kind; }
inline bool IsSymbol(const Math& m, std::string_view name) {
  return m->kind == MathKind::kSymbol && m->name == name;
}

// True if some node of the tree satisfies `test`.
template <typename Test>
bool AnyNode(const Math& m, const Test& test) {
  if (test(*m)) return true;
  for (const Math& arg : m->args)
    if (AnyNode(arg, test)) return true;
  return false;
}

// True for symbols that stand for no value of their own: all but \pi, e, i and \infty.
inline bool IsVariable(const MathNode& m) {
  return m.kind == MathKind::kSymbol && m.name != "\\pi" && m.name != "e" && m.name != "i" &&
         m.name != "\\infty";
}
inline bool HasVariable(const Math& m) { return AnyNode(m, IsVariable); }

}  // namespace pivotal::pts
