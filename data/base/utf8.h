// Apache-2.0. UTF-8 by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pivotal::data {

// Returns the size in bytes (1 to 4) of the character that starts at `offset`, or 0 if none does.
std::size_t Utf8LengthAt(std::string_view text, std::size_t offset);

struct Utf8Char {
  char32_t code;       // code point
  std::size_t length;  // in bytes
};
// Returns the character that starts at `offset` of a valid text.
inline Utf8Char ReadUtf8(std::string_view text, std::size_t offset) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[offset + i]); };
  const auto tail = [&](std::size_t i) -> char32_t { return byte(i) & 0x3Fu; };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | tail(1), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | tail(1) << 6 | tail(2), 3};
  return {(lead & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4};
}

// Returns the number of characters of a valid text.
inline std::size_t CountCharacters(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (c & 0xC0) != 0x80;
  return count;
}

// Returns the offset of the first byte that is not part of a valid character, or npos.
std::size_t FindInvalidUtf8(std::string_view text);

// Throws Error with the offset of the first byte that is not part of a valid character.
void RequireUtf8(std::string_view text);

// Returns `bytes` with U+FFFD in place of bytes that form no character. kPerByte writes one for
// each byte; kPerSubpart writes one for each run that begins a character and breaks off (Unicode's
// "maximal subpart", as Rust and Python do it).
enum class Replacement { kPerByte, kPerSubpart };
std::string ReplaceInvalidUtf8(std::string_view bytes, Replacement replacement);

}  // namespace pivotal::data
