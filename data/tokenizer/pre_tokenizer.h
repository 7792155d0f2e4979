// Apache-2.0. The pre-tokenizers of tokenizer.json, which cut a text into words for the model.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/word_scanner.h"

namespace pivotal::data {

// A half-open range of bytes.
struct ByteRange {
  std::size_t begin = 0, end = 0;
};

// A regular expression of tokenizer.json that has no scanner of its own; PCRE2 matches it.
//
// tokenizer.json uses Oniguruma's syntax. Only the part that Oniguruma and PCRE2 read alike is
// supported: characters, classes without nesting, \s \S \d \D \r \n \t \p{..} \P{..}, groups, (?:
// (?i: (?= (?! (?<= (?<! (?>, |, and quantifiers. Characters newer than PCRE2's Unicode (14 in
// Debian 12) have no category here. Thread-safe; copies share the compiled expression.
class SplitRegex {
 public:
  // Throws Error that begins with `where` for unsupported syntax, or with PCRE2's message.
  SplitRegex(std::string_view pattern, std::string where);

  // Returns all matches in `text` (UTF-8) from left to right. It includes empty matches, except one
  // that touches the match before it. Throws Error if PCRE2 reaches its match limit.
  std::vector<ByteRange> FindAll(std::string_view text) const;

 private:
  std::string where_;
  std::shared_ptr<const void> code_;  // pcre2_code
};

// How matches and the text between them become words, as Hugging Face tokenizers names it.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// Which pieces of text get SentencePiece's leading blank: every piece between added tokens, only
// one that begins the text, or none.
enum class PrefixScheme { kAlways, kFirst, kNever };

struct Word {
  std::string_view text;
  bool first = false;  // begins where the whole text begins
};

struct Words {
  std::vector<Word> list;
  std::deque<std::string> changed;  // owns the texts of words that are no part of the input
};

// Immutable and thread-safe.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Cuts each word of `words` further. No word is empty, before or after.
  virtual void Apply(Words& words) const = 0;
};

using PreTokenizers = std::vector<std::unique_ptr<const PreTokenizer>>;

// Cuts with the scanner of `pattern`.
std::unique_ptr<const PreTokenizer> MakeWordSplit(WordPattern pattern);
// Cut at the matches of `regex` or at the text `pattern` (not empty). `invert` exchanges the roles
// of matches and the text between them.
std::unique_ptr<const PreTokenizer> MakeRegexSplit(SplitRegex regex, SplitBehavior behavior,
                                                   bool invert);
std::unique_ptr<const PreTokenizer> MakeStringSplit(std::string pattern, SplitBehavior behavior,
                                                    bool invert);
// Makes words of runs of digits or, if `individual`, of each digit.
std::unique_ptr<const PreTokenizer> MakeDigitSplit(bool individual);
// Puts a blank before each word that has none: add_prefix_space of ByteLevel.
std::unique_ptr<const PreTokenizer> MakeLeadingBlank();
// Writes blanks as `replacement`, puts one in front as `scheme` says, and cuts before each if
// `split`.
std::unique_ptr<const PreTokenizer> MakeMetaspace(std::string replacement, PrefixScheme scheme,
                                                  bool split);

}  // namespace pivotal::data
