// Apache-2.0. Regular expressions of tokenizer.json that are not among the known ones, by PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::data {

// Half-open range of bytes.
struct ByteRange {
  std::size_t begin = 0, end = 0;
};

// tokenizer.json means Oniguruma's syntax. Only what Oniguruma and PCRE2 read alike is taken:
// characters, classes without nesting, \s \S \d \D \r \n \t \p{..} \P{..}, groups, (?: (?i: (?= (?!
// (?<= (?<! (?>, |, and the quantifiers. Characters newer than PCRE2's Unicode (14 in Debian 12)
// have no category here. Copies share the compiled expression; thread-safe.
class SplitRegex {
 public:
  // `where` begins the text of an Error: what can't be taken, or PCRE2's message.
  SplitRegex(std::string_view pattern, std::string where);

  // All matches from left to right; empty ones too, but none that touches the match before it.
  // `text` is UTF-8. Throws Error where the match limit is reached.
  std::vector<ByteRange> FindAll(std::string_view text) const;

 private:
  std::string where_;
  std::shared_ptr<const void> code_;  // pcre2_code
};

}  // namespace pivotal::data
