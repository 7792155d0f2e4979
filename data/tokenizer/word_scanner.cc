// Apache-2.0.
#include "data/tokenizer/word_scanner.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <utility>

#include "data/base/text.h"
#include "data/base/utf8.h"

namespace pivotal::data {
namespace {

constexpr char32_t kEnd = 0x110000;

constexpr char32_t kRuns[] = {
#include "data/tokenizer/unicode_class.inc"
};

using Table = std::array<CharClass, kEnd>;

std::unique_ptr<const Table> MakeTable() {
  auto table = std::make_unique<Table>();
  for (std::size_t i = 0; i < std::size(kRuns); i += 2) {
    const char32_t end = i + 2 < std::size(kRuns) ? kRuns[i + 2] : kEnd;
    std::fill(table->begin() + kRuns[i], table->begin() + end,
              static_cast<CharClass>(kRuns[i + 1]));
  }
  return table;
}

constexpr std::string_view kO200kRegex =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Spellings of one pattern match alike: the part after a possessive quantifier can't match what the
// quantifier took, and no line end is left in the white space after \s*[\r\n].
constexpr std::array kKnown = {
    std::pair{WordPattern::kGpt2, kGpt2Regex},
    std::pair{WordPattern::kGpt2,
              std::string_view(
                  R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)")},
    std::pair{WordPattern::kCl100k,
              std::string_view(R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}|)"
                               R"( ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)")},
    std::pair{
        WordPattern::kCl100k,
        std::string_view(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
                         R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)")},
    std::pair{WordPattern::kO200k, kO200kRegex}};

class Cursor {
 public:
  Cursor(std::string_view text, std::size_t at) : text_(text), at_(at) { Read(); }

  bool done() const { return length_ == 0; }
  std::size_t at() const { return at_; }
  char32_t code() const { return code_; }
  bool letter() const { return !done() && IsLetter(class_); }
  bool number() const { return !done() && IsNumber(class_); }
  bool space() const { return !done() && IsSpace(class_); }
  bool line_end() const { return code_ == '\n' || code_ == '\r'; }
  // [^\s\p{L}\p{N}]
  bool sign() const {
    return !done() && !IsLetter(class_) && !IsNumber(class_) && !IsSpace(class_);
  }
  // In o200k, [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and [\p{Ll}\p{Lm}\p{Lo}\p{M}].
  bool head() const {
    return !done() && (class_ == CharClass::kUpper || class_ == CharClass::kLetter ||
                       class_ == CharClass::kMark);
  }
  bool tail() const { return !done() && class_ >= CharClass::kLower && class_ <= CharClass::kMark; }
  void Next() {
    at_ += length_;
    Read();
  }

 private:
  void Read() {
    if (at_ >= text_.size()) {
      length_ = 0;
      code_ = 0;
      return;
    }
    const auto [code, length] = ReadUtf8(text_, at_);
    code_ = code;
    length_ = length;
    class_ = ClassOf(code);
  }

  std::string_view text_;
  std::size_t at_, length_ = 0;
  char32_t code_ = 0;
  CharClass class_ = CharClass::kOther;
};

// Returns the size of 's, 't, 're, 've, 'm, 'll or 'd at `at`, else 0. U+017F is a small s too.
std::size_t ContractionAt(std::string_view text, std::size_t at, bool any_case) {
  if (text[at] != '\'' || at + 1 == text.size()) return 0;
  const auto letter = [&](std::size_t i) -> char {
    const char c = at + i < text.size() ? text[at + i] : '\0';
    return any_case ? data::Lower(c) : c;
  };
  const char first = letter(1), second = letter(2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'l' && second == 'l') || ((first == 'r' || first == 'v') && second == 'e'))
    return 3;
  return any_case && text.substr(at + 1).starts_with("\u017F") ? 3 : 0;
}

// Matches \s+(?!\S)|\s+ at white space: all of it but the last character if other text follows.
// With `line_ends`, \s*[\r\n] is tried first and ends at the last line end of the white space. With
// `one_at_end`, white space that ends the text is one word.
std::size_t SpaceEnd(std::string_view text, std::size_t begin, bool line_ends, bool one_at_end) {
  Cursor cursor(text, begin);
  std::size_t last = begin, after_line_end = begin;
  for (; cursor.space(); cursor.Next()) {
    last = cursor.at();
    if (cursor.line_end()) after_line_end = last + 1;
  }
  if (one_at_end && cursor.done()) return cursor.at();
  if (line_ends && after_line_end > begin) return after_line_end;
  return cursor.done() || last == begin ? cursor.at() : last;
}

std::size_t Gpt2End(std::string_view text, std::size_t begin) {
  if (const std::size_t length = ContractionAt(text, begin, false); length > 0) {
    return begin + length;
  }
  Cursor cursor(text, begin);
  if (cursor.code() == ' ') cursor.Next();
  if (cursor.letter()) {
    while (cursor.letter()) cursor.Next();
  } else if (cursor.number()) {
    while (cursor.number()) cursor.Next();
  } else if (cursor.sign()) {
    while (cursor.sign()) cursor.Next();
  } else {
    return SpaceEnd(text, begin, false, false);
  }
  return cursor.at();
}

std::size_t NumberEnd(Cursor cursor) {
  for (int i = 0; i < 3 && cursor.number(); ++i) cursor.Next();
  return cursor.at();
}

// Matches ` ?[^\s\p{L}\p{N}]+[\r\n]*` (o200k: [\r\n/]*). Returns 0 if it doesn't match.
std::size_t SignsEnd(Cursor cursor, bool slashes) {
  if (cursor.code() == ' ') cursor.Next();
  if (!cursor.sign()) return 0;
  while (cursor.sign()) cursor.Next();
  while (!cursor.done() && (cursor.line_end() || (slashes && cursor.code() == '/'))) cursor.Next();
  return cursor.at();
}

std::size_t Cl100kEnd(std::string_view text, std::size_t begin, bool one_at_end) {
  if (const std::size_t length = ContractionAt(text, begin, true); length > 0) {
    return begin + length;
  }
  const Cursor start(text, begin);
  Cursor cursor = start;
  if (!cursor.letter() && !cursor.number() && !cursor.line_end()) cursor.Next();
  if (cursor.letter()) {
    while (cursor.letter()) cursor.Next();
    return cursor.at();
  }
  if (start.number()) return NumberEnd(start);
  if (const std::size_t end = SignsEnd(start, false); end > 0) return end;
  return SpaceEnd(text, begin, true, one_at_end);
}

// Matches [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ with backtracking. Returns 0
// if it doesn't match.
std::size_t LowWordEnd(Cursor cursor) {
  std::size_t after_last_tail = 0;
  for (; cursor.head(); cursor.Next()) {
    if (!cursor.tail()) continue;
    Cursor next = cursor;
    next.Next();
    after_last_tail = next.at();
  }
  if (!cursor.tail()) return after_last_tail;
  while (cursor.tail()) cursor.Next();
  return cursor.at();
}

// Matches [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*. Returns 0 if it doesn't
// match.
std::size_t HighWordEnd(Cursor cursor) {
  if (!cursor.head()) return 0;
  while (cursor.head()) cursor.Next();
  while (cursor.tail()) cursor.Next();
  return cursor.at();
}

std::size_t O200kEnd(std::string_view text, std::size_t begin) {
  const Cursor start(text, begin);
  Cursor second = start;
  const bool prefix = !start.letter() && !start.number() && !start.line_end();
  if (prefix) second.Next();
  for (const auto word_end : {LowWordEnd, HighWordEnd}) {
    std::size_t end = prefix ? word_end(second) : 0;
    if (end == 0) end = word_end(start);
    if (end == 0) continue;
    return end + (end < text.size() ? ContractionAt(text, end, true) : 0);
  }
  if (start.number()) return NumberEnd(start);
  if (const std::size_t end = SignsEnd(start, true); end > 0) return end;
  return SpaceEnd(text, begin, true, false);
}

}  // namespace

CharClass ClassOf(char32_t code) {
  static const std::unique_ptr<const Table> table = MakeTable();
  return (*table)[code];
}

std::optional<WordPattern> KnownPattern(std::string_view regex) {
  for (const auto& [pattern, spelling] : kKnown) {
    if (regex == spelling) return pattern;
  }
  return std::nullopt;
}

std::size_t WordEnd(WordPattern pattern, std::string_view text, std::size_t begin) {
  switch (pattern) {
    case WordPattern::kGpt2: return Gpt2End(text, begin);
    case WordPattern::kCl100k: return Cl100kEnd(text, begin, false);
    case WordPattern::kTiktoken: return Cl100kEnd(text, begin, true);
    case WordPattern::kO200k: break;
  }
  return O200kEnd(text, begin);
}

}  // namespace pivotal::data
