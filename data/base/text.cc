// Apache-2.0.
#include "data/base/text.h"

#include <algorithm>
#include <array>

#include "data/base/utf8.h"

namespace pivotal::data {
namespace {

// Tokens that end a turn. No text has them by chance, so what follows the first is another turn.
constexpr std::array<std::string_view, 11> kTurnEnds = {"<|im_end|>",
                                                        "<|endoftext|>",
                                                        "<|end|>",
                                                        "<|eot_id|>",
                                                        "<|eom_id|>",
                                                        "<|end_of_text|>",
                                                        "<|return|>",
                                                        "<|eos|>",
                                                        "<|end_of_turn|>",
                                                        "<end_of_turn>",
                                                        "<\uff5cend\u2581of\u2581sentence\uff5c>"};
// Tokens that may also stand inside a text, as </s> does in HTML: only those at its end count.
constexpr std::array<std::string_view, 4> kLastTokens = {"</s>", "<eos>", "<pad>", "<|pad|>"};

std::string_view BeforeTurnEnd(std::string_view text) {
  std::size_t end = text.size();
  for (std::string_view token : kTurnEnds) end = std::min(end, text.find(token));
  text = text.substr(0, end);
  for (bool more = true; more;) {
    const auto body = text.substr(0, text.find_last_not_of(kWhiteSpace) + 1);
    more = false;
    for (std::string_view token : kLastTokens) {
      if (!body.ends_with(token)) continue;
      text = body.substr(0, body.size() - token.size());
      more = true;
      break;
    }
  }
  return text;
}

}  // namespace

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

namespace {

bool IsUnseen(char32_t code) {
  const auto within = [=](char32_t first, char32_t last) { return code >= first && code <= last; };
  return within(0x80, 0x9F) || code == 0x61C || within(0x200E, 0x200F) || within(0x2028, 0x202E) ||
         within(0x2066, 0x2069);
}

}  // namespace

std::string Visible(std::string_view text, std::string_view keep) {
  std::string visible;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = Utf8LengthAt(text, at);
    const char32_t code = length > 0 ? ReadUtf8(text, at).code : 0x80;
    const auto character = text.substr(at, std::max<std::size_t>(length, 1));
    if (code == 0x7F) {
      visible += "\u2421";
    } else if (code < 0x20 && keep.find(character) == std::string_view::npos) {
      visible += "\xE2\x90";  // U+2400 + code
      visible += static_cast<char>(0x80 + code);
    } else if (IsUnseen(code)) {
      visible += "\uFFFD";
    } else {
      visible += character;
    }
    at += character.size();
  }
  return visible;
}

namespace {

// Returns the number of letters to add, leave out, change, or exchange with their neighbour, that
// make `b` of `a` (optimal string alignment), without case.
std::size_t Edits(std::string_view a, std::string_view b) {
  const auto same = [](char x, char y) { return Lower(x) == Lower(y); };
  const std::size_t width = b.size() + 1;
  std::vector<std::size_t> cost((a.size() + 1) * width);
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      std::size_t& least = cost[i * width + j];
      if (i == 0 || j == 0) {
        least = i + j;
        continue;
      }
      const std::size_t change = same(a[i - 1], b[j - 1]) ? 0 : 1;
      least = std::min({cost[(i - 1) * width + j] + 1, cost[i * width + j - 1] + 1,
                        cost[(i - 1) * width + j - 1] + change});
      if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
        least = std::min(least, cost[(i - 2) * width + j - 2] + 1);
    }
  }
  return cost.back();
}

}  // namespace

std::string Nearest(std::string_view word, const std::vector<std::string>& names) {
  std::string best;
  std::size_t fewest = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& name : names) {
    const bool begins = word.size() > 1 && name.starts_with(word);
    const std::size_t edits = begins ? 1 : Edits(word, name);
    if (edits >= fewest || edits >= name.size()) continue;
    best = name;
    fewest = edits;
  }
  return best;
}

std::string DidYouMean(std::string_view word, const std::vector<std::string>& names) {
  const std::string nearest = Nearest(word, names);
  return nearest.empty() ? "" : "; did you mean " + nearest + "?";
}

std::optional<std::string_view> FinalResponse(std::string_view response) {
  if (const auto end = response.rfind(kThinkEnd); end != std::string_view::npos)
    response.remove_prefix(end + kThinkEnd.size());
  if (response.find(kThinkBegin) != std::string_view::npos) return std::nullopt;
  return BeforeTurnEnd(response);
}

}  // namespace pivotal::data
