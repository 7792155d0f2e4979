// Apache-2.0. Splits answers in LaTeX or plain text into tokens.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::pts {

enum class TokenKind {
  kNumber,   // digits with at most one point, as "1000.5"; "0.(3)" for 0.\overline{3}
  kWord,     // a run of ASCII letters: "x", "ab", "sin", "meters"
  kCommand,  // the name after a backslash, as "frac" or "begin pmatrix"; "{" and "}" for \{ and \}
  kText,     // the content of \text{...} and its like, trimmed
  kSign,     // one ASCII character; "\\" ends a row of a matrix
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  bool spaced = false;  // true if white space stands before the token

  bool Is(TokenKind k, std::string_view t) const { return kind == k && text == t; }
  bool IsSign(std::string_view t) const { return Is(TokenKind::kSign, t); }
  bool IsCommand(std::string_view t) const { return Is(TokenKind::kCommand, t); }
};

// Longer answers are compared as texts only.
inline constexpr std::size_t kMaxAnswerBytes = 2000;

struct LexOptions {
  bool grouped = true;  // true: "1,234" outside brackets is one number; false: it is two numbers
};

// Returns the tokens of `text`, kEnd last; nullopt if it is too long or holds bytes that no answer
// holds. Dollar signs, \left and \right, sizes, spaces and fonts are dropped. Signs of currency
// become a command before a number ("currency dollar") and are dropped elsewhere. Bars are "|" or
// commands that open and close ("lvert", "rvert", "lVert", "rVert"). Typeset characters become
// their commands ("π" is \pi, "x²" is x^{2}). Numbers may be grouped everywhere as "1{,}000",
// "1,\!000", "1\,000" and "1 000".
std::optional<std::vector<Token>> LexLatex(std::string_view text, const LexOptions& options = {});

// Returns true if `text` holds a comma that may group digits, so that both readings are worth
// trying.
bool HasGroupComma(std::string_view text);

}  // namespace pivotal::pts
