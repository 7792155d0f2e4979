// Apache-2.0. How byte-level tokenizers cut text into words: the regular expressions of GPT-2,
// cl100k and o200k as hand-written scanners, and the character classes that they need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pivotal::data {

// Classes of characters in Unicode 16, as Hugging Face tokenizers has it. PCRE2's own tables may be
// older than the texts.
enum class CharClass : uint8_t {
  kOther,
  kUpper,       // \p{Lu} or \p{Lt}
  kLower,       // \p{Ll}
  kLetter,      // \p{Lm} or \p{Lo}
  kMark,        // \p{M}
  kNumber,      // \p{N} and \w
  kNumberSign,  // \p{N} but not \w: superscripts and fractions
  kSpace,       // White_Space
  kConnector,   // \w and none of the above: '_', joiners, circled letters
};

// Returns the class of `code`, which is below 0x110000.
CharClass ClassOf(char32_t code);

inline bool IsLetter(CharClass c) { return c >= CharClass::kUpper && c <= CharClass::kLetter; }
inline bool IsNumber(CharClass c) { return c == CharClass::kNumber || c == CharClass::kNumberSign; }
inline bool IsSpace(CharClass c) { return c == CharClass::kSpace; }
// \w: letters, marks, decimal digits and connectors.
inline bool IsWord(CharClass c) {
  return (c >= CharClass::kUpper && c <= CharClass::kNumber) || c == CharClass::kConnector;
}

// The regular expressions that have a scanner. It finds the words that Oniguruma (Hugging Face
// tokenizers) and fancy-regex (tiktoken) find with Unicode 16, in linear time.
enum class WordPattern {
  kGpt2,      // Phi-1, Phi-2
  kCl100k,    // Phi-4
  kTiktoken,  // Phi-3-small: cl100k in Python's tiktoken, where white space that ends a text is one
              // word even if it holds line ends
  kO200k,     // Phi-4-mini
};

// GPT-2's expression, which the pre-tokenizer ByteLevel uses.
inline constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Returns the pattern that a regular expression of tokenizer.json spells, if it has a scanner.
std::optional<WordPattern> KnownPattern(std::string_view regex);

// Returns the end of the word that starts at the byte `begin` (< text.size()) of `text` (UTF-8).
// Words leave no gaps.
std::size_t WordEnd(WordPattern pattern, std::string_view text, std::size_t begin);

}  // namespace pivotal::data
