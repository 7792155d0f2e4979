// Apache-2.0.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "pts/oracles/simple_oracles.h"

#include <pcre2.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "data/base/error.h"
#include "data/base/text.h"
#include "pts/oracles/choice.h"
#include "pts/oracles/math/math_oracle.h"
#include "pts/oracles/math/number.h"
#include "pts/oracles/math/quantity.h"

namespace pivotal::pts {
namespace {

constexpr std::string_view kHash = "####";
constexpr std::string_view kRegex = "regex:";

// Limits of backtracking steps for each position at which a match may start (milliseconds), and of
// memory.
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

// Returns the next character after an empty match at `at`, not a position inside its UTF-8 bytes.
std::size_t NextCharacter(std::string_view text, std::size_t at) {
  do ++at;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

// Finds the last match of a PCRE2 pattern. Copies share the compiled pattern; Last may be called
// from several threads at once.
class RegexReader {
 public:
  // Throws Error with PCRE2's message and the offset in `pattern`.
  explicit RegexReader(std::string_view pattern);

  // Returns capture group 1 of the last match, or the whole match where the group took no part;
  // nullopt without a match. Bytes that are not UTF-8 match nothing. Throws NoVerdict where PCRE2's
  // match limit is reached (a pattern that backtracks exponentially).
  std::optional<std::string> Last(std::string_view text) const;

 private:
  std::string pattern_;
  std::shared_ptr<const void> code_;  // pcre2_code
};

RegexReader::RegexReader(std::string_view pattern) : pattern_(pattern) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  // MATCH_INVALID_UTF lets a response match that was cut inside a character.
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
      throw NoVerdict(
          NoVerdictCause::kLimit,
          fmt::format("oracle regex: {} in a text of {} bytes; simplify the pattern \"{}\"",
                      Message(groups), text.size(), pattern_));
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match.get());
    const bool captured = groups > 1 && ends[2] != PCRE2_UNSET;
    const PCRE2_SIZE* part = captured ? ends + 2 : ends;
    last = std::string(text.substr(part[0], part[1] - part[0]));
    from = ends[1] > ends[0] ? ends[1] : NextCharacter(text, ends[1]);
  }
  return last;
}

// Readers: each returns what it reads in a text, in a form that compares by equality, or nullopt.

std::optional<std::string> Trimmed(std::string_view text) {
  const auto trimmed = data::Trim(text);
  if (trimmed.empty()) return std::nullopt;
  return std::string(trimmed);
}

std::optional<std::string> HashNumber(std::string_view text) {
  const auto at = text.rfind(kHash);
  if (at == std::string_view::npos) return std::nullopt;
  return FirstNumber(text.substr(at + kHash.size()));
}

std::optional<std::string> HashOrBareNumber(std::string_view text) {
  return text.find(kHash) == std::string_view::npos ? LastNumber(text) : HashNumber(text);
}

// A reader of texts. Several threads may call it at once.
using Reader = std::function<std::optional<std::string>(std::string_view)>;

Reader RegexResponse(std::string_view pattern) {
  if (pattern.empty())
    Fail(
        "oracle regex: a pattern is missing; write regex:PATTERN, as in \"regex:answer: *(\\d+)\"");
  if (pattern.find("think>") != std::string_view::npos)
    Fail(
        "oracle regex: a response is read after its last </think>, so the pattern \"{}\" can "
        "never match; leave <think> and </think> out of it",
        pattern);
  return [reader = RegexReader(pattern)](std::string_view text) -> std::optional<std::string> {
    const auto last = reader.Last(text);
    return last ? Trimmed(*last) : std::nullopt;
  };
}

// Compares what one reader finds in the response with what another finds in the reference answer.
class ReadingOracle : public Oracle {
 public:
  ReadingOracle(Reader response, Reader answer)
      : response_(std::move(response)), answer_(std::move(answer)) {}

  bool Judge(const Attempt& attempt) const override {
    const auto want = answer_(attempt.answer);
    const auto said = data::FinalResponse(attempt.response);
    return want && said && response_(*said) == want;
  }
  bool CanRead(std::string_view answer) const override { return answer_(answer).has_value(); }
  std::optional<std::string> Answer(std::string_view response) const override {
    const auto said = data::FinalResponse(response);
    return said ? response_(*said).value_or("") : "";
  }

 private:
  Reader response_, answer_;
};

// Compares the last number of each side as a quantity (math/quantity.h). A side's number is looked
// for in its last \boxed{}; without a box, after its last "####"; without that, in all of the
// text. A box without a number holds nothing to compare.
class NumericOracle : public Oracle {
 public:
  bool Judge(const Attempt& attempt) const override {
    const auto said = data::FinalResponse(attempt.response);
    const auto want = said ? Read(attempt.answer) : std::nullopt;
    const auto got = want ? Read(*said) : std::nullopt;
    return got && SameQuantity(*want, *got);
  }
  bool CanRead(std::string_view answer) const override { return Read(answer).has_value(); }
  std::optional<std::string> Answer(std::string_view response) const override {
    const auto said = data::FinalResponse(response);
    const auto got = said ? Read(*said) : std::nullopt;
    return got ? TextOf(*got) : "";
  }
  bool SameAnswer(std::string_view a, std::string_view b) const override {
    const auto x = LastQuantity(a), y = LastQuantity(b);
    return x && y && SameQuantity(*x, *y);
  }

 private:
  static std::optional<Quantity> Read(std::string_view text) {
    if (const auto boxed = BoxedAnswer(text)) return LastQuantity(*boxed);
    if (const auto hash = text.rfind(kHash); hash != std::string_view::npos)
      text.remove_prefix(hash + kHash.size());
    return LastQuantity(text);
  }
};

}  // namespace

std::unique_ptr<const Oracle> MakeSimpleOracle(std::string_view name) {
  if (name == "last-number") return std::make_unique<ReadingOracle>(LastNumber, LastNumber);
  if (name == "hash") return std::make_unique<ReadingOracle>(HashNumber, HashOrBareNumber);
  if (name == "exact") return std::make_unique<ReadingOracle>(Trimmed, Trimmed);
  if (name == "choice") return std::make_unique<ReadingOracle>(LastChoice, LastChoice);
  if (name == "numeric") return std::make_unique<NumericOracle>();
  if (name.starts_with(kRegex))
    return std::make_unique<ReadingOracle>(RegexResponse(name.substr(kRegex.size())), Trimmed);
  return nullptr;
}

}  // namespace pivotal::pts
