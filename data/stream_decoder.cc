// Apache-2.0. Decodes a response token by token.
#include "data/stream_decoder.h"

#include <span>

namespace pivotal::data {
namespace {

// What Decode prints for a byte that belongs to no character, or to none yet.
constexpr std::string_view kNoCharacter = "\uFFFD";
constexpr std::size_t kUnfinishedBytes = 3;  // a character has at most one more
constexpr std::size_t kManyPending = 8;

}  // namespace

std::string StreamDecoder::Print(std::string_view text, std::size_t end) {
  if (end <= printed_) return {};
  std::string piece(text.substr(printed_, end - printed_));
  printed_ = end;
  return piece;
}

std::string StreamDecoder::Add(TokenId token) {
  // A token that prints nothing finishes no character; it may still keep bytes apart.
  if (tokenizer_.Decode({&token, 1}).empty()) {
    if (!pending_.empty()) pending_.push_back(token);
    return {};
  }
  printing_.push_back(pending_.size());
  pending_.push_back(token);
  const std::string text = tokenizer_.Decode(pending_, at_start_);
  std::size_t end = text.size();
  while (std::string_view(text).substr(0, end).ends_with(kNoCharacter)) end -= kNoCharacter.size();
  std::string piece = Print(text, end);
  if (end == text.size()) {
    Forget();
  } else if (printing_.size() > kManyPending) {
    piece += Settle(text);
  }
  return piece;
}

// Prints and drops tokens whose bytes no later token can complete to a character. A cut is good if the
// parts print what the whole prints (it goes through no character) and enough bytes lie behind it
// that a character that begins before it would be finished.
std::string StreamDecoder::Settle(std::string_view text) {
  for (std::size_t k = printing_.size() - kUnfinishedBytes; k > 0; --k) {
    const auto all = std::span<const TokenId>(pending_);
    const std::size_t cut = printing_[k];
    const std::string head = tokenizer_.Decode(all.first(cut), at_start_);
    if (head + tokenizer_.Decode(all.subspan(cut)) != text) continue;
    std::string piece = Print(text, head.size());
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(cut));
    printing_.erase(printing_.begin(), printing_.begin() + static_cast<std::ptrdiff_t>(k));
    for (std::size_t& place : printing_) place -= cut;
    printed_ -= head.size();
    at_start_ = false;
    return piece;
  }
  return {};
}

void StreamDecoder::Forget() {
  pending_.clear();
  printing_.clear();
  printed_ = 0;
  at_start_ = false;
}

std::string StreamDecoder::Finish() {
  const std::string text = tokenizer_.Decode(pending_, at_start_);
  std::string piece = Print(text, text.size());
  Forget();
  return piece;
}

}  // namespace pivotal::data
