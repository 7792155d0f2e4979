// Apache-2.0. The characters by which byte-level vocabularies (GPT-2) write bytes: 'G' for 'G', but
// "Ġ" for a blank.
#pragma once

#include <string>
#include <string_view>

namespace pivotal::data {

// The character of a byte, as UTF-8.
std::string_view CharOfByte(unsigned char byte);

// Appends the bytes that `text` (UTF-8) stands for. False, and nothing is appended, if it has a
// character that stands for no byte.
bool AppendBytesOf(std::string_view text, std::string& bytes);

}  // namespace pivotal::data
