// Apache-2.0.
#include "data/tokenizer/response_text.h"

#include <algorithm>
#include <span>
#include <utility>

#include "data/base/error.h"

namespace pivotal::data {
namespace {

// Decode() prints this for a byte that belongs to no character, or to none yet.
constexpr std::string_view kNoCharacter = "\uFFFD";
constexpr std::size_t kUnfinishedBytes = 3;  // most bytes of an unfinished character
constexpr std::size_t kManyPending = 8;

}  // namespace

void RequireStopStrings(std::span<const std::string> texts) {
  for (const std::string& text : texts)
    if (text.empty()) Fail("an empty stop string would end every response at once");
}

StopStrings::StopStrings(const Tokenizer& tokenizer, std::vector<std::string> texts)
    : tokenizer_(&tokenizer), texts_(std::move(texts)) {
  RequireStopStrings(texts_);
  for (const std::string& text : texts_) longest_ = std::max(longest_, text.size());
}

bool StopStrings::Ends(std::span<const TokenId> response) const {
  if (texts_.empty() || response.empty()) return false;
  const std::size_t own = tokenizer_->Decode(response.last(1)).size();
  // The last tokens may decode to little text: some print nothing, and the first may hold the end
  // of a character. So the window grows until its text is long enough.
  constexpr std::size_t kCut = 8;
  for (std::size_t count = longest_;; count *= 2) {
    const auto end = response.last(std::min(count, response.size()));
    const std::string text = tokenizer_->Decode(end);
    if (end.size() == response.size() || text.size() >= own + longest_ + kCut)
      return Before(text).size() < text.size();
  }
}

std::string_view StopStrings::Before(std::string_view text) const {
  std::size_t end = text.size();
  for (const std::string& stop : texts_) end = std::min(end, text.find(stop));
  return text.substr(0, end);
}

std::string_view StopStrings::Certain(std::string_view text) const {
  const std::string_view before = Before(text);
  if (before.size() < text.size()) return before;
  std::size_t held = 0;
  for (const std::string& stop : texts_) {
    for (std::size_t size = std::min(stop.size() - 1, text.size()); size > held; --size)
      if (text.ends_with(std::string_view(stop).substr(0, size))) held = size;
  }
  return text.substr(0, text.size() - held);
}

std::string StreamDecoder::Print(std::string_view text, std::size_t end) {
  if (end <= printed_) return {};
  std::string piece(text.substr(printed_, end - printed_));
  printed_ = end;
  return piece;
}

std::string StreamDecoder::Add(TokenId token) {
  // A token that prints nothing finishes no character, but it may separate bytes.
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

// Prints and drops tokens whose bytes no later token can complete to a character. It cuts where the
// two parts print what the whole prints, so that no character is cut, and where so many bytes
// follow that a character that begins before the cut would be complete.
std::string StreamDecoder::Settle(std::string_view text) {
  for (std::size_t k = printing_.size() - kUnfinishedBytes; k > 0; --k) {
    const auto all = std::span<const TokenId>(pending_);
    const std::size_t cut = printing_[k];
    const std::string head = tokenizer_.Decode(all.first(cut), at_start_);
    if (head + tokenizer_.Decode(all.subspan(cut)) != text) continue;
    std::string piece = Print(text, head.size());
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(cut));
    printing_.erase(printing_.begin(), printing_.begin() + static_cast<std::ptrdiff_t>(k));
    for (std::size_t& index : printing_) index -= cut;
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
