// Apache-2.0. Checks of UTF-8 (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF).
#pragma once

#include <cstddef>
#include <string_view>

namespace pivotal::data {

// Length in bytes (1 to 4) of the character that starts at `offset`; 0 if there is no valid one.
std::size_t Utf8LengthAt(std::string_view text, std::size_t offset);

// Offset of the first byte that is not part of a valid character; npos if there is none.
std::size_t FindInvalidUtf8(std::string_view text);

}  // namespace pivotal::data
