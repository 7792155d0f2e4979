// Apache-2.0.
#include "data/tokenizer/token_lines.h"

#include <gmock/gmock.h>

#include <sstream>

#include "tests/support/byte_tokenizer.h"
#include "tests/support/error_text.h"

namespace pivotal::data {
namespace {

const testing::ByteTokenizer kTokenizer;

std::string Encode(const std::string& text, bool add_special = false) {
  std::istringstream in(text);
  std::string out;
  EncodeLines(kTokenizer, add_special, in, "in.txt", [&](std::string_view t) { out += t; });
  return out;
}

std::string Decode(const std::string& text) {
  std::istringstream in(text);
  std::string out;
  DecodeLines(kTokenizer, in, "in.jsonl", [&](std::string_view t) { out += t; });
  return out;
}

TEST(TokenLines, OneArrayPerLine) {
  EXPECT_EQ(Encode(""), "");
  EXPECT_EQ(Encode("a 4\n\nb"), "[97, 256]\n[]\n[98]\n");
  EXPECT_EQ(Encode("a\r\nb\rc\n"), "[97]\n[98, 13, 99]\n");
  EXPECT_EQ(Encode("a\n", true), "[257, 97]\n");
}

TEST(TokenLines, AndBack) {
  EXPECT_EQ(Decode("[97, 256]\n[]\r\n [ 98 ,99 ] \n"), "a 4\n\nbc\n");
  EXPECT_EQ(Decode(Encode("one\n\ntwo  4\n")), "one\n\ntwo  4\n");
  std::istringstream in("[97, 10, 98]\n[99]");
  const LineCounts counts = DecodeLines(kTokenizer, in, "in.jsonl", [](std::string_view) {});
  EXPECT_EQ(counts.lines, 2u);
  EXPECT_EQ(counts.tokens, 4u);
  EXPECT_EQ(counts.broken, 1u);
}

TEST(TokenLines, FaultsNameTheLine) {
  for (const char* line :
       {"", "1", "[1", "[1,]", "[,1]", "[1] 2", "[1.5]", "[\"a\"]", "[[1]]", "{}"}) {
    EXPECT_THAT(testing::ErrorText([&] { Decode(std::string("[1]\n") + line + "\n"); }),
                ::testing::HasSubstr("in.jsonl:2: an array of token ids is needed"))
        << line;
  }
  for (const char* id : {"-1", "259", "2147483648", "99999999999999999999"}) {
    EXPECT_EQ(testing::ErrorText([&] { Decode(std::string("[") + id + "]"); }),
              std::string("in.jsonl:1: ") + id + " is no token id of this tokenizer: 0 to 258 are");
  }
}

}  // namespace
}  // namespace pivotal::data
