// Apache-2.0.
#include "data/base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace pivotal::data {
namespace {

using namespace std::string_view_literals;

TEST(Utf8, AcceptsTextOfEveryLength) {
  EXPECT_EQ(FindInvalidUtf8(""), std::string::npos);
  EXPECT_EQ(FindInvalidUtf8("a\0b"sv), std::string::npos);
  EXPECT_EQ(FindInvalidUtf8("é日😀\U0010FFFF\uD7FF\uE000"), std::string::npos);
}

TEST(Utf8, NamesTheFirstBadByte) {
  EXPECT_EQ(FindInvalidUtf8("ab\xFF"), 2u);
  EXPECT_EQ(FindInvalidUtf8("\x80"), 0u);
  EXPECT_EQ(FindInvalidUtf8("x\xC0\xAF"), 1u) << "overlong";
  EXPECT_EQ(FindInvalidUtf8("\xE0\x80\x80"), 0u) << "overlong";
  EXPECT_EQ(FindInvalidUtf8("\xF0\x8F\xBF\xBF"), 0u) << "overlong";
  EXPECT_EQ(FindInvalidUtf8("a\xED\xA0\x80"), 1u) << "surrogate";
  EXPECT_EQ(FindInvalidUtf8("\xF4\x90\x80\x80"), 0u) << "past U+10FFFF";
  EXPECT_EQ(FindInvalidUtf8("é\xE6\x97"), 2u) << "cut";
}

// Each code point, encoded by hand, is one character, and none of its proper prefixes is.
TEST(Utf8, AgreesWithTheDefinitionOnAllCodePoints) {
  for (unsigned c = 0x80; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 37) {
    std::string text;
    const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
    if (c < 0x800) {
      text += static_cast<char>(0xC0 | (c >> 6));
    } else if (c < 0x10000) {
      text += static_cast<char>(0xE0 | (c >> 12));
      tail(6);
    } else {
      text += static_cast<char>(0xF0 | (c >> 18));
      tail(12);
      tail(6);
    }
    tail(0);
    const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
    ASSERT_EQ(Utf8LengthAt(text, 0), surrogate ? 0 : text.size()) << "U+" << std::hex << c;
    for (std::size_t n = 1; n < text.size(); ++n) {
      ASSERT_EQ(Utf8LengthAt(std::string_view(text).substr(0, n), 0), 0u) << "U+" << std::hex << c;
    }
  }
}

}  // namespace
}  // namespace pivotal::data
