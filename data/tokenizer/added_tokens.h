// Apache-2.0. Tokens that a model folder adds to its vocabulary, and their search in a text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pivotal/tokenizer.h"

namespace pivotal::data {

// An entry of Hugging Face's added_tokens_decoder.
struct AddedToken {
  TokenId id = -1;
  std::string content;       // UTF-8, not empty
  bool special = false;      // prints nothing when decoded
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool single_word = false;  // matches only between characters that are not \w
  bool normalized = false;   // is searched in the normalized text (tokenizer.json only)
};

// A part of a text: one added token, or the text between two of them.
struct TextSegment {
  std::string_view text;  // empty for an added token
  TokenId id = -1;        // -1 for text
};

// Splits texts at added tokens as AddedVocabulary of Hugging Face tokenizers does: the leftmost
// match first, of several that start at one byte the longest. A match that single_word rejects
// remains text.
class AddedTokenMatcher {
 public:
  // Maximum size of a token in bytes; a search costs the size of the text times that of a token.
  static constexpr std::size_t kMaxContent = 4096;
  // Throws Error for a longer token.
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);
  // Returns the segments of `text` (UTF-8), none of them empty. Their views point into `text`.
  std::vector<TextSegment> Split(std::string_view text) const;

 private:
  struct Node {
    int32_t token = -1;                              // index of the token that ends here
    std::vector<std::pair<char, int32_t>> children;  // in ascending order
  };
  int32_t Child(int32_t node, char byte) const;
  // Returns the longest token that starts at `offset`, or null.
  const AddedToken* MatchAt(std::string_view text, std::size_t offset) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> trie_;
  std::array<int32_t, 256> roots_{};  // node after the first byte; 0 if no token begins so
};

}  // namespace pivotal::data
