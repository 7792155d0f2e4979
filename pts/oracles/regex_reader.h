// Apache-2.0. The last match of a PCRE2 pattern.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pivotal::pts {

// Copies share the compiled pattern; Last may be called from several threads.
class RegexReader {
 public:
  // Throws Error with PCRE2's message and the offset in `pattern`.
  explicit RegexReader(std::string_view pattern);

  // Capture group 1 of the last match (where it took part), else the whole match; nullopt without
  // a match. Bytes that are not UTF-8 match nothing. Throws Error where the match limit is reached,
  // which takes a pattern that backtracks exponentially: no verdict is better than a wrong one.
  std::optional<std::string> Last(std::string_view text) const;

 private:
  std::string pattern_;
  std::shared_ptr<const void> code_;  // pcre2_code
};

}  // namespace pivotal::pts
