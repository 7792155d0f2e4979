// Apache-2.0. Tokens that a model folder adds to its vocabulary.
#include "data/added_tokens.h"

#include <algorithm>
#include <utility>

namespace pivotal::data {
namespace {

// Bytes of the white space character (Unicode's White_Space) at the start of `text`, else 0.
std::size_t WhiteSpaceAt(std::string_view text) {
  if (text.empty()) return 0;
  if (text[0] == ' ' || (text[0] >= '\t' && text[0] <= '\r')) return 1;
  if (text.starts_with("\u0085") || text.starts_with("\u00A0")) return 2;
  static constexpr std::array<std::string_view, 6> kOthers = {"\u1680", "\u2028", "\u2029",
                                                              "\u202F", "\u205F", "\u3000"};
  const std::string_view three = text.substr(0, 3);
  if (std::find(kOthers.begin(), kOthers.end(), three) != kOthers.end()) return 3;
  return three >= "\u2000" && three <= "\u200A" && three.size() == 3 ? 3 : 0;
}

std::string_view TrimRight(std::string_view text) {
  for (bool trimmed = true; trimmed;) {
    trimmed = false;
    for (std::size_t n = 1; n <= std::min<std::size_t>(3, text.size()) && !trimmed; ++n) {
      trimmed = WhiteSpaceAt(text.substr(text.size() - n)) == n;
      if (trimmed) text.remove_suffix(n);
    }
  }
  return text;
}

// Letters beyond ASCII count as part of a word without a look at Unicode's tables.
bool IsWordByte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
         (c >= 'a' && c <= 'z') || c == '_';
}

bool StandsAlone(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin == 0 || !IsWordByte(text[begin - 1])) &&
         (end == text.size() || !IsWordByte(text[end]));
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) {
  std::stable_sort(tokens.begin(), tokens.end(), [](const AddedToken& a, const AddedToken& b) {
    return a.content.size() > b.content.size();
  });
  for (AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    by_first_byte_[static_cast<unsigned char>(token.content[0])].push_back(std::move(token));
  }
}

const AddedToken* AddedTokenMatcher::MatchAt(std::string_view text, std::size_t offset) const {
  for (const AddedToken& token : by_first_byte_[static_cast<unsigned char>(text[offset])]) {
    if (!text.substr(offset).starts_with(token.content)) continue;
    if (token.single_word && !StandsAlone(text, offset, offset + token.content.size())) continue;
    return &token;
  }
  return nullptr;
}

std::vector<TextSegment> AddedTokenMatcher::Split(std::string_view text) const {
  std::vector<TextSegment> segments;
  const auto add_text = [&](std::string_view part) {
    if (!part.empty()) segments.push_back({part, -1});
  };
  std::size_t begin = 0;  // of the text that is not yet given out
  for (std::size_t i = 0; i < text.size();) {
    const AddedToken* token = MatchAt(text, i);
    if (token == nullptr) {
      ++i;
      continue;
    }
    const std::string_view before = text.substr(begin, i - begin);
    add_text(token->lstrip ? TrimRight(before) : before);
    segments.push_back({{}, token->id});
    i += token->content.size();
    while (token->rstrip) {
      const std::size_t blank = WhiteSpaceAt(text.substr(i));
      if (blank == 0) break;
      i += blank;
    }
    begin = i;
  }
  add_text(text.substr(begin));
  return segments;
}

}  // namespace pivotal::data
