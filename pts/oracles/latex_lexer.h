// Apache-2.0. LaTeX (and plain text) of answers, cut into tokens.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::pts {

enum class TokenKind {
  kNumber,   // digits with at most one point: "1000.5"; "0.(3)" for 0.\overline{3}
  kWord,     // a run of ASCII letters: "x", "ab", "sin", "meters"
  kCommand,  // name behind the backslash: "frac"; "begin pmatrix"; "{" and "}" for \{ and \}
  kText,     // what \text{...} and its like hold, trimmed
  kSign,     // one ASCII character; "\\" ends a row
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  bool spaced = false;  // white space stands before it

  bool Is(TokenKind k, std::string_view t) const { return kind == k && text == t; }
  bool IsSign(std::string_view t) const { return Is(TokenKind::kSign, t); }
  bool IsCommand(std::string_view t) const { return Is(TokenKind::kCommand, t); }
};

// Answers longer than this are compared as texts alone.
inline constexpr std::size_t kMaxAnswerBytes = 2000;

struct LexOptions {
  bool grouped = true;  // "1,234" outside brackets is one number; else two with a comma between
};

// The tokens of `text`, kEnd last; nullopt where it is too long or holds bytes that no answer
// holds. Dropped: dollar signs, currency, \left and \right, sizes, spaces and fonts. Typeset
// characters become their commands ("π" is \pi, "x²" is x^{2}). "1{,}000", "1,\!000", "1\,000" and
// "1 000" are numbers with groups everywhere.
std::optional<std::vector<Token>> LexLatex(std::string_view text, const LexOptions& options = {});

// True if `text` holds a comma that may group digits, so that both readings are worth trying.
bool HasGroupComma(std::string_view text);

}  // namespace pivotal::pts
