// Apache-2.0. zlib and libzstd make the compressed files.
#include "data/base/byte_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <string>

#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using ::testing::EndsWith;
using testing::ErrorText;
using ::testing::HasSubstr;

std::string Gzip(const std::string& text) {
  z_stream stream = {};
  ::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string packed(::deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  ::deflateEnd(&stream);
  return packed;
}

std::string Zstandard(const std::string& text) {
  std::string packed(::ZSTD_compressBound(text.size()), '\0');
  packed.resize(::ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  return packed;
}

class Bytes : public ::testing::Test {
 protected:
  std::string Read(const std::string& bytes) {
    const fs::path path = folder_.Write("f", bytes);
    const auto source = Unpacked(OpenPlain(path), path);
    std::string all;
    for (std::string_view piece; !(piece = source->Next()).empty();) all += piece;
    EXPECT_EQ(source->Next(), "") << "the end stays the end";
    return all;
  }

  testing::TempDir folder_;
};

// Sizes at the borders of the pieces of 64 KiB, and texts that shrink to almost nothing.
TEST_F(Bytes, ComeBackFromBothCompressions) {
  for (const std::size_t size : {0, 1, 65535, 65536, 65537, 131072, 1'000'000}) {
    std::string mixed(size, '\0');
    uint32_t state = 1;
    for (char& c : mixed) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    for (const std::string& text : {std::string(size, 'x'), mixed}) {
      EXPECT_EQ(Read(Gzip(text)), text) << size;
      EXPECT_EQ(Read(Zstandard(text)), text) << size;
    }
  }
}

TEST_F(Bytes, MembersAndFramesAreJoined) {
  const std::string large(200'000, 'y');
  EXPECT_EQ(Read(Gzip("a") + Gzip("") + Gzip(large)), "a" + large);
  EXPECT_EQ(Read(Gzip("a") + std::string(600, '\0')), "a") << "filled up as by tar";
  EXPECT_EQ(Read(Zstandard(large) + Zstandard("b")), large + "b");
}

TEST_F(Bytes, OtherContentStaysAsItIs) {
  for (const std::string text : {"", "a", "\x1F", "{\"a\": 1}\n", "PAR1"})
    EXPECT_EQ(Read(text), text);
}

TEST_F(Bytes, DamageIsNamed) {
  std::string text;
  for (int i = 0; i < 30'000; ++i) text += std::to_string(i * 7919);
  for (const std::string& packed : {Gzip(text), Zstandard(text)}) {
    EXPECT_THAT(ErrorText([&] { Read(packed.substr(0, packed.size() - 3)); }),
                EndsWith("/f: the compressed data ends early: fetch the file again"));
    EXPECT_THAT(ErrorText([&] { Read(packed.substr(0, 20)); }), HasSubstr("ends early"));
    std::string damaged = packed;
    for (int i = 0; i < 100; ++i) damaged[packed.size() / 2 + i] ^= 0x55;
    EXPECT_THAT(ErrorText([&] { Read(damaged); }), HasSubstr("/f: the compressed data is damaged"));
  }
  EXPECT_THAT(ErrorText([&] { Read(Gzip("a") + "more"); }), HasSubstr("is damaged"));
}

TEST_F(Bytes, SaysWhatItCannotUnpack) {
  EXPECT_THAT(ErrorText([&] { Read("PK\x03\x04..."); }),
              EndsWith("/f: is a ZIP archive; unpack it first"));
  EXPECT_THAT(ErrorText([&] {
                Read(
                    "\xFD"
                    "7zXZ...");
              }),
              HasSubstr("compressed by xz"));
  EXPECT_THAT(ErrorText([&] { Read("BZh9"); }), HasSubstr("compressed by bzip2"));
}

}  // namespace
}  // namespace pivotal::data
