// Apache-2.0.
#include "pts/oracles/choice.h"

namespace pivotal::pts {
namespace {

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Part of a word: letters, digits, "_", and every byte of a character beyond ASCII.
bool IsWord(char c) {
  return IsLetter(c) || (c >= '0' && c <= '9') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

// Quotes, dashes and their like: U+2000 to U+206F, in UTF-8 E2 80 xx and E2 81 80 to E2 81 AF.
bool IsPunctuation(std::string_view character) {
  return character.starts_with("\xE2\x80") ||
         (character.starts_with("\xE2\x81") && character.size() > 2 && character[2] < '\xB0');
}

bool EndsInWord(std::string_view before) {
  if (before.empty() || !IsWord(before.back())) return false;
  return before.size() < 3 || !IsPunctuation(before.substr(before.size() - 3));
}

// True for "am", and for "'m" with either apostrophe: the I of "I'm" is no choice.
bool StartsWithWord(std::string_view after) {
  for (std::string_view apostrophe : {"'", "\u2019"}) {
    if (after.starts_with(apostrophe))
      return after.size() > apostrophe.size() && IsLetter(after[apostrophe.size()]);
  }
  return !after.empty() && IsWord(after.front()) && !IsPunctuation(after);
}

}  // namespace

std::optional<std::string> LastChoice(std::string_view text) {
  for (std::size_t at = text.size(); at-- > 0;) {
    const bool letter = text[at] >= 'A' && text[at] <= 'J';
    if (letter && !EndsInWord(text.substr(0, at)) && !StartsWithWord(text.substr(at + 1)))
      return std::string(1, text[at]);
  }
  return std::nullopt;
}

}  // namespace pivotal::pts
