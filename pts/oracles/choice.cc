// Apache-2.0.
#include "pts/oracles/choice.h"

#include <algorithm>
#include <array>

#include "data/base/text.h"
#include "pts/oracles/math/notation.h"

namespace pivotal::pts {
using data::IsDigit;
using data::IsLetter;
using data::IsLower;
using data::Upper;

namespace {

bool IsChoice(char c) { return (c >= 'A' && c <= 'J') || (c >= 'a' && c <= 'j'); }

// Returns true for a byte of a word: letters, digits, "_", and every byte of a character beyond
// ASCII.
bool IsWord(char c) {
  return IsLetter(c) || IsDigit(c) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

// Returns true for quotes, dashes and their like: U+2000 to U+206F, in UTF-8 E2 80 xx and E2 81 80
// to E2 81 AF.
bool IsPunctuation(std::string_view character) {
  return character.starts_with("\xE2\x80") ||
         (character.starts_with("\xE2\x81") && character.size() > 2 && character[2] < '\xB0');
}

bool EndsInWord(std::string_view before) {
  if (before.empty() || !IsWord(before.back())) return false;
  return before.size() < 3 || !IsPunctuation(before.substr(before.size() - 3));
}

// Returns true for "am", and for "'m" with either apostrophe: the I of "I'm" is no choice.
bool StartsWithWord(std::string_view after) {
  for (std::string_view apostrophe : {"'", "\u2019"}) {
    if (after.starts_with(apostrophe))
      return after.size() > apostrophe.size() && IsLetter(after[apostrophe.size()]);
  }
  return !after.empty() && IsWord(after.front()) && !IsPunctuation(after);
}

bool StandsAlone(std::string_view text, std::size_t at) {
  return IsChoice(text[at]) && !EndsInWord(text.substr(0, at)) &&
         !StartsWithWord(text.substr(at + 1));
}

template <std::size_t n>
bool OneOf(std::string_view word, const std::array<std::string_view, n>& list) {
  return std::ranges::find(list, word) != list.end();
}

// Returns the letters at the beginning or the end of `text`, in lower case.
std::string FirstWord(std::string_view text) {
  const auto end = std::ranges::find_if_not(text, IsLetter) - text.begin();
  return Lower(text.substr(0, static_cast<std::size_t>(end)));
}
std::string LastWord(std::string_view text) {
  std::size_t begin = text.size();
  while (begin > 0 && IsLetter(text[begin - 1])) --begin;
  return Lower(text.substr(begin));
}

constexpr std::string_view kDecoration = " \t\r\n*_$`\"'()[]{}\\";

std::string_view WithoutDecorationBefore(std::string_view after) {
  return after.substr(std::min(after.find_first_not_of(kDecoration), after.size()));
}

// Returns true if a letter in brackets of its own stands at `at`: "(b)", "[b]".
bool IsBracketed(std::string_view text, std::size_t at) {
  if (at == 0 || at + 1 >= text.size()) return false;
  if (at > 1 && IsWord(text[at - 2])) return false;  // "f(a)"
  const std::string_view pair = text.substr(at - 1, 3);
  return (pair[0] == '(' && pair[2] == ')') || (pair[0] == '[' && pair[2] == ']');
}

// Returns true if the letter at `at` begins or is a word of a sentence: "A triangle", "a prime".
bool IsProse(std::string_view text, std::size_t at) {
  constexpr std::array<std::string_view, 17> kAfterChoice = {
      "is",    "was", "are", "has", "does", "must", "works", "fits",   "wins",
      "since", "as",  "and", "or",  "but",  "by",   "with",  "because"};
  const char c = text[at];
  if (c != 'A' && c != 'I' && !IsLower(c)) return false;
  const std::string_view after = text.substr(at + 1);
  if (!after.starts_with(' ') || after.size() < 2 || !IsLower(after[1])) return false;
  return c == 'I' || !OneOf(FirstWord(after.substr(1)), kAfterChoice);
}

// Returns true if the words before `at` say that the answer follows: "the correct option is", "so I
// choose", "\boxed{\text{(".
bool IsAnnounced(std::string_view text, std::size_t at) {
  constexpr std::array<std::string_view, 6> kMarks = {"answer",   "answers", "correct",
                                                      "solution", "choice",  "option"};
  constexpr std::array<std::string_view, 6> kDirectMarks = {"boxed", "fbox",   "choose",
                                                            "pick",  "select", "chose"};
  constexpr std::array<std::string_view, 21> kFillers = {
      "the",    "option", "choice",  "letter", "answer", "correct",   "best",
      "likely", "most",   "then",    "thus",   "text",   "textbf",    "textrm",
      "mathrm", "mathbf", "clearly", "so",     "final",  "therefore", "number"};
  constexpr std::array<std::string_view, 6> kVerbs = {"is", "are", "be", "was", "seems", "means"};
  std::string_view before = text.substr(0, at);
  bool verb = false;
  for (int words = 0; words < 8; ++words) {
    while (!before.empty() && (kDecoration.find(before.back()) != std::string_view::npos ||
                               before.back() == ':' || before.back() == '=')) {
      verb = verb || before.back() == ':' || before.back() == '=';
      before.remove_suffix(1);
    }
    const std::string word = LastWord(before);
    if (word.empty()) return false;
    before.remove_suffix(word.size());
    if (OneOf(word, kDirectMarks)) return true;
    if (verb && OneOf(word, kMarks)) return true;
    if (OneOf(word, kVerbs))
      verb = true;
    else if (!OneOf(word, kFillers))
      return false;
  }
  return false;
}

// Returns true for "D is correct", "(D) is the best answer".
bool IsApproved(std::string_view after) {
  constexpr std::array<std::string_view, 4> kPraise = {"correct", "right", "best", "answer"};
  after = WithoutDecorationBefore(after);
  for (std::string_view skipped : {"is", "the"}) {
    const std::string word = FirstWord(after);
    if (word != skipped) {
      if (skipped == "is") return false;
      continue;
    }
    after = WithoutDecorationBefore(after.substr(word.size()));
  }
  return OneOf(FirstWord(after), kPraise);
}

// Returns the other letters of "B or C", "(B) and (C)" and "A, B, or C" after the letter that ends
// at `end`. "D and A is too small" has none, nor has "D, A".
std::string JoinedLetters(std::string_view text, std::size_t end) {
  std::string letters, listed;  // those behind a comma count once a word joins another
  for (;;) {
    std::string_view rest = WithoutDecorationBefore(text.substr(end));
    const bool comma = rest.starts_with(',');
    if (comma) rest = WithoutDecorationBefore(rest.substr(1));
    const std::string word = FirstWord(rest);
    const bool sign = rest.starts_with('/') || rest.starts_with('&');
    const bool joins = word == "or" || word == "and" || sign;
    if (!joins && !comma) return letters;
    if (joins) rest = WithoutDecorationBefore(rest.substr(sign ? 1 : word.size()));
    const auto at = static_cast<std::size_t>(rest.data() - text.data());
    if (rest.empty() || !StandsAlone(text, at)) return letters;
    if (!joins) {
      listed += Upper(rest[0]);
    } else if (FirstWord(WithoutDecorationBefore(rest.substr(1))).empty()) {
      letters += listed + Upper(rest[0]);
      listed.clear();
    } else {
      return letters;
    }
    end = at + 1;
  }
}

std::string SortedLetters(std::string letters) {
  std::ranges::sort(letters);
  letters.erase(std::unique(letters.begin(), letters.end()), letters.end());
  return letters;
}

}  // namespace

std::optional<std::string> LastChoice(std::string_view text) {
  for (std::size_t at = text.size(); at-- > 0;) {
    if (!StandsAlone(text, at) || (IsProse(text, at) && !IsBracketed(text, at))) continue;
    if (IsAnnounced(text, at) || (!IsLower(text[at]) && IsApproved(text.substr(at + 1))))
      return SortedLetters(Upper(text[at]) + JoinedLetters(text, at + 1));
  }
  const auto bare = data::Trim(text, " \t\r\n*$`\"'()[]{}.");
  if (bare.size() == 1 && IsChoice(bare[0])) return std::string(1, Upper(bare[0]));
  for (std::size_t at = text.size(); at-- > 0;) {
    if (!StandsAlone(text, at)) continue;
    if (IsBracketed(text, at) || (!IsLower(text[at]) && !IsProse(text, at)))
      return std::string(1, Upper(text[at]));
  }
  return std::nullopt;
}

}  // namespace pivotal::pts
