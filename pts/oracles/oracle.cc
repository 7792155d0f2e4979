// Apache-2.0.
#include "pts/oracles/oracle.h"

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "data/error.h"
#include "pts/oracles/decimal.h"
#include "pts/oracles/regex_reader.h"

namespace pivotal::pts {
namespace {

constexpr std::string_view kHash = "####";
constexpr std::string_view kRegex = "regex:";

// What a text says, in a form that compares by equality; nullopt where it says nothing.
using Reader = std::function<std::optional<std::string>(std::string_view)>;

// What a response says once it has reasoned; nothing where it reasons to its end.
std::optional<std::string_view> BehindReasoning(std::string_view response) {
  if (const auto end = response.rfind(kThinkEnd); end != std::string_view::npos)
    response.remove_prefix(end + kThinkEnd.size());
  if (response.find(kThinkBegin) != std::string_view::npos) return std::nullopt;
  return response;
}

// Reads both sides and compares.
class ReadingOracle : public Oracle {
 public:
  ReadingOracle(Reader response, Reader answer)
      : response_(std::move(response)), answer_(std::move(answer)) {}

  bool Judge(const Attempt& attempt) const override {
    const auto want = answer_(attempt.answer);
    const auto said = BehindReasoning(attempt.response);
    return want && said && response_(*said) == want;
  }
  bool CanRead(std::string_view answer) const override { return answer_(answer).has_value(); }

 private:
  Reader response_, answer_;
};

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

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Part of a word: letters, digits, "_", and every byte of a character beyond ASCII.
bool IsWord(char c) {
  return IsLetter(c) || (c >= '0' && c <= '9') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

// Quotes, dashes and their like: U+2000 to U+206F, in UTF-8 E2 80 xx and E2 81 80 to E2 81 AF.
bool IsPunctuation(std::string_view character) {
  return character.starts_with("\xE2\x80") ||
         (character.starts_with("\xE2\x81") && character.size() > 2 && character[2] < '\xB0');
}

bool EndsInWord(std::string_view before) {
  if (before.empty() || !IsWord(before.back())) return false;
  return before.size() < 3 || !IsPunctuation(before.substr(before.size() - 3));
}

// True for "am", and for "'m" with either apostrophe: the I of "I'm" is no choice.
bool StartsWithWord(std::string_view after) {
  for (std::string_view apostrophe : {"'", "\u2019"}) {
    if (after.starts_with(apostrophe))
      return after.size() > apostrophe.size() && IsLetter(after[apostrophe.size()]);
  }
  return !after.empty() && IsWord(after.front()) && !IsPunctuation(after);
}

std::optional<std::string> LastChoice(std::string_view text) {
  for (std::size_t at = text.size(); at-- > 0;) {
    const bool letter = text[at] >= 'A' && text[at] <= 'J';
    if (letter && !EndsInWord(text.substr(0, at)) && !StartsWithWord(text.substr(at + 1)))
      return std::string(1, text[at]);
  }
  return std::nullopt;
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

std::unique_ptr<const Oracle> MakeOracle(std::string_view name) {
  if (name == "last-number") return std::make_unique<ReadingOracle>(LastNumber, LastNumber);
  if (name == "hash") return std::make_unique<ReadingOracle>(HashNumber, HashOrBareNumber);
  if (name == "exact") return std::make_unique<ReadingOracle>(Trimmed, Trimmed);
  if (name == "choice") return std::make_unique<ReadingOracle>(LastChoice, LastChoice);
  if (name.starts_with(kRegex) && name.size() > kRegex.size())
    return std::make_unique<ReadingOracle>(RegexResponse(name.substr(kRegex.size())), Trimmed);
  Fail("oracle \"{}\" is unknown: take last-number, hash, exact, choice or regex:PATTERN", name);
}

}  // namespace pivotal::pts
