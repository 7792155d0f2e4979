// Apache-2.0. What kind of character a code point is, in Unicode 16 as Hugging Face tokenizers has
// it: PCRE2's own tables may be older than the texts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pivotal::data {

enum class CharClass : uint8_t {
  kOther,
  kUpper,        // \p{Lu} or \p{Lt}
  kLower,        // \p{Ll}
  kLetter,       // \p{Lm} or \p{Lo}
  kMark,         // \p{M}
  kNumber,       // \p{N}, part of a word
  kNumberSign,   // \p{N}, no part of a word (superscripts, fractions)
  kSpace,        // White_Space
  kConnector,    // part of a word (\w), none of the above: '_', joiners, circled letters
};

// `code` is below 0x110000.
CharClass ClassOf(char32_t code);

inline bool IsLetter(CharClass c) { return c >= CharClass::kUpper && c <= CharClass::kLetter; }
inline bool IsNumber(CharClass c) {
  return c == CharClass::kNumber || c == CharClass::kNumberSign;
}
inline bool IsSpace(CharClass c) { return c == CharClass::kSpace; }
// \w: letters, marks, decimal digits, connectors.
inline bool IsWord(CharClass c) {
  return (c >= CharClass::kUpper && c <= CharClass::kNumber) || c == CharClass::kConnector;
}

}  // namespace pivotal::data
