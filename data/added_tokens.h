// Apache-2.0. Tokens that a model folder adds to its vocabulary, found inside a text.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>
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
  bool normalized = false;   // looked for in the normalized text (tokenizer.json only)
};

// A piece of text between added tokens (id -1), or one added token (text empty).
struct TextSegment {
  std::string_view text;
  TokenId id = -1;
};

// Cuts texts at added tokens, exactly as AddedVocabulary of Hugging Face tokenizers does: leftmost
// first, the longest of those that start at one place; what single_word rules out is text.
class AddedTokenMatcher {
 public:
  // Throws Error for a token of more than kMaxContent bytes (a search costs text times token).
  static constexpr std::size_t kMaxContent = 4096;
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);
  // `text` is UTF-8. The views point into it; no empty text is returned.
  std::vector<TextSegment> Split(std::string_view text) const;

 private:
  struct Node {
    int32_t token = -1;                              // that ends here
    std::vector<std::pair<char, int32_t>> children;  // ascending
  };
  int32_t Child(int32_t node, char byte) const;
  // The longest token that starts at `offset`, or null.
  const AddedToken* MatchAt(std::string_view text, std::size_t offset) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> trie_;
  std::array<int32_t, 256> roots_{};  // node after the first byte; 0 if there is none
};

}  // namespace pivotal::data
