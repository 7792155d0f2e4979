// Apache-2.0. Operations on text that several rooms share.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::data {

// White space of ASCII.
inline constexpr std::string_view kWhiteSpace = " \t\r\n\f\v";

// Digits and letters of ASCII.
inline constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }
inline constexpr bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
inline constexpr bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
inline constexpr bool IsLetter(char c) { return IsLower(c) || IsUpper(c); }
// Returns the letter in the other case; any other character as it is.
inline constexpr char Upper(char c) { return IsLower(c) ? static_cast<char>(c - 'a' + 'A') : c; }
inline constexpr char Lower(char c) { return IsUpper(c) ? static_cast<char>(c - 'A' + 'a') : c; }

// Returns `text` without leading and trailing characters that are in `drop`.
std::string_view Trim(std::string_view text, std::string_view drop = kWhiteSpace);

// Replaces each `pattern` (not empty) by `content`, from left to right.
void ReplaceAll(std::string& text, std::string_view pattern, std::string_view content);

// Returns `text` as a terminal may show it: a text from a file must not move the cursor, change
// colours or turn the order of letters. Control characters become pictures ("\u241B" for escape);
// those without a picture, marks of the writing direction, and bytes that are no UTF-8 become
// U+FFFD. Characters in `keep` stay.
std::string Visible(std::string_view text, std::string_view keep = "\n");

// Returns the one of `names` that somebody who typed `word` probably meant: the fewest letters must
// be added, left out, changed or exchanged with their neighbour, at most one in three; or it begins
// with `word`. Returns "" if there is none. Letters are compared without case.
std::string Nearest(std::string_view word, const std::vector<std::string>& names);
// Returns "; did you mean NAME?" with the nearest name, or "".
std::string DidYouMean(std::string_view word, const std::vector<std::string>& names);

// Reasoning models write their reasoning between these marks and then respond.
inline constexpr std::string_view kThinkBegin = "<think>", kThinkEnd = "</think>";

// Returns what `response` says to its reader: the part after its last </think> (all of it if there
// is none), up to the first token with which a chat template ends a turn, such as <|im_end|>, and
// without such tokens of its own at the end, such as </s>. Returns nullopt if a <think> opens
// there: the response was cut while the model reasoned.
std::optional<std::string_view> FinalResponse(std::string_view response);

}  // namespace pivotal::data
