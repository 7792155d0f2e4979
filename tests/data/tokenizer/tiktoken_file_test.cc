// Apache-2.0.
#include <gmock/gmock.h>

#include "data/tokenizer/tokenizer_files.h"
#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

using Ids = std::vector<TokenId>;
using ::testing::HasSubstr;

constexpr const char* kFile = "cl100k_base.tiktoken";

std::string Base64(std::string_view bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (int shift = 18; shift >= 0; shift -= 6) text += kDigits[bits >> shift & 63];
  }
  const std::size_t padding = (3 - bytes.size() % 3) % 3;
  for (std::size_t k = 1; k <= padding; ++k) text[text.size() - k] = '=';
  return text;
}

// Returns a file that ranks all bytes by their value, then some longer tokens.
std::string Ranks() {
  std::string text;
  for (int byte = 0; byte < 256; ++byte) {
    text += fmt::format("{} {}\n", Base64(std::string(1, static_cast<char>(byte))), byte);
  }
  int rank = 256;
  for (const char* token : {"he", "lo", "hel", "hello", " w", "é", "ell"}) {
    text += Base64(token) + fmt::format(" {}\n", rank++);
  }
  return text;
}

class TiktokenFile : public ::testing::Test {
 protected:
  std::unique_ptr<const Tokenizer> Load(const std::string& ranks) {
    folder_.Write(kFile, ranks);
    return LoadTokenizer(folder_.path());
  }
  std::string Fault(const std::string& ranks) {
    return testing::ErrorText([&] { Load(ranks); });
  }
  testing::TempDir folder_;
};

// Python's tiktoken 0.14 gives the same with these ranks.
TEST_F(TiktokenFile, MergesByTheRankOfTheResult) {
  const auto tokenizer = Load(Ranks());
  EXPECT_EQ(tokenizer->VocabSize(), 263);
  EXPECT_EQ(tokenizer->bos(), -1);
  EXPECT_EQ(tokenizer->Encode("hello w"), (Ids{259, 260}));
  EXPECT_EQ(tokenizer->Encode("hellol"), (Ids{259, 'l'}));
  EXPECT_EQ(tokenizer->Encode("ell"), Ids{262})
      << "a token as a whole, though nothing merges to it";
  EXPECT_EQ(tokenizer->Encode("Xé"), (Ids{'X', 261}));
  EXPECT_EQ(tokenizer->Decode(Ids{259, 260, 0xC3}), "hello w\uFFFD");
  EXPECT_EQ(tokenizer->Piece(260), " w");
}

TEST_F(TiktokenFile, AddedTokensComeFromTheConfig) {
  folder_.Write("tokenizer_config.json", R"({"eos_token": "<|end|>", "added_tokens_decoder": {
    "300": {"content": "<|end|>", "special": true}}})");
  const auto tokenizer = Load(Ranks());
  EXPECT_EQ(tokenizer->eos(), 300);
  EXPECT_EQ(tokenizer->Encode("he<|end|>lo"), (Ids{256, 300, 257}));
  EXPECT_EQ(tokenizer->Decode(Ids{256, 300, 257}), "helo");
  folder_.Write("tokenizer_config.json",
                R"({"added_tokens_decoder": {"256": {"content": "<|end|>"}}})");
  EXPECT_THAT(Fault(Ranks()), HasSubstr("id 256 of \"<|end|>\" is a token of the *.tiktoken file"));
}

TEST_F(TiktokenFile, FaultsNameTheLine) {
  const std::string ranks = Ranks();
  for (const char* line : {"aGk", "aGk= -1", "aGk= 2147483648", "aGk= 4000000", "aGk= 5x",
                           "a*k= 300", " 300", "aGk=  300"}) {
    EXPECT_THAT(Fault(ranks + line), HasSubstr("cl100k_base.tiktoken:264: a token in base64"))
        << line;
  }
  EXPECT_THAT(Fault(ranks + "aGk= 256\n"), HasSubstr(":264: rank 256 stands twice"));
  EXPECT_THAT(Fault(ranks + "aGU= 300\n"), HasSubstr(":264: token \"aGU=\" stands twice"));
  EXPECT_THAT(Fault(ranks.substr(ranks.find('\n') + 1)), HasSubstr("no token for byte 0x00"));
  EXPECT_THAT(Fault(""), HasSubstr("no token for byte 0x00"));
  folder_.Write("p50k_base.tiktoken", ranks);
  EXPECT_THAT(Fault(ranks), HasSubstr("more than one *.tiktoken"));
  std::filesystem::remove(folder_.path() / kFile);
  EXPECT_THAT(testing::ErrorText([&] { LoadTokenizer(folder_.path()); }),
              HasSubstr("p50k_base.tiktoken: only cl100k_base.tiktoken and"));
}

}  // namespace
}  // namespace pivotal::data
