// Apache-2.0.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/tokenizer/pre_tokenizer.h"

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <new>
#include <utility>

#include "data/base/error.h"
#include "data/base/json_input.h"
#include "data/base/utf8.h"
#include "data/tokenizer/word_scanner.h"

namespace pivotal::data {
namespace {

// Limits of one match attempt: backtracking steps (some milliseconds) and memory.
constexpr uint32_t kMatchLimit = 1'000'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;
// PCRE2 takes U+180E for white space, Unicode 16 does not. It is matched as U+200B, which has the
// same category and length.
constexpr std::string_view kVowelSeparator = "\u180E", kZeroWidthSpace = "\u200B";

constexpr std::array<std::string_view, 7> kGroups = {"(?:",  "(?i:", "(?=", "(?!",
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

// Throws Error for the first part of a pattern that Oniguruma and PCRE2 read differently.
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

  // Accepts {n}, {n,} and {n,m}. A quantifier after them means something else in each library.
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

struct Cut {
  ByteRange range;
  bool match = false;
};

// Adds `cut`, or extends the last one by it if `join`.
void Join(std::vector<Cut>& cuts, const Cut& cut, bool join) {
  if (join && !cuts.empty()) {
    cuts.back().range.begin = std::min(cuts.back().range.begin, cut.range.begin);
    cuts.back().range.end = std::max(cuts.back().range.end, cut.range.end);
  } else {
    cuts.push_back(cut);
  }
}

// Merges or removes cuts as NormalizedString::split of Hugging Face tokenizers does.
std::vector<Cut> Arrange(std::vector<Cut> cuts, SplitBehavior behavior) {
  if (behavior == SplitBehavior::kIsolated) return cuts;
  if (behavior == SplitBehavior::kRemoved) {
    std::erase_if(cuts, [](const Cut& cut) { return cut.match; });
    return cuts;
  }
  const bool next = behavior == SplitBehavior::kMergedWithNext;
  if (next) std::reverse(cuts.begin(), cuts.end());
  std::vector<Cut> arranged;
  bool previous = false;
  for (const Cut& cut : cuts) {
    const bool contiguous = behavior == SplitBehavior::kContiguous;
    Join(arranged, cut, contiguous ? cut.match == previous : cut.match && !previous);
    previous = cut.match;
  }
  if (next) std::reverse(arranged.begin(), arranged.end());
  return arranged;
}

// Cuts at the matches that Find() returns.
class Split : public PreTokenizer {
 public:
  Split(SplitBehavior behavior, bool invert) : behavior_(behavior), invert_(invert) {}
  void Apply(Words& words) const override {
    std::vector<Word> list;
    for (const Word& word : words.list) Cuts(word, list);
    words.list = std::move(list);
  }

 private:
  virtual std::vector<ByteRange> Find(std::string_view text) const = 0;

  void Cuts(const Word& word, std::vector<Word>& list) const {
    std::vector<Cut> cuts;
    std::size_t at = 0;
    const auto gap = [&](std::size_t end) {
      if (at != end) cuts.push_back({{at, end}, invert_});
    };
    for (const ByteRange& range : Find(word.text)) {
      gap(range.begin);
      cuts.push_back({range, !invert_});
      at = range.end;
    }
    gap(word.text.size());
    for (const Cut& cut : Arrange(std::move(cuts), behavior_)) {
      const auto [begin, end] = cut.range;
      if (begin < end)
        list.push_back({word.text.substr(begin, end - begin), word.first && begin == 0});
    }
  }

  SplitBehavior behavior_;
  bool invert_;
};

class RegexSplit : public Split {
 public:
  RegexSplit(SplitRegex regex, SplitBehavior behavior, bool invert)
      : Split(behavior, invert), regex_(std::move(regex)) {}

 private:
  std::vector<ByteRange> Find(std::string_view text) const override { return regex_.FindAll(text); }
  SplitRegex regex_;
};

class StringSplit : public Split {
 public:
  StringSplit(std::string pattern, SplitBehavior behavior, bool invert)
      : Split(behavior, invert), pattern_(std::move(pattern)) {}

 private:
  std::vector<ByteRange> Find(std::string_view text) const override {
    std::vector<ByteRange> ranges;
    for (auto at = text.find(pattern_); at != text.npos;
         at = text.find(pattern_, at + pattern_.size())) {
      ranges.push_back({at, at + pattern_.size()});
    }
    return ranges;
  }
  std::string pattern_;
};

class DigitSplit : public Split {
 public:
  explicit DigitSplit(bool individual)
      : Split(individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, false) {}

 private:
  std::vector<ByteRange> Find(std::string_view text) const override {
    std::vector<ByteRange> ranges;
    for (std::size_t at = 0; at < text.size();) {
      const auto [code, length] = ReadUtf8(text, at);
      if (IsNumber(ClassOf(code))) ranges.push_back({at, at + length});
      at += length;
    }
    return ranges;
  }
};

class WordSplit : public PreTokenizer {
 public:
  explicit WordSplit(WordPattern pattern) : pattern_(pattern) {}
  void Apply(Words& words) const override {
    std::vector<Word> list;
    for (const Word& word : words.list) {
      list.reserve(list.size() + word.text.size() / 4);
      for (std::size_t at = 0; at < word.text.size();) {
        const std::size_t end = WordEnd(pattern_, word.text, at);
        list.push_back({word.text.substr(at, end - at), word.first && at == 0});
        at = end;
      }
    }
    words.list = std::move(list);
  }

 private:
  WordPattern pattern_;
};

class LeadingBlank : public PreTokenizer {
 public:
  void Apply(Words& words) const override {
    for (Word& word : words.list) {
      if (word.text.starts_with(' ')) continue;
      word.text = words.changed.emplace_back(" ").append(word.text);
    }
  }
};

class Metaspace : public PreTokenizer {
 public:
  Metaspace(std::string replacement, PrefixScheme scheme, bool split)
      : replacement_(std::move(replacement)), scheme_(scheme), split_(split) {}

  void Apply(Words& words) const override {
    std::vector<Word> list;
    for (const Word& word : words.list) {
      const std::string& text = words.changed.emplace_back(Replaced(word));
      std::size_t begin = 0;
      // MergedWithNext: of several replacements in a row, each but the last is a word.
      while (split_ && begin < text.size()) {
        const std::size_t next = text.find(replacement_, begin + 1);
        if (next == std::string::npos) break;
        list.push_back({std::string_view(text).substr(begin, next - begin), false});
        begin = next;
      }
      list.push_back({std::string_view(text).substr(begin), false});
    }
    words.list = std::move(list);
  }

 private:
  std::string Replaced(const Word& word) const {
    const bool asked =
        scheme_ == PrefixScheme::kAlways || (scheme_ == PrefixScheme::kFirst && word.first);
    const bool has = word.text.starts_with(' ') || word.text.starts_with(replacement_);
    std::string text = asked && !has ? replacement_ : "";
    for (const char c : word.text) {
      if (c == ' ') {
        text += replacement_;
      } else {
        text += c;
      }
    }
    return text;
  }

  std::string replacement_;
  PrefixScheme scheme_;
  bool split_;
};

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
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without JIT, matching is slower
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

std::unique_ptr<const PreTokenizer> MakeWordSplit(WordPattern pattern) {
  return std::make_unique<WordSplit>(pattern);
}
std::unique_ptr<const PreTokenizer> MakeRegexSplit(SplitRegex regex, SplitBehavior behavior,
                                                   bool invert) {
  return std::make_unique<RegexSplit>(std::move(regex), behavior, invert);
}
std::unique_ptr<const PreTokenizer> MakeStringSplit(std::string pattern, SplitBehavior behavior,
                                                    bool invert) {
  return std::make_unique<StringSplit>(std::move(pattern), behavior, invert);
}
std::unique_ptr<const PreTokenizer> MakeDigitSplit(bool individual) {
  return std::make_unique<DigitSplit>(individual);
}
std::unique_ptr<const PreTokenizer> MakeLeadingBlank() { return std::make_unique<LeadingBlank>(); }
std::unique_ptr<const PreTokenizer> MakeMetaspace(std::string replacement, PrefixScheme scheme,
                                                  bool split) {
  return std::make_unique<Metaspace>(std::move(replacement), scheme, split);
}

}  // namespace pivotal::data
