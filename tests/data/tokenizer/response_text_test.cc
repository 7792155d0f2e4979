// Apache-2.0.
#include "data/tokenizer/response_text.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/error.h"
#include "data/base/utf8.h"
#include "kernels/philox.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

using testing::ByteTokenizer;

std::vector<TokenId> Ids(std::string_view text) { return ByteTokenizer().Encode(text); }

TEST(StopStrings, EndsWithTheTokenThatCompletesOne) {
  const ByteTokenizer tokenizer;
  const StopStrings stops(tokenizer, {"\n\nQ", "STOP"});
  const auto response = Ids("7 * 8\n\n\nQuestion");
  for (std::size_t count = 1; count <= response.size(); ++count) {
    const bool complete =
        std::string("7 * 8\n\n\nQuestion").substr(0, count).find("\n\nQ") != std::string::npos;
    if (count > 9) continue;
    EXPECT_EQ(stops.Ends(std::span(response).first(count)), complete) << count;
  }
  EXPECT_TRUE(stops.Ends(Ids("aSTOP")));
  EXPECT_FALSE(stops.Ends(Ids("aSTO")));
  EXPECT_FALSE(stops.Ends({}));
  EXPECT_FALSE(StopStrings(tokenizer, {}).Ends(Ids("a")));
}

// The text of a token may continue after the stop string.
TEST(StopStrings, LooksInsideTokens) {
  const ByteTokenizer tokenizer;
  EXPECT_TRUE(
      StopStrings(tokenizer, {"x "}).Ends(std::vector<TokenId>{'x', ByteTokenizer::kBlank4}));
  EXPECT_TRUE(
      StopStrings(tokenizer, {" "}).Ends(std::vector<TokenId>{'x', ByteTokenizer::kBlank4}));
}

// Tokens that print nothing don't hide the text before them.
TEST(StopStrings, SeesPastSilentTokens) {
  const ByteTokenizer tokenizer;
  std::vector<TokenId> response = Ids("xxxxxxxxxxxxxxxxxxxxxxxxxSTO");
  response.insert(response.end(), 50, ByteTokenizer::kBos);
  response.push_back('P');
  EXPECT_TRUE(StopStrings(tokenizer, {"STOP"}).Ends(response));
}

TEST(StopStrings, CutsTheText) {
  const ByteTokenizer tokenizer;
  const StopStrings stops(tokenizer, {"\n\n", "END"});
  EXPECT_EQ(stops.Before("a END b\n\n"), "a ");
  EXPECT_EQ(stops.Before("a\n\nEND"), "a");
  EXPECT_EQ(stops.Before("a\nEN"), "a\nEN");
  EXPECT_EQ(stops.Certain("a\n"), "a");
  EXPECT_EQ(stops.Certain("a\nEN"), "a\n");
  EXPECT_EQ(stops.Certain("a\nENb"), "a\nENb");
  EXPECT_EQ(stops.Certain("aENDb"), "a");
  EXPECT_EQ(stops.Certain(""), "");
}

TEST(StopStrings, RefusesAnEmptyText) {
  const ByteTokenizer tokenizer;
  EXPECT_THROW(StopStrings(tokenizer, {"a", ""}), Error);
}

constexpr const char* kTinyModel = PIVOTAL_SOURCE_DIR "/experiments/tiny/model";

// A ByteTokenizer whose Decode() always returns valid UTF-8, as Tokenizer demands. If `separates`,
// a control token (BOS) separates the bytes around it. Counts the ids that it decodes.
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
  // Writes U+FFFD for each byte that belongs to no character.
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

// Expects pieces of whole characters that join to the text of all tokens.
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

std::vector<TokenId> Draw(kernels::RandomStream& random, const std::vector<TokenId>& choices,
                          std::size_t count) {
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
  EXPECT_EQ(decoder.Add('b'),
            "\uFFFD"
            "b");
  EXPECT_EQ(decoder.Add(0xF0), "");
  EXPECT_EQ(decoder.Finish(), "\uFFFD");
  EXPECT_EQ(decoder.Finish(), "");
}

TEST(StreamDecoder, EqualsTheWholeDecodeOfRandomBytes) {
  kernels::RandomStream random(1, 2);
  const std::vector<TokenId> bytes = {'a',  0x80, 0x82, 0xAC, 0xC3, 0xE2, 0xED,
                                      0xF0, 0x9F, 0x98, 0xFF, 256,  257};
  for (const bool separates : {false, true}) {
    const Utf8Bytes tokenizer(separates);
    for (int i = 0; i < 5000; ++i)
      ExpectSame(tokenizer, Draw(random, bytes, random.Below(40)), i % 2 == 0);
  }
}

// Loads the shipped tokenizer from tokenizer.json alone (true) or from tokenizer.model alone.
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
  // A tokenizer.json prints U+FFFD for every byte of a run that is not text as a whole, but text
  // that was returned before the bad byte can't be taken back.
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
  expect_same(tokenizer->Encode("Na\u00efve \u20AC \U0001F468\u200D\U0001F469\u200D\U0001F467 x"),
              true);
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
