// Apache-2.0.
#include "pts/oracles/math_oracle.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string>
#include <vector>

#include "pts/oracles/final_answer.h"
#include "pts/oracles/math_compare.h"
#include "pts/oracles/math_parser.h"
#include "pts/oracles/math_words.h"

namespace pivotal::pts {
namespace {

bool IsWords(const std::vector<Token>& tokens) {
  return std::ranges::all_of(tokens, [](const Token& token) {
    return token.kind == TokenKind::kWord || token.kind == TokenKind::kText ||
           token.kind == TokenKind::kEnd || token.IsSign("{") || token.IsSign("}") ||
           token.IsSign(".");
  });
}

// The tokens in one spelling: of words without braces; nullopt for an empty text.
std::optional<std::string> PlainText(std::string_view text) {
  const auto tokens = LexLatex(text);
  if (!tokens) return std::string(text);
  const bool words = IsWords(*tokens);
  std::string plain;
  for (const Token& token : *tokens) {
    if (words && token.kind == TokenKind::kSign) continue;
    if (token.kind == TokenKind::kCommand) plain += '\\';
    if (token.kind == TokenKind::kNumber && token.spaced && !plain.empty()) plain += ' ';
    for (std::size_t i = 0; i < token.text.size(); ++i) {
      const bool before_digit =
          i + 1 < token.text.size() && std::isdigit(static_cast<unsigned char>(token.text[i + 1]));
      if (token.text[i] != ' ' || before_digit) plain += token.text[i];
    }
  }
  if (plain.empty()) return std::nullopt;
  return plain;
}

// Variables keep their case, words do not.
bool SamePlain(const std::string& a, const std::string& b) {
  if (a == b) return true;
  const bool word =
      std::ranges::count_if(a, [](unsigned char c) { return std::isalpha(c) != 0; }) > 2;
  return word && a.find_first_of("\\+-*/^_=<>()") == std::string::npos && Lower(a) == Lower(b);
}

// Without the braces around all of it.
std::string_view Unbraced(std::string_view text) {
  while (text.size() > 2 && text.front() == '{' && text.find('}') == text.size() - 1)
    text = text.substr(1, text.size() - 2);
  return text;
}

// The letter of "(E)" where that is all; 0 for others.
char ChoiceLetter(std::string_view plain) {
  plain = Unbraced(plain);
  const bool letter =
      plain.size() >= 3 && plain[0] == '(' && plain[2] == ')' && plain[1] >= 'A' && plain[1] <= 'J';
  return letter ? plain[1] : '\0';
}

bool SameMath(std::string_view a, std::string_view b, bool grouped) {
  const auto x = ParseMath(a, {grouped});
  const auto y = x ? ParseMath(b, {grouped}) : std::nullopt;
  return x && y && SameAnswer(*x, *y);
}

// The first reading that is mathematics, else the first.
std::optional<std::string> Read(std::string_view text) {
  const auto answers = FinalAnswers(text);
  for (const std::string& answer : answers)
    if (ParseMath(answer)) return answer;
  return answers.empty() ? std::nullopt : std::optional(answers[0]);
}

// References are answers, or solutions that end in one.
std::optional<std::string> ReadReference(std::string_view answer) {
  if (auto boxed = BoxedAnswer(answer)) return boxed;
  std::string text(answer);
  if (!PlainText(text)) return std::nullopt;
  const bool solution =
      text.find('\n') != std::string::npos || text.find(". ") != std::string::npos;
  if (!solution || ParseMath(text)) return text;
  return Read(text);
}

}  // namespace

bool SameMathText(std::string_view reference, std::string_view response) {
  const auto x = PlainText(Unbraced(reference)), y = PlainText(Unbraced(response));
  if (!x || !y) return false;
  if (SamePlain(*x, *y)) return true;
  if (const char letter = ChoiceLetter(*x); letter != 0 && x->size() == 3 && y->size() > 3)
    return ChoiceLetter(*y) == letter;
  if (SameMath(reference, response, true)) return true;
  return (HasGroupComma(reference) || HasGroupComma(response)) &&
         SameMath(reference, response, false);
}

bool MathOracle::Judge(const Attempt& attempt) const {
  const auto said = BehindReasoning(attempt.response);
  const auto want = said ? ReadReference(attempt.answer) : std::nullopt;
  const auto answer = want ? Read(*said) : std::nullopt;
  return answer && SameMathText(*want, *answer);
}

bool MathOracle::CanRead(std::string_view answer) const {
  return ReadReference(answer).has_value();
}

}  // namespace pivotal::pts
