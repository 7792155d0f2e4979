// Apache-2.0.
#include "data/stop_strings.h"

#include <algorithm>
#include <utility>

#include "data/error.h"

namespace pivotal::data {

StopStrings::StopStrings(const Tokenizer& tokenizer, std::vector<std::string> texts)
    : tokenizer_(&tokenizer), texts_(std::move(texts)) {
  for (const std::string& text : texts_) {
    if (text.empty()) Fail("an empty stop string would end every response at once");
    longest_ = std::max(longest_, text.size());
  }
}

bool StopStrings::Ends(std::span<const TokenId> response) const {
  if (texts_.empty() || response.empty()) return false;
  const std::size_t own = tokenizer_->Decode(response.last(1)).size();
  // Tokens that print nothing, and bytes of a character that the window cuts, may leave less text than tokens.
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

}  // namespace pivotal::data
