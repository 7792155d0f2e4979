// Apache-2.0.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include <cstring>
#include <random>
#include <vector>

#include "data/base/file_sink.h"
#include "data/base/utf8.h"
#include "data/template/prompt_format.h"
#include "data/tokenizer/tokenizer_files.h"
#include "pivotal/tokenizer.h"
#include "tests/support/error_text.h"
#include "tests/support/sentencepiece_models.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using sentencepiece::SentencePieceProcessor;
using ::testing::ElementsAre;
using testing::ErrorText;
using ::testing::HasSubstr;
using Ids = std::vector<TokenId>;

constexpr TokenId kUnk = 0, kBos = 1, kEos = 2, kPad = 3, kUserSymbol = 4, kByte0 = 5;

const std::string& Model() {
  static const std::string model = testing::TrainModel();
  return model;
}

// Adds tokens like those of Phi-3 to the pieces of the model.
constexpr const char* kChatConfig = R"({
  "tokenizer_class": "LlamaTokenizer", "add_bos_token": false, "legacy": %LEGACY%,
  "bos_token": "<s>", "eos_token": "<|endoftext|>",
  "added_tokens_decoder": {
    "2": {"content": "</s>", "special": false, "rstrip": true},
    "360": {"content": "<|endoftext|>", "special": true},
    "361": {"content": "<|user|>", "special": true, "rstrip": true},
    "363": {"content": "<tool>", "special": false}}})";

class SentencePieceTokenizer : public ::testing::Test {
 protected:
  SentencePieceTokenizer() {
    folder_.Write("tokenizer.model", Model());
    if (!reference_.LoadFromSerializedProto(Model()).ok()) ADD_FAILURE() << "model";
  }
  std::unique_ptr<const Tokenizer> Load() { return LoadTokenizer(folder_.path()); }
  std::unique_ptr<const Tokenizer> LoadChat(const std::string& legacy) {
    std::string config = kChatConfig;
    config.replace(config.find("%LEGACY%"), 8, legacy);
    folder_.Write("tokenizer_config.json", config);
    return Load();
  }
  Ids Reference(const std::string& text) const { return reference_.EncodeAsIds(text); }

  testing::TempDir folder_;
  SentencePieceProcessor reference_;
};

const std::vector<std::string>& Texts() {
  static const std::vector<std::string> texts = {"",
                                                 "a",
                                                 " ",
                                                 "  ",
                                                 "Question: what is 12 + 34?",
                                                 " Answer: 46",
                                                 "two\nlines\n",
                                                 "\n",
                                                 "\t x",
                                                 "emoji 😀!",
                                                 "日本語 12",
                                                 "é\u0301",
                                                 std::string("nul\0byte", 8),
                                                 "The  answer   is",
                                                 "<user>1",
                                                 "Answer<user>",
                                                 "trailing ",
                                                 "\U0010FFFF",
                                                 "12345678901234567890"};
  return texts;
}

TEST_F(SentencePieceTokenizer, EncodesAsSentencePieceDoes) {
  const auto tokenizer = Load();
  for (const std::string& text : Texts())
    EXPECT_EQ(tokenizer->Encode(text), Reference(text)) << text;
}

TEST_F(SentencePieceTokenizer, DecodesAsSentencePieceDoes) {
  const auto tokenizer = Load();
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    Ids ids(1 + random() % 12);
    for (TokenId& id : ids) id = static_cast<TokenId>(random() % testing::kPieces);
    std::string want;
    ASSERT_TRUE(reference_.Decode(ids, &want).ok());
    ASSERT_EQ(tokenizer->Decode(ids, true), want) << ::testing::PrintToString(ids);
  }
}

TEST_F(SentencePieceTokenizer, TextsSurviveTheRoundTrip) {
  const auto tokenizer = Load();
  for (const std::string& text : Texts()) {
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text), true), text);
  }
}

TEST_F(SentencePieceTokenizer, InTheMiddleOfATextTheBlankStays) {
  const auto tokenizer = Load();
  const Ids ids = tokenizer->Encode("Answer: 46");
  EXPECT_EQ(tokenizer->Decode(ids, false), " Answer: 46");
  EXPECT_EQ(tokenizer->Decode(Ids{kBos, ids[0]}, true), tokenizer->Piece(ids[0]).substr(1))
      << "BOS is no text";
  std::string joined;
  for (const TokenId id : ids) joined += tokenizer->Decode(Ids{id});
  EXPECT_EQ(joined, " Answer: 46") << "token by token";
}

TEST_F(SentencePieceTokenizer, BytesFormCharactersOrPrintAReplacement) {
  const auto tokenizer = Load();
  const auto byte = [](int value) { return kByte0 + value; };
  EXPECT_EQ(tokenizer->Decode(Ids{byte(0xF0), byte(0x9F), byte(0x98), byte(0x80)}), "😀");
  EXPECT_EQ(tokenizer->Decode(Ids{byte(0xF0), byte(0x9F)}), "\uFFFD\uFFFD");
  EXPECT_EQ(tokenizer->Decode(Ids{byte(0xC3), kUserSymbol, byte(0xA9)}), "\uFFFD<user>\uFFFD");
  EXPECT_EQ(tokenizer->Decode(Ids{byte('\n')}), "\n");
}

TEST_F(SentencePieceTokenizer, ControlTokensPrintNothingButHaveNames) {
  const auto tokenizer = Load();
  EXPECT_EQ(tokenizer->Decode(Ids{kBos, kEos, kPad, 360, -1, INT32_MAX}), "");
  EXPECT_EQ(tokenizer->Decode(Ids{kUnk}), " \u2047 ");
  EXPECT_EQ(tokenizer->Piece(kUnk), "<unk>");
  EXPECT_EQ(tokenizer->Piece(kEos), "</s>");
  EXPECT_EQ(tokenizer->Piece(kPad), "<pad>");
  EXPECT_EQ(tokenizer->Piece(kByte0 + '\n'), "<0x0A>");
  EXPECT_EQ(tokenizer->Piece(kUserSymbol), "<user>");
  EXPECT_EQ(tokenizer->Piece(360), "<360>");
  EXPECT_EQ(tokenizer->Piece(-1), "<-1>");
  const TokenId answer = tokenizer->Encode("Answer")[0];
  EXPECT_EQ(tokenizer->Piece(answer)[0], ' ');
}

TEST_F(SentencePieceTokenizer, WithoutConfigTheModelDecides) {
  const auto tokenizer = Load();
  EXPECT_EQ(tokenizer->bos(), kBos);
  EXPECT_EQ(tokenizer->eos(), kEos);
  EXPECT_FALSE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->VocabSize(), testing::kPieces);
  folder_.Write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer"})");
  EXPECT_TRUE(Load()->adds_bos());
  folder_.Write("tokenizer_config.json", R"({"add_bos_token": true, "bos_token": null})");
  EXPECT_EQ(Load()->bos(), -1);
  EXPECT_FALSE(Load()->adds_bos()) << "there is none to add";
}

TEST_F(SentencePieceTokenizer, AddedTokensBecomeTheirIds) {
  const auto tokenizer = LoadChat("true");
  EXPECT_EQ(tokenizer->VocabSize(), 364);
  EXPECT_EQ(tokenizer->eos(), 360);
  EXPECT_EQ(tokenizer->bos(), kBos);
  EXPECT_FALSE(tokenizer->adds_bos());
  EXPECT_THAT(tokenizer->Encode("<|user|>"), ElementsAre(361));
  EXPECT_THAT(tokenizer->Encode("<|user|>\n</s> <tool>"), ElementsAre(361, 2, 363));
  Ids want = {361};
  for (const TokenId id : Reference("12 + 3")) want.push_back(id);
  want.push_back(363);
  EXPECT_EQ(tokenizer->Encode("<|user|>\n12 + 3<tool>"), want);
  EXPECT_EQ(tokenizer->Encode("<|user"), Reference("<|user"));
  EXPECT_EQ(tokenizer->Decode(Ids{361, 363, 362, 360, 2}), "<tool>");
  EXPECT_EQ(tokenizer->Piece(361), "<|user|>");
  EXPECT_EQ(tokenizer->Piece(362), "<362>");
}

// With legacy=False only the start of a text gets the blank, as in transformers' LlamaTokenizer.
TEST_F(SentencePieceTokenizer, LegacyDecidesOnTheBlankAfterAddedTokens) {
  const TokenId blank_answer = Reference("Answer")[0];
  EXPECT_EQ(LoadChat("true")->Encode("<|user|>Answer")[1], blank_answer);
  const auto tokenizer = LoadChat("false");
  EXPECT_NE(tokenizer->Encode("<|user|>Answer")[1], blank_answer);
  EXPECT_EQ(tokenizer->Encode("<|user|> Answer<tool>Answer")[1],
            tokenizer->Encode("<|user|>Answer")[1])
      << "rstrip took the blank";
  EXPECT_EQ(tokenizer->Encode("Answer<tool>")[0], blank_answer);
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("<tool>Answer<tool>1"), true),
            "<tool>Answer<tool>1");
}

TEST_F(SentencePieceTokenizer, TextThatIsNotUtf8IsRefused) {
  EXPECT_EQ(ErrorText([&] { Load()->Encode("abc\xFF"); }),
            "text is not UTF-8 at byte 3 (0xFF); convert it first");
}

TEST_F(SentencePieceTokenizer, FaultyFoldersAreErrors) {
  folder_.Write("tokenizer_config.json", R"({"eos_token": "<none>"})");
  EXPECT_THAT(ErrorText([&] { Load(); }),
              HasSubstr("eos_token \"<none>\" is neither in tokenizer.model nor an added token"));
  folder_.Write("tokenizer_config.json",
                R"({"added_tokens_decoder": {"2147483647": {"content": "a"}}})");
  EXPECT_THAT(ErrorText([&] { Load(); }), HasSubstr("must be an id from 0 to"));
  folder_.Write("tokenizer.model", "");
  EXPECT_THAT(ErrorText([&] { Load(); }), HasSubstr("tokenizer.model: damaged"));
  fs::remove(folder_.path() / "tokenizer.model");
  EXPECT_THAT(ErrorText([&] { Load(); }),
              HasSubstr("no tokenizer.json, tokenizer.model or *.tiktoken in this folder"));
}

// Hugging Face tokenizers 0.23 gives these ids with the same tokenizer.json.
TEST(SentencePieceTokenizerRealData, Phi3GivesTheIdsOfTransformers) {
  const fs::path phi3 = PIVOTAL_SOURCE_DIR "/../shared/data/tokenizers/phi-3-mini";
  if (!fs::exists(phi3)) GTEST_SKIP() << "no " << phi3;
  const testing::TempDir folder;
  folder.Write("tokenizer.model", testing::Phi3Model((phi3 / "tokenizer.json").string()));
  // The folder's tokenizer.json does the opposite of its "legacy": false.
  std::string config = ReadFile(phi3 / "tokenizer_config.json");
  config.replace(config.find("\"legacy\": false"), 15, "\"legacy\": true");
  folder.Write("tokenizer_config.json", config);
  const auto tokenizer = LoadTokenizer(folder.path());
  EXPECT_EQ(tokenizer->VocabSize(), 32011);
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->eos(), 32000);
  EXPECT_FALSE(tokenizer->adds_bos());
  EXPECT_EQ(DetectPromptFormat(*tokenizer), PromptFormat::kPhi3);
  EXPECT_THAT(EncodePrompt(*tokenizer, PromptFormat::kPhi3, "How many eggs?"),
              ElementsAre(32010, 1128, 1784, 29808, 29973, 32007, 32001));
  EXPECT_THAT(tokenizer->Encode(" 12 + 34 = 46\n\n日本 😀!"),
              ElementsAre(259, 29896, 29906, 718, 29871, 29941, 29946, 353, 29871, 29946, 29953, 13,
                          13, 30325, 30346, 29871, 243, 162, 155, 131, 29991));
  EXPECT_THAT(tokenizer->Encode("a</s>  b<|end|> c"), ElementsAre(263, 2, 289, 32007, 274));
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(" 12 + 34 = 46\n\n日本 😀!"), true),
            " 12 + 34 = 46\n\n日本 😀!");
}

// A damaged model gives an Error, or a tokenizer that decodes to UTF-8; it prints nothing.
TEST_F(SentencePieceTokenizer, SurvivesDamagedModels) {
  ::testing::internal::CaptureStderr();
  std::mt19937 random(5);
  int errors = 0;
  for (const std::string& whole : {Model(), testing::TrainModel("nmt_nfkc")}) {
    for (int i = 0; i < 150; ++i) {
      std::string model = whole;
      const std::size_t near_the_end = model.size() - 1 - random() % 600;
      const std::size_t at = i % 4 == 0 ? near_the_end : random() % model.size();
      if (i % 4 == 1)
        model.resize(at);
      else
        model[at] = static_cast<char>(random());
      folder_.Write("tokenizer.model", model);
      try {
        const auto tokenizer = Load();
        const Ids ids = tokenizer->Encode("Question: ① 12 + 34? 😀 ﬁ Å");
        EXPECT_EQ(FindInvalidUtf8(tokenizer->Decode(ids)), std::string::npos);
      } catch (const Error&) {
        ++errors;
      }
    }
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_GT(errors, 50);
}

std::string Varint(std::size_t value) {
  std::string bytes;
  for (; value > 127; value >>= 7) bytes += static_cast<char>(value | 128);
  return bytes + static_cast<char>(value);
}

std::string Field(int number, const std::string& content) {
  return Varint(static_cast<std::size_t>(number) * 8 + 2) + Varint(content.size()) + content;
}

// Returns a ModelProto that has only normalizer_spec.precompiled_charsmap.
std::string ModelWith(const std::string& map) { return Field(3, Field(2, map)); }

std::string Map(const std::vector<uint32_t>& trie, const std::string& replacements) {
  std::string bytes(4 * (trie.size() + 1), '\0');
  const auto size = static_cast<uint32_t>(4 * trie.size());
  std::memcpy(bytes.data(), &size, 4);
  std::memcpy(bytes.data() + 4, trie.data(), size);
  return bytes + replacements;
}

TEST(CharsmapCheck, AcceptsWhatSentencePieceWrites) {
  EXPECT_TRUE(CharsmapsAreSound(testing::TrainModel("identity")));
  EXPECT_TRUE(CharsmapsAreSound(testing::TrainModel("nmt_nfkc_cf")));
  EXPECT_TRUE(CharsmapsAreSound(""));
}

TEST(CharsmapCheck, RefusesStepsOutOfTheTrie) {
  const std::string replacement("x\0", 2);
  std::vector<uint32_t> trie(256, 0);
  EXPECT_TRUE(CharsmapsAreSound(ModelWith(Map(trie, replacement))));
  trie[7] = 255u << 10;
  EXPECT_TRUE(CharsmapsAreSound(ModelWith(Map(trie, replacement))));
  trie[7] = 256u << 10;
  EXPECT_FALSE(CharsmapsAreSound(ModelWith(Map(trie, replacement))));
  trie[7] = (1u << 10) | (1u << 9);  // bit 9 multiplies the offset by 256
  EXPECT_FALSE(CharsmapsAreSound(ModelWith(Map(trie, replacement))));
  trie.assign(255, 0);
  EXPECT_FALSE(CharsmapsAreSound(ModelWith(Map(trie, replacement)))) << "0xFF leads out";
}

TEST(CharsmapCheck, RefusesValuesPastTheReplacements) {
  std::vector<uint32_t> trie(256, 0);
  trie[0] = (1u << 10) | (1u << 8);  // unit 1 holds a value
  trie[1] = (1u << 31) | 1;
  EXPECT_TRUE(CharsmapsAreSound(ModelWith(Map(trie, std::string("x\0", 2)))));
  trie[1] = (1u << 31) | 2;
  EXPECT_FALSE(CharsmapsAreSound(ModelWith(Map(trie, std::string("x\0", 2)))));
  trie[1] = 0;
  EXPECT_FALSE(CharsmapsAreSound(ModelWith(Map(trie, "xy")))) << "no end";
  EXPECT_FALSE(CharsmapsAreSound(ModelWith(Map(trie, ""))));
}

TEST(CharsmapCheck, RefusesWhatIsNoProtobuf) {
  EXPECT_FALSE(CharsmapsAreSound("\x0A\x7F"));
  EXPECT_FALSE(CharsmapsAreSound("\x1B"));
  EXPECT_FALSE(CharsmapsAreSound(std::string(20, '\xFF')));
  EXPECT_FALSE(CharsmapsAreSound(ModelWith("abc")));
  EXPECT_FALSE(CharsmapsAreSound(ModelWith(std::string("\xFF\xFF\xFF\x7F", 4))));
}

}  // namespace
}  // namespace pivotal::data
