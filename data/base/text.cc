// Apache-2.0.
#include "data/base/text.h"

namespace pivotal::data {

std::string_view Trim(std::string_view text, std::string_view drop) {
  const auto first = text.find_first_not_of(drop);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(drop) - first + 1);
}

void ReplaceAll(std::string& text, std::string_view pattern, std::string_view content) {
  auto at = text.find(pattern);
  if (at == std::string::npos) return;
  std::string replaced;
  replaced.reserve(text.size() + text.size() / 2);
  std::size_t begin = 0;
  for (; at != std::string::npos; at = text.find(pattern, begin)) {
    replaced.append(text, begin, at - begin).append(content);
    begin = at + pattern.size();
  }
  text = replaced.append(text, begin, std::string::npos);
}

std::optional<std::string_view> AfterReasoning(std::string_view response) {
  if (const auto end = response.rfind(kThinkEnd); end != std::string_view::npos)
    response.remove_prefix(end + kThinkEnd.size());
  if (response.find(kThinkBegin) != std::string_view::npos) return std::nullopt;
  return response;
}

}  // namespace pivotal::data
