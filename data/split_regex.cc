// Apache-2.0. Regular expressions of tokenizer.json, by PCRE2.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/split_regex.h"

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <new>

#include "data/error.h"
#include "data/json_input.h"
#include "data/utf8.h"

namespace pivotal::data {
namespace {

// Backtracking steps for each place at which a match may start (milliseconds), and its memory.
constexpr uint32_t kMatchLimit = 1'000'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;
// \s of PCRE2, but no white space: matched as U+200B, which is of the same category and length.
constexpr std::string_view kVowelSeparator = "\u180E", kZeroWidthSpace = "\u200B";

constexpr std::array<std::string_view, 7> kGroups = {"(?:", "(?i:", "(?=", "(?!",
                                                     "(?<=", "(?<!", "(?>"};
constexpr std::array<std::string_view, 38> kCategories = {
    "C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",
    "Mc", "Me", "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi",
    "Po", "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs", "Han"};

PCRE2_SPTR Units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

std::string Message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// Walks over a pattern; Fail for what the two libraries read differently.
class PatternCheck {
 public:
  PatternCheck(std::string_view pattern, const std::string& where)
      : pattern_(pattern), where_(where) {}

  void Run() {
    if (pattern_.find(kVowelSeparator) != std::string_view::npos) Refuse("U+180E");
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        Escape();
      } else if (c == '[') {
        Class();
      } else if (c == '(' && Peek(1) == '?') {
        const auto rest = pattern_.substr(at_);
        const auto group = std::find_if(kGroups.begin(), kGroups.end(),
                                        [&](std::string_view g) { return rest.starts_with(g); });
        if (group == kGroups.end()) Refuse(rest.substr(0, 4));
        at_ += group->size();
      } else if (c == '(' && Peek(1) == '*') {
        Refuse("(*");
      } else if (c == '{') {
        Repeat();
      } else if (c == '^' || c == '$') {
        Refuse(pattern_.substr(at_, 1));
      } else {
        ++at_;
      }
    }
  }

 private:
  [[noreturn]] void Refuse(std::string_view what) const {
    Fail("{}: {} in the regular expression {} is not supported", where_, Quoted(what),
         Quoted(pattern_));
  }
  char Peek(std::size_t ahead) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }

  void Escape() {
    const char c = Peek(1);
    if (c == 'p' || c == 'P') {
      const std::size_t close = pattern_.find('}', at_);
      const bool braces = Peek(2) == '{' && close != std::string_view::npos;
      const auto name = braces ? pattern_.substr(at_ + 3, close - at_ - 3) : std::string_view();
      if (std::find(kCategories.begin(), kCategories.end(), name) == kCategories.end()) {
        Refuse(pattern_.substr(at_, 12));
      }
      at_ = close + 1;
      return;
    }
    const bool plain = static_cast<unsigned char>(c) < 0x80 && c != '\0' &&
                       std::isalnum(static_cast<unsigned char>(c)) == 0;
    if (!plain && std::string_view("sSdDrnt").find(c) == std::string_view::npos) {
      Refuse(pattern_.substr(at_, 2));
    }
    at_ += 2;
  }

  void Class() {
    ++at_;
    if (Peek(0) == '^') ++at_;
    if (Peek(0) == ']') Refuse("[]");
    while (at_ < pattern_.size() && pattern_[at_] != ']') {
      if (pattern_[at_] == '[' || pattern_.substr(at_).starts_with("&&")) {
        Refuse(pattern_.substr(at_, 2));
      }
      if (pattern_[at_] == '\\') {
        Escape();
      } else {
        ++at_;
      }
    }
    ++at_;
  }

  // {n}, {n,}, {n,m}; a quantifier behind it means something else in each library.
  void Repeat() {
    const std::size_t close = pattern_.find('}', at_);
    if (close == std::string_view::npos) Refuse("{");
    const auto inside = pattern_.substr(at_ + 1, close - at_ - 1);
    const bool counts = !inside.empty() && inside[0] >= '0' && inside[0] <= '9' &&
                        inside.find_first_not_of("0123456789,") == std::string_view::npos;
    const std::size_t next = close + 1;
    const char after = next < pattern_.size() ? pattern_[next] : '\0';
    if (!counts || after == '+' || after == '?' || after == '*') {
      Refuse(pattern_.substr(at_, next + 1 - at_));
    }
    at_ = next;
  }

  std::string_view pattern_;
  const std::string& where_;
  std::size_t at_ = 0;
};

std::string WithoutVowelSeparator(std::string_view text) {
  std::string copy(text);
  for (auto at = copy.find(kVowelSeparator); at != std::string::npos;
       at = copy.find(kVowelSeparator, at)) {
    copy.replace(at, kVowelSeparator.size(), kZeroWidthSpace);
  }
  return copy;
}

using MatchData = std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)>;
using MatchContext = std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)>;

}  // namespace

SplitRegex::SplitRegex(std::string_view pattern, std::string where) : where_(std::move(where)) {
  PatternCheck(pattern, where_).Run();
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(Units(pattern), pattern.size(), PCRE2_UTF | PCRE2_UCP, &error,
                                   &offset, nullptr);
  if (code == nullptr) {
    Fail("{}: {} at offset {} of the regular expression {}", where_, Message(error), offset,
         Quoted(pattern));
  }
  code_ = std::shared_ptr<const void>(code, [code](const void*) { pcre2_code_free(code); });
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where it can't, matching is slower
}

std::vector<ByteRange> SplitRegex::FindAll(std::string_view text) const {
  const bool separator = text.find(kVowelSeparator) != std::string_view::npos;
  const std::string copy = separator ? WithoutVowelSeparator(text) : "";
  if (separator) text = copy;
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  const MatchData match(pcre2_match_data_create_from_pattern(code, nullptr),
                        &pcre2_match_data_free);
  const MatchContext context(pcre2_match_context_create(nullptr), &pcre2_match_context_free);
  if (!match || !context) throw std::bad_alloc();
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.get());
  std::vector<ByteRange> ranges;
  for (std::size_t from = 0; from <= text.size();) {
    const int groups = pcre2_match(code, Units(text), text.size(), from, PCRE2_NO_UTF_CHECK,
                                   match.get(), context.get());
    if (groups == PCRE2_ERROR_NOMATCH) break;
    if (groups < 0) {
      Fail("{}: {} in a text of {} bytes; simplify the regular expression", where_, Message(groups),
           text.size());
    }
    const bool touches = !ranges.empty() && range[1] == range[0] && ranges.back().end == range[0];
    if (touches) {
      from += from < text.size() ? ReadUtf8(text, from).length : 1;
      continue;
    }
    ranges.push_back({range[0], range[1]});
    from = range[1];
  }
  return ranges;
}

}  // namespace pivotal::data
