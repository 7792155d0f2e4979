// Apache-2.0. The characters by which byte-level vocabularies write bytes.
#include "data/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "data/utf8.h"

namespace pivotal::data {
namespace {

// As bytes_to_unicode of GPT-2: what prints in Latin-1 stands for itself, the others follow U+0100.
struct Alphabet {
  std::array<std::string, 256> text;
  std::array<int16_t, 0x200> byte_of{};

  Alphabet() {
    byte_of.fill(-1);
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool prints = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
      const char32_t code = prints ? byte : next++;
      byte_of[code] = static_cast<int16_t>(byte);
      if (code < 0x80) {
        text[byte] = static_cast<char>(code);
      } else {
        text[byte] = {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
      }
    }
  }
};

const Alphabet& TheAlphabet() {
  static const Alphabet alphabet;
  return alphabet;
}

}  // namespace

std::string_view CharOfByte(unsigned char byte) { return TheAlphabet().text[byte]; }

bool AppendBytesOf(std::string_view text, std::string& bytes) {
  const std::size_t size = bytes.size();
  for (std::size_t i = 0; i < text.size();) {
    const auto [code, length] = ReadUtf8(text, i);
    const int byte = code < 0x200 ? TheAlphabet().byte_of[code] : -1;
    if (byte < 0) {
      bytes.resize(size);
      return false;
    }
    bytes += static_cast<char>(byte);
    i += length;
  }
  return true;
}

}  // namespace pivotal::data
