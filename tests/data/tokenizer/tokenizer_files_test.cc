// Apache-2.0.
#include "data/tokenizer/tokenizer_files.h"

#include <gmock/gmock.h>

#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

using ::testing::HasSubstr;

class TokenizerConfigFile : public ::testing::Test {
 protected:
  TokenizerConfig Read(const std::string& text) {
    folder_.Write("tokenizer_config.json", text);
    return ReadTokenizerConfig(folder_.path(), 1000);
  }
  std::string ReadError(const std::string& text) {
    return testing::ErrorText([&] { Read(text); });
  }

  testing::TempDir folder_;
};

TEST_F(TokenizerConfigFile, EverythingMayBeAbsent) {
  const TokenizerConfig config = ReadTokenizerConfig(folder_.path(), 10);
  EXPECT_TRUE(config.added.empty());
  EXPECT_FALSE(config.bos || config.eos || config.adds_bos);
  EXPECT_EQ(config.prefix, PrefixScheme::kAlways);
}

TEST_F(TokenizerConfigFile, ReadsAddedTokensInTheOrderOfTheirIds) {
  const TokenizerConfig config = Read(
      R"({"added_tokens_decoder": {"10": {"content": "<b>", "special": true, "rstrip": true},
          "9": {"content": "<a>", "lstrip": true, "single_word": true}}})");
  ASSERT_EQ(config.added.size(), 2u);
  EXPECT_EQ(config.added[0].id, 9);
  EXPECT_EQ(config.added[0].content, "<a>");
  EXPECT_TRUE(config.added[0].lstrip && config.added[0].single_word);
  EXPECT_FALSE(config.added[0].special || config.added[0].rstrip);
  EXPECT_TRUE(config.added[1].special && config.added[1].rstrip);
}

TEST_F(TokenizerConfigFile, ReadsTheOlderFileToo) {
  folder_.Write("added_tokens.json", R"({"<a>": 9, "</s>": 2, "<x>": 11})");
  const TokenizerConfig config =
      Read(R"({"eos_token": {"content": "</s>"}, "additional_special_tokens": ["<x>"],
               "added_tokens_decoder": {"9": {"content": "<a>", "special": true}}})");
  ASSERT_EQ(config.added.size(), 3u);
  EXPECT_TRUE(config.added[0].special) << "</s> is the eos_token";
  EXPECT_TRUE(config.added[1].special) << "as added_tokens_decoder says";
  EXPECT_TRUE(config.added[2].special) << "named among additional_special_tokens";
  EXPECT_EQ(config.eos, "</s>");
}

TEST_F(TokenizerConfigFile, TellsNullFromAbsent) {
  const TokenizerConfig config = Read(R"({"bos_token": null, "eos_token": "</s>"})");
  EXPECT_EQ(config.bos, "");
  EXPECT_EQ(config.eos, "</s>");
  EXPECT_FALSE(Read("{}").bos.has_value());
}

TEST_F(TokenizerConfigFile, LlamaAddsBosUnlessToldOtherwise) {
  EXPECT_FALSE(Read("{}").adds_bos);
  EXPECT_TRUE(Read(R"({"tokenizer_class": "LlamaTokenizerFast"})").adds_bos);
  EXPECT_FALSE(Read(R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": false})").adds_bos);
  EXPECT_TRUE(Read(R"({"add_bos_token": true})").adds_bos);
}

TEST_F(TokenizerConfigFile, FindsWhereTheLeadingBlankGoes) {
  EXPECT_EQ(Read(R"({"legacy": false})").prefix, PrefixScheme::kFirst);
  EXPECT_EQ(Read(R"({"legacy": true})").prefix, PrefixScheme::kAlways);
  EXPECT_EQ(Read(R"({"legacy": null})").prefix, PrefixScheme::kAlways);
}

TEST_F(TokenizerConfigFile, KnowsWhatTransformersTakesForGranted) {
  const TokenizerConfig config =
      Read(R"({"eos_token": "</s>", "pad_token": null, "additional_special_tokens": ["<x>"],
               "added_tokens_decoder": {"7": {"content": "<a>"},
                                        "8": {"content": "<b>", "special": true}}})");
  EXPECT_EQ(config.special_names, (std::vector<std::string>{"</s>", "<x>"}));
  EXPECT_TRUE(config.added[0].normalized) << "tokens that are not special are";
  EXPECT_FALSE(config.added[1].normalized);
  EXPECT_FALSE(config.says_adds_bos);
  EXPECT_TRUE(Read(R"({"add_bos_token": false})").says_adds_bos);
}

TEST_F(TokenizerConfigFile, IgnoresTheOlderFileWhereAsked) {
  folder_.Write("added_tokens.json", R"({"<a>": 9})");
  EXPECT_TRUE(ReadTokenizerConfig(folder_.path(), 10, AddedTokensFile::kIgnored).added.empty());
}

TEST_F(TokenizerConfigFile, ResolvesNames) {
  std::vector<AddedToken> added(1);
  added[0].id = 9;
  added[0].content = "<a>";
  const auto resolve = [&](const TokenName& name) {
    const auto vocabulary = [](const std::string& text) { return text == "b" ? 4 : -1; };
    return ResolveToken(name, 3, added, vocabulary, "folder", "eos_token", "tokenizer.json");
  };
  EXPECT_EQ(resolve(std::nullopt), 3);
  EXPECT_EQ(resolve(""), -1);
  EXPECT_EQ(resolve("<a>"), 9);
  EXPECT_EQ(resolve("b"), 4);
  EXPECT_EQ(testing::ErrorText([&] { resolve("c"); }),
            "folder/tokenizer_config.json: eos_token \"c\" is neither in tokenizer.json nor an "
            "added token");
}

TEST_F(TokenizerConfigFile, FaultsNameFileAndKey) {
  const auto decoder = [](const std::string& entries) {
    return fmt::format("{{\"added_tokens_decoder\": {{{}}}}}", entries);
  };
  EXPECT_THAT(ReadError("{"), HasSubstr("tokenizer_config.json: not JSON"));
  EXPECT_THAT(ReadError("[]"), HasSubstr("a JSON object is needed"));
  EXPECT_THAT(ReadError(R"({"added_tokens_decoder": []})"), HasSubstr("must be an object"));
  for (const char* key : {"1000", "-1", "x", "7x", "", "99999999999999999999"}) {
    EXPECT_THAT(ReadError(decoder(fmt::format("\"{}\": {{\"content\": \"a\"}}", key))),
                HasSubstr("must be an id from 0 to 999"))
        << key;
  }
  EXPECT_THAT(ReadError(decoder(R"("7": 1)")), HasSubstr("an object is needed"));
  EXPECT_THAT(ReadError(decoder(R"("7": {})")), HasSubstr("no key \"content\""));
  EXPECT_THAT(ReadError(decoder(R"("7": {"content": ""})")), HasSubstr("added token 7 is empty"));
  EXPECT_THAT(ReadError(decoder(R"("7": {"content": "a", "special": 1})")),
              HasSubstr("special must be true or false"));
  EXPECT_THAT(ReadError(decoder(R"("7": {"content": "a"}, "8": {"content": "a"})")),
              HasSubstr("\"a\" has two ids, 7 and 8"));
  EXPECT_THAT(ReadError(R"({"bos_token": 7})"), HasSubstr("\"bos_token\" must be a string"));
  EXPECT_THAT(ReadError(R"({"add_bos_token": "yes"})"), HasSubstr("must be true or false"));
  folder_.Write("added_tokens.json", R"({"b": 7})");
  EXPECT_THAT(ReadError(decoder(R"("7": {"content": "a"})")),
              HasSubstr("id 7 is given to both \"a\" and \"b\""));
  folder_.Write("added_tokens.json", R"({"b": 1000})");
  EXPECT_THAT(ReadError("{}"), HasSubstr("added_tokens.json: the id of \"b\" must be"));
}

}  // namespace
}  // namespace pivotal::data
