// Apache-2.0. Tokens that a model folder adds to its vocabulary, found inside a text.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer.h"

namespace pivotal::data {

// As in Hugging Face's added_tokens_decoder.
struct AddedToken {
  TokenId id = -1;
  std::string content;       // not empty, UTF-8
  bool special = false;      // prints nothing when decoded
  bool lstrip = false;       // swallows the white space before it ...
  bool rstrip = false;       // ... and after it
  bool single_word = false;  // only between characters that are no letters, digits or '_'
};

// A piece of text between added tokens (id -1), or one added token (text empty).
struct TextSegment {
  std::string_view text;
  TokenId id = -1;
};

// Cuts texts at added tokens: leftmost first, the longest of those that start at one place.
class AddedTokenMatcher {
 public:
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);
  // `text` is UTF-8. The views point into it; no empty text is returned.
  std::vector<TextSegment> Split(std::string_view text) const;

 private:
  const AddedToken* MatchAt(std::string_view text, std::size_t offset) const;

  std::array<std::vector<AddedToken>, 256> by_first_byte_;  // longest first
};

}  // namespace pivotal::data
