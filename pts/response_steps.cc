// Apache-2.0.
#include "pts/response_steps.h"

#include <cstddef>
#include <string_view>

#include "data/base/text.h"
#include "data/tokenizer/response_text.h"

namespace pivotal::pts {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// Returns the offset just behind each sentence of a text.
std::vector<std::size_t> EndsInText(std::string_view text) {
  std::vector<std::size_t> ends;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') ends.push_back(i + 1);
    if (text[i] != '.' && text[i] != '!' && text[i] != '?') continue;
    std::size_t next = i + 1;
    while (next < text.size() &&
           std::string_view("\"')]}").find(text[next]) != std::string_view::npos)
      ++next;
    if (next == text.size() || IsBlank(text[next])) ends.push_back(next);
  }
  return ends;
}

}  // namespace

std::vector<int32_t> SentenceEnds(const Tokenizer& tokenizer,
                                  const std::vector<TokenId>& response) {
  const auto n = static_cast<int32_t>(response.size());
  data::StreamDecoder decoder(tokenizer);
  std::string text;
  std::vector<std::size_t> sizes;  // [k-1]: bytes in the text of t_1..t_k
  for (TokenId token : response) {
    text += decoder.Add(token);
    sizes.push_back(text.size());
  }
  text += decoder.Finish();
  const auto in_text = EndsInText(text);
  std::vector<int32_t> ends;
  auto next = in_text.begin();
  for (int32_t k = 1; k <= n && next != in_text.end(); ++k) {
    if (sizes[k - 1] < *next) continue;
    ends.push_back(k);
    while (next != in_text.end() && *next <= sizes[k - 1]) ++next;
  }
  // Tokens without text, such as the end of the sequence, belong to the last sentence.
  if (!ends.empty() && sizes[ends.back() - 1] == text.size()) ends.back() = n;
  if (n > 0 && (ends.empty() || ends.back() != n)) ends.push_back(n);
  return ends;
}

std::vector<ResponseStep> StepsOf(const Tokenizer& tokenizer,
                                  const std::vector<TokenId>& response) {
  std::vector<ResponseStep> steps;
  data::StreamDecoder decoder(tokenizer);
  std::string text;
  int32_t k = 0;
  for (const int32_t end : SentenceEnds(tokenizer, response)) {
    for (; k < end; ++k) text += decoder.Add(response[static_cast<std::size_t>(k)]);
    if (k == std::ssize(response)) text += decoder.Finish();
    const auto is_blank = [](const std::string& of) { return data::Trim(of).empty(); };
    if (!steps.empty() && (is_blank(text) || is_blank(steps.back().text)))
      steps.back() = {end, steps.back().text + text};
    else
      steps.push_back({end, text});
    text.clear();
  }
  if (steps.size() == 1 && steps[0].text.empty()) steps.clear();
  return steps;
}

}  // namespace pivotal::pts
