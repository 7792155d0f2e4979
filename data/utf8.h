// Apache-2.0. UTF-8 (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pivotal::data {

// Length in bytes (1 to 4) of the character that starts at `offset`; 0 if there is no valid one.
std::size_t Utf8LengthAt(std::string_view text, std::size_t offset);

// The code point of the character at `offset`, and its length in bytes. The text is valid and
// `offset` is the start of a character.
struct Utf8Char {
  char32_t code;
  std::size_t length;
};
inline Utf8Char ReadUtf8(std::string_view text, std::size_t offset) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[offset + i]); };
  const auto tail = [&](std::size_t i) -> char32_t { return byte(i) & 0x3Fu; };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | tail(1), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | tail(1) << 6 | tail(2), 3};
  return {(lead & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4};
}

// Offset of the first byte that is not part of a valid character; npos if there is none.
std::size_t FindInvalidUtf8(std::string_view text);

// Throws Error with the offset of the first byte that is not part of a valid character.
void RequireUtf8(std::string_view text);

// `bytes` with U+FFFD for what forms no character: for each such byte, or for each run of bytes
// that begins a character and breaks off (Unicode's "maximal subpart", as Rust and Python do).
enum class Replacement { kPerByte, kPerSubpart };
std::string ReplaceInvalidUtf8(std::string_view bytes, Replacement replacement);

// Writes `content` for each `pattern` (not empty), from left to right.
void ReplaceAll(std::string& text, std::string_view pattern, std::string_view content);

}  // namespace pivotal::data
