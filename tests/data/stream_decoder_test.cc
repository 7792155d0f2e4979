// Apache-2.0. The pieces joined are the whole decode, none ends inside a character, and the cost of a
// token does not grow.
#include "data/stream_decoder.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "data/utf8.h"
#include "kernels/philox.h"
#include "tests/data/byte_tokenizer.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

constexpr const char* kTinyModel = PIVOTAL_SOURCE_DIR "/experiments/tiny/model";

// ByteTokenizer whose Decode keeps the contract: always valid UTF-8. A control token (BOS) keeps the
// bytes around it apart if `separates`. Counts the ids that it decodes.
class Utf8Bytes : public testing::ByteTokenizer {
 public:
  explicit Utf8Bytes(bool separates = false) : separates_(separates) {}
  std::string Decode(std::span<const TokenId> ids, bool at_start) const override {
    decoded_ += ids.size();
    std::string text, bytes;
    for (const TokenId id : ids) {
      if (id == kBos && separates_) Flush(bytes, text);
      bytes += ByteTokenizer::Decode({&id, 1}, at_start);
    }
    Flush(bytes, text);
    return text;
  }
  std::size_t decoded() const { return decoded_; }

 private:
  // One U+FFFD for each byte that belongs to no character.
  static void Flush(std::string& bytes, std::string& text) {
    for (std::size_t i = 0; i < bytes.size();) {
      const std::size_t length = Utf8LengthAt(bytes, i);
      text += length > 0 ? bytes.substr(i, length) : "\uFFFD";
      i += length > 0 ? length : 1;
    }
    bytes.clear();
  }
  bool separates_;
  mutable std::size_t decoded_ = 0;
};

void ExpectSame(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, bool at_start) {
  StreamDecoder decoder(tokenizer, at_start);
  std::string text;
  for (const TokenId id : ids) {
    const std::string piece = decoder.Add(id);
    ASSERT_EQ(FindInvalidUtf8(piece), std::string::npos);
    text += piece;
  }
  text += decoder.Finish();
  ASSERT_EQ(text, tokenizer.Decode(ids, at_start)) << ::testing::PrintToString(ids);
}

std::vector<TokenId> Draw(kernels::RandomStream& random, const std::vector<TokenId>& choices, std::size_t count) {
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < count; ++i) ids.push_back(choices[random.Below(choices.size())]);
  return ids;
}

TEST(StreamDecoder, PrintsACharacterWhenItsLastByteIsThere) {
  const Utf8Bytes tokenizer;
  StreamDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.Add('a'), "a");
  EXPECT_EQ(decoder.Add(0xE2), "");
  EXPECT_EQ(decoder.Add(0x82), "");
  EXPECT_EQ(decoder.Add(0xAC), "\u20AC");
  EXPECT_EQ(decoder.Add(0xC3), "");
  EXPECT_EQ(decoder.Add('b'), "\uFFFD" "b");
  EXPECT_EQ(decoder.Add(0xF0), "");
  EXPECT_EQ(decoder.Finish(), "\uFFFD");
  EXPECT_EQ(decoder.Finish(), "");
}

TEST(StreamDecoder, EqualsTheWholeDecodeOfRandomBytes) {
  kernels::RandomStream random(1, 2);
  const std::vector<TokenId> bytes = {'a', 0x80, 0x82, 0xAC, 0xC3, 0xE2, 0xED, 0xF0, 0x9F, 0x98, 0xFF, 256, 257};
  for (const bool separates : {false, true}) {
    const Utf8Bytes tokenizer(separates);
    for (int i = 0; i < 5000; ++i) ExpectSame(tokenizer, Draw(random, bytes, random.Below(40)), i % 2 == 0);
  }
}

// The shipped tokenizer, as tokenizer.json or as tokenizer.model alone.
class ShippedTokenizer : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(StreamDecoder, ShippedTokenizer, ::testing::Bool());

TEST_P(ShippedTokenizer, EqualsTheWholeDecode) {
  const bool json = GetParam();
  const testing::TempDir folder;
  std::filesystem::copy(kTinyModel, folder.path());
  std::filesystem::remove(folder.path() / (json ? "tokenizer.model" : "tokenizer.json"));
  const auto tokenizer = LoadTokenizer(folder.path());
  kernels::RandomStream random(1, 3);
  int compared = 0;
  // A tokenizer.json prints every byte of a run that is not all text as U+FFFD: what was streamed
  // before the bad byte can not be taken back.
  const auto expect_same = [&](const std::vector<TokenId>& ids, bool at_start) {
    if (json && tokenizer->Decode(ids, at_start).find("\uFFFD") != std::string::npos) return;
    ExpectSame(*tokenizer, ids, at_start);
    ++compared;
  };
  std::vector<TokenId> all, few;
  for (TokenId id = 0; id < tokenizer->VocabSize() + 2; ++id) all.push_back(id);
  for (const char* text : {"\u20AC", "\U0001F600", "\u00e9", " a", " "})
    for (const TokenId id : tokenizer->Encode(text)) few.push_back(id);
  for (const TokenId id : {0, 1, 2, 3}) few.push_back(id);
  for (int i = 0; i < 3000; ++i) {
    expect_same(Draw(random, all, random.Below(30)), i % 2 == 0);
    expect_same(Draw(random, few, random.Below(30)), i % 2 == 0);
  }
  EXPECT_GT(compared, 500);
  expect_same(tokenizer->Encode("Na\u00efve \u20AC \U0001F468\u200D\U0001F469\u200D\U0001F467 x"), true);
}

TEST(StreamDecoder, CostsTheSamePerTokenHoweverLongTheResponse) {
  for (const TokenId id : {TokenId{'a'}, TokenId{0xE2}, TokenId{0xFF}, Utf8Bytes::kBos}) {
    const Utf8Bytes tokenizer;
    StreamDecoder decoder(tokenizer);
    decoder.Add(0xE2);
    for (int i = 0; i < 20000; ++i) decoder.Add(id);
    EXPECT_LT(tokenizer.decoded(), 20000u * 100) << id;
  }
}

}  // namespace
}  // namespace pivotal::data
