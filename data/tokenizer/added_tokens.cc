// Apache-2.0.
#include "data/tokenizer/added_tokens.h"

#include <algorithm>

#include "data/base/error.h"
#include "data/base/json_input.h"
#include "data/base/utf8.h"
#include "data/tokenizer/word_scanner.h"

namespace pivotal::data {
namespace {

// Returns the start of the character that ends at `end` (> 0).
std::size_t CharBefore(std::string_view text, std::size_t end) {
  do --end;
  while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

CharClass ClassAt(std::string_view text, std::size_t offset) {
  return ClassOf(ReadUtf8(text, offset).code);
}

// Returns the start of the white space that ends at `end`.
std::size_t SpaceBefore(std::string_view text, std::size_t end) {
  while (end > 0) {
    const std::size_t start = CharBefore(text, end);
    if (!IsSpace(ClassAt(text, start))) break;
    end = start;
  }
  return end;
}

std::size_t SpaceAfter(std::string_view text, std::size_t begin) {
  while (begin < text.size() && IsSpace(ClassAt(text, begin))) {
    begin += ReadUtf8(text, begin).length;
  }
  return begin;
}

bool StandsAlone(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin == 0 || !IsWord(ClassAt(text, CharBefore(text, begin)))) &&
         (end == text.size() || !IsWord(ClassAt(text, end)));
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens)
    : tokens_(std::move(tokens)), trie_(1) {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const std::string& content = tokens_[i].content;
    if (content.empty()) continue;
    if (content.size() > kMaxContent) {
      Fail("added token {} is longer than {} bytes; remove it", Quoted(content), kMaxContent);
    }
    int32_t node = 0;
    for (const char byte : content) {
      int32_t next = Child(node, byte);
      if (next == 0) {
        next = static_cast<int32_t>(trie_.size());
        auto& children = trie_[static_cast<std::size_t>(node)].children;
        const std::pair<char, int32_t> child(byte, next);
        children.insert(std::lower_bound(children.begin(), children.end(), child), child);
        trie_.emplace_back();
      }
      node = next;
    }
    trie_[static_cast<std::size_t>(node)].token = static_cast<int32_t>(i);
  }
  for (const auto& [byte, node] : trie_[0].children) {
    roots_[static_cast<unsigned char>(byte)] = node;
  }
}

int32_t AddedTokenMatcher::Child(int32_t node, char byte) const {
  const auto& children = trie_[static_cast<std::size_t>(node)].children;
  const auto found = std::lower_bound(children.begin(), children.end(), byte,
                                      [](const auto& child, char b) { return child.first < b; });
  return found != children.end() && found->first == byte ? found->second : 0;
}

const AddedToken* AddedTokenMatcher::MatchAt(std::string_view text, std::size_t offset) const {
  const AddedToken* longest = nullptr;
  int32_t node = roots_[static_cast<unsigned char>(text[offset])];
  while (node != 0) {
    const int32_t token = trie_[static_cast<std::size_t>(node)].token;
    if (token >= 0) longest = &tokens_[static_cast<std::size_t>(token)];
    node = ++offset < text.size() ? Child(node, text[offset]) : 0;
  }
  return longest;
}

// Follows AddedVocabulary::find_matches line by line. The search continues right after each match,
// so also inside the white space that rstrip has taken. A match there that strips both sides may
// have no bytes left and is then dropped.
std::vector<TextSegment> AddedTokenMatcher::Split(std::string_view text) const {
  std::vector<TextSegment> segments;
  std::size_t begin = 0;  // start of the text that is in no segment yet
  const auto add_text = [&](std::size_t end) {
    if (begin < end) segments.push_back({text.substr(begin, end - begin), -1});
  };
  for (std::size_t i = 0; i < text.size();) {
    const AddedToken* token = MatchAt(text, i);
    if (token == nullptr) {
      ++i;
      continue;
    }
    std::size_t start = i, stop = i + token->content.size();
    i = stop;
    if (token->single_word && !StandsAlone(text, start, stop)) continue;
    if (token->lstrip) start = std::max(SpaceBefore(text, start), begin);
    if (token->rstrip) stop = SpaceAfter(text, stop);
    add_text(start);
    if (start < stop) segments.push_back({{}, token->id});
    begin = stop;
  }
  add_text(text.size());
  return segments;
}

}  // namespace pivotal::data
