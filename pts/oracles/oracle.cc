// Apache-2.0.
#include "pts/oracles/oracle.h"

#include <optional>
#include <string>
#include <utility>

#include "data/error.h"
#include "pts/oracles/choice.h"
#include "pts/oracles/code_oracle.h"
#include "pts/oracles/command_oracle.h"
#include "pts/oracles/decimal.h"
#include "pts/oracles/math_oracle.h"
#include "pts/oracles/numeric_oracle.h"
#include "pts/oracles/reading_oracle.h"
#include "pts/oracles/regex_reader.h"

namespace pivotal::pts {
namespace {

constexpr std::string_view kHash = "####";
constexpr std::string_view kRegex = "regex:";
constexpr std::string_view kCommand = "command:";

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::optional<std::string> Trimmed(std::string_view text) {
  const auto trimmed = Trim(text);
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

Reader RegexResponse(std::string_view pattern) {
  if (pattern.find("think>") != std::string_view::npos)
    Fail("oracle regex: a response is read behind its last </think>, so the pattern \"{}\" can never "
         "match; leave <think> and </think> out of it", pattern);
  return [reader = RegexReader(pattern)](std::string_view text) -> std::optional<std::string> {
    const auto last = reader.Last(text);
    return last ? Trimmed(*last) : std::nullopt;
  };
}

}  // namespace

std::unique_ptr<const Oracle> MakeOracle(std::string_view name, const OracleOptions& options) {
  options.Validate();
  if (name == "last-number") return std::make_unique<ReadingOracle>(LastNumber, LastNumber);
  if (name == "hash") return std::make_unique<ReadingOracle>(HashNumber, HashOrBareNumber);
  if (name == "exact") return std::make_unique<ReadingOracle>(Trimmed, Trimmed);
  if (name == "choice") return std::make_unique<ReadingOracle>(LastChoice, LastChoice);
  if (name == "numeric") return std::make_unique<NumericOracle>();
  if (name == "math") return std::make_unique<MathOracle>();
  if (name.starts_with(kRegex) && name.size() > kRegex.size())
    return std::make_unique<ReadingOracle>(RegexResponse(name.substr(kRegex.size())), Trimmed);
  if (name == "code") return MakeCodeOracle(options);
  if (name.starts_with(kCommand) && name.size() > kCommand.size())
    return MakeCommandOracle(name.substr(kCommand.size()), options);
  Fail("oracle \"{}\" is unknown: take numeric, math, last-number, hash, exact, choice, "
       "regex:PATTERN, code or command:PROGRAM", name);
}

}  // namespace pivotal::pts
