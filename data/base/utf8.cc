// Apache-2.0.
#include "data/base/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "data/base/error.h"

namespace pivotal::data {
namespace {

// Returns the number of bytes at `offset` that begin a character and break off, at least 1.
std::size_t SubpartLengthAt(std::string_view text, std::size_t offset) {
  std::string probe;
  for (std::size_t length = 1; length <= 3 && offset + length <= text.size(); ++length) {
    // A character begins with these bytes if the smallest or the largest tail completes them.
    bool begins = false;
    for (const char tail : {'\x80', '\xBF'}) {
      for (std::size_t whole = length + 1; whole <= 4 && !begins; ++whole) {
        probe.assign(text.substr(offset, length)).append(whole - length, tail);
        begins = Utf8LengthAt(probe, 0) == whole;
      }
    }
    if (!begins) return length > 1 ? length - 1 : 1;
  }
  return std::min<std::size_t>(3, text.size() - offset);
}

}  // namespace

std::size_t Utf8LengthAt(std::string_view text, std::size_t offset) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return offset + i < text.size() ? static_cast<unsigned char>(text[offset + i]) : 0u;
  };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  if (offset >= text.size()) return 0;
  const unsigned lead = byte(0), next = byte(1);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return continues(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool overlong = lead == 0xE0 && next < 0xA0;
    const bool surrogate = lead == 0xED && next > 0x9F;
    return continues(1) && continues(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool overlong = lead == 0xF0 && next < 0x90;
    const bool too_large = lead == 0xF4 && next > 0x8F;
    return continues(1) && continues(2) && continues(3) && !overlong && !too_large ? 4 : 0;
  }
  return 0;
}

std::size_t FindInvalidUtf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    uint64_t eight = 0;  // skips ASCII eight bytes at a time
    while (i + 8 <= text.size()) {
      std::memcpy(&eight, text.data() + i, 8);
      if ((eight & 0x8080808080808080u) != 0) break;
      i += 8;
    }
    if (i == text.size()) break;
    const std::size_t length = Utf8LengthAt(text, i);
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

void RequireUtf8(std::string_view text) {
  const std::size_t bad = FindInvalidUtf8(text);
  if (bad == std::string_view::npos) return;
  Fail("text is not UTF-8 at byte {} (0x{:02X}); convert it first", bad,
       static_cast<unsigned char>(text[bad]));
}

std::string ReplaceInvalidUtf8(std::string_view bytes, Replacement replacement) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t length = Utf8LengthAt(bytes, i);
    if (length > 0) {
      text.append(bytes.substr(i, length));
      i += length;
      continue;
    }
    text += "\uFFFD";
    i += replacement == Replacement::kPerByte ? 1 : SubpartLengthAt(bytes, i);
  }
  return text;
}

}  // namespace pivotal::data
