// Apache-2.0.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "pts/oracles/regex_reader.h"

#include <pcre2.h>

#include <array>
#include <cstdint>
#include <new>

#include "data/error.h"

namespace pivotal::pts {
namespace {

// Backtracking steps for each place at which a match may start (milliseconds), and its memory.
constexpr uint32_t kMatchLimit = 200'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;

using MatchData = std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)>;
using MatchContext = std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)>;

PCRE2_SPTR Units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

std::string Message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// After an empty match at `at`, look on from the next character (not inside its UTF-8 bytes).
std::size_t NextCharacter(std::string_view text, std::size_t at) {
  do ++at;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

}  // namespace

RegexReader::RegexReader(std::string_view pattern) : pattern_(pattern) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  // MATCH_INVALID_UTF: a response cut inside a character must not make matching fail.
  pcre2_code* code = pcre2_compile(Units(pattern_), pattern_.size(),
                                   PCRE2_UTF | PCRE2_MATCH_INVALID_UTF, &error, &offset, nullptr);
  if (code == nullptr)
    Fail("oracle regex: {} at offset {} of the pattern \"{}\"", Message(error), offset, pattern_);
  code_ = std::shared_ptr<const void>(code, [code](const void*) { pcre2_code_free(code); });
}

std::optional<std::string> RegexReader::Last(std::string_view text) const {
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  const MatchData match(pcre2_match_data_create_from_pattern(code, nullptr),
                        &pcre2_match_data_free);
  const MatchContext context(pcre2_match_context_create(nullptr), &pcre2_match_context_free);
  if (!match || !context) throw std::bad_alloc();
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  std::optional<std::string> last;
  std::size_t from = 0;
  while (from <= text.size()) {
    const int groups =
        pcre2_match(code, Units(text), text.size(), from, 0, match.get(), context.get());
    if (groups == PCRE2_ERROR_NOMATCH) break;
    if (groups < 0)
      Fail("oracle regex: {} in a text of {} bytes; simplify the pattern \"{}\"", Message(groups),
           text.size(), pattern_);
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match.get());
    const bool captured = groups > 1 && ends[2] != PCRE2_UNSET;
    const PCRE2_SIZE* part = captured ? ends + 2 : ends;
    last = std::string(text.substr(part[0], part[1] - part[0]));
    from = ends[1] > ends[0] ? ends[1] : NextCharacter(text, ends[1]);
  }
  return last;
}

}  // namespace pivotal::pts
