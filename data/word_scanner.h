// Apache-2.0. How byte-level tokenizers cut text into words: the regular expressions of GPT-2,
// cl100k and o200k, written out.
//
// They give the words that Oniguruma (Hugging Face tokenizers) and fancy-regex (tiktoken) give with
// Unicode 16, in linear time. Other expressions go to SplitRegex.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace pivotal::data {

enum class WordPattern {
  kGpt2,      // Phi-1, Phi-2
  kCl100k,    // Phi-4
  kTiktoken,  // Phi-3-small: cl100k as Python's tiktoken has it; white space that ends a text is one
              // word, line ends or not
  kO200k,     // Phi-4-mini
};

// GPT-2's expression, which pre-tokenizer ByteLevel uses.
inline constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// The pattern that a regular expression of tokenizer.json spells, if it is one of the above.
std::optional<WordPattern> KnownPattern(std::string_view regex);

// End of the word that starts at `begin` (< text.size()). `text` is UTF-8; words leave no gaps.
std::size_t WordEnd(WordPattern pattern, std::string_view text, std::size_t begin);

}  // namespace pivotal::data
