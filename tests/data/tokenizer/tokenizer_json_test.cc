// Apache-2.0. Hugging Face tokenizers 0.23.3 gave the expected values.
#include <gmock/gmock.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "data/base/utf8.h"
#include "data/tokenizer/tokenizer_files.h"
#include "tests/support/error_text.h"
#include "tests/support/small_tokenizers.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

using Ids = std::vector<TokenId>;
using nlohmann::json;
using ::testing::HasSubstr;

class TokenizerJson : public ::testing::Test {
 protected:
  std::unique_ptr<const Tokenizer> Load(const std::string& text) {
    folder_.Write("tokenizer.json", text);
    return LoadTokenizer(folder_.path());
  }
  std::unique_ptr<const Tokenizer> Load(const json& root) { return Load(root.dump()); }
  // Returns the text of the Error for `root`, which is one line.
  std::string Fault(const json& root) { return FaultOf(root.dump()); }
  std::string FaultOf(const std::string& text) {
    const std::string error = testing::ErrorText([&] { Load(text); });
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    return error;
  }
  // Returns the ids of `text` under a small model with this pre-tokenizer.
  Ids Cut(json pre_tokenizer, json vocab, json merges, const std::string& text) {
    json root = {{"model", {{"vocab", std::move(vocab)}, {"merges", std::move(merges)}}},
                 {"pre_tokenizer", std::move(pre_tokenizer)}};
    return Load(root)->Encode(text);
  }

  const json byte_ = json::parse(testing::kByteLevelJson);
  const json fallback_ = json::parse(testing::kByteFallbackJson);
  testing::TempDir folder_;
};

TEST_F(TokenizerJson, ByteLevel) {
  const auto tokenizer = Load(byte_);
  EXPECT_EQ(tokenizer->VocabSize(), 26);
  const std::vector<std::pair<std::string, Ids>> cases = {
      {"hello world's", {18, 20, 6, 2, 7, 22}},
      {"hello  world", {18, 25, 5, 21, 2, 7}},
      {"  hello", {25, 18}},
      {"é\n", {23, 12}},
      {"12 21", {10, 11, 4, 11, 10}},
      {"xyz", {}},
      {"h   o", {0, 25, 4, 3}},
      {"hell<|end|><|end|>", {17, 24, 24}},
      {"hello<|end|> \n world", {18, 24, 5, 21, 2, 7}},
      {"", {}}};
  for (const auto& [text, ids] : cases) {
    EXPECT_EQ(tokenizer->Encode(text), ids) << text;
    EXPECT_EQ(tokenizer->EncodeWithSpecial(text), ids) << text;
  }
  EXPECT_EQ(tokenizer->Decode(Ids{18, 20, 6, 2, 7, 22}), "hello world's");
  EXPECT_EQ(tokenizer->Decode(Ids{13}), "\uFFFD");
  EXPECT_EQ(tokenizer->Decode(Ids{13, 14}), "é");
  EXPECT_EQ(tokenizer->Decode(Ids{23, 13}), "é\uFFFD");
  EXPECT_EQ(tokenizer->Decode(Ids{13, 0, 14}), "\uFFFDh\uFFFD");
  EXPECT_EQ(tokenizer->Decode(Ids{24, 0, 99, -1}), "h");
  EXPECT_EQ(tokenizer->Piece(20), " wo");
  EXPECT_EQ(tokenizer->Piece(12), "<0x0A>");
  EXPECT_EQ(tokenizer->Piece(13), "<0xC3>");
  EXPECT_EQ(tokenizer->Piece(24), "<|end|>");
  EXPECT_EQ(tokenizer->Piece(26), "<26>");
}

TEST_F(TokenizerJson, ByteFallback) {
  const auto tokenizer = Load(fallback_);
  EXPECT_EQ(tokenizer->VocabSize(), 18);
  const std::vector<std::pair<std::string, Ids>> cases = {{"a bc abc", {14, 10, 15, 16}},
                                                          {"", {}},
                                                          {"\né😀", {10, 3, 4, 5, 6, 7, 8, 9}},
                                                          {"zz a", {10, 0, 14}},
                                                          {"é z", {10, 4, 5, 10, 0}},
                                                          {"<s>a</s>  b", {1, 14, 2, 10, 12}},
                                                          {"tool", {17}},
                                                          {"a tool", {14, 17}},
                                                          {"atool", {14, 0}},
                                                          {" ", {10, 10}},
                                                          {"😀🚀", {10, 6, 7, 8, 9, 0}}};
  for (const auto& [text, ids] : cases) EXPECT_EQ(tokenizer->Encode(text), ids) << text;
  EXPECT_EQ(tokenizer->EncodeWithSpecial("a"), (Ids{1, 14}));
  EXPECT_EQ(tokenizer->Decode(Ids{6, 7}, true), "\uFFFD\uFFFD");
  EXPECT_EQ(tokenizer->Decode(Ids{6, 7, 8, 9}, true), "😀");
  EXPECT_EQ(tokenizer->Decode(Ids{4, 14, 5}, true), "\uFFFD a\uFFFD");
  EXPECT_EQ(tokenizer->Decode(Ids{0, 1, 2}, true), "</s>");
  EXPECT_EQ(tokenizer->Decode(Ids{10, 10, 11}, true), " a");
  EXPECT_EQ(tokenizer->Decode(Ids{10, 10, 11}, false), "  a");
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("a tool"), true), "a tool");
  EXPECT_EQ(tokenizer->Piece(14), " a");
  EXPECT_EQ(tokenizer->Piece(3), "<0x0A>");
}

TEST_F(TokenizerJson, SplitBehaviors) {
  const json vocab = {{"a", 0},  {"b", 1},  {"-", 2},  {"ab", 3}, {"a-", 4},
                      {"-b", 5}, {"--", 6}, {"-a", 7}, {"b-", 8}, {"aa", 9}};
  const json merges = {"a b", "a -", "- b", "- -", "- a", "b -", "a a"};
  const auto cut = [&](const json& pattern, const char* behavior, bool invert = false) {
    return Cut(
        {{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", invert}},
        vocab, merges, "aab--ab-a-");
  };
  const json dash = {{"String", "-"}}, dashes = {{"Regex", "-+"}}, before_a = {{"Regex", "(?=a)"}};
  EXPECT_EQ(cut(dash, "Removed"), (Ids{0, 3, 3, 0}));
  EXPECT_EQ(cut(dash, "Removed", true), (Ids{2, 2, 2, 2}));
  EXPECT_EQ(cut(dash, "Isolated"), (Ids{0, 3, 2, 2, 3, 2, 0, 2}));
  EXPECT_EQ(cut(dash, "MergedWithPrevious"), (Ids{0, 3, 2, 2, 3, 2, 4}));
  EXPECT_EQ(cut(dash, "MergedWithPrevious", true), (Ids{0, 3, 2, 2, 3, 7, 2}));
  EXPECT_EQ(cut(dash, "MergedWithNext"), (Ids{0, 3, 2, 2, 3, 7, 2}));
  EXPECT_EQ(cut(dash, "MergedWithNext", true), (Ids{0, 3, 2, 2, 3, 2, 4}));
  EXPECT_EQ(cut(dash, "Contiguous"), (Ids{0, 3, 6, 3, 2, 0, 2}));
  EXPECT_EQ(cut(dashes, "Removed", true), (Ids{6, 2, 2}));
  EXPECT_EQ(cut(dashes, "MergedWithPrevious"), (Ids{0, 3, 6, 3, 2, 4}));
  EXPECT_EQ(cut(before_a, "Isolated"), (Ids{0, 3, 6, 3, 2, 4}));
  EXPECT_EQ(cut(before_a, "Removed", true), Ids{});
}

TEST_F(TokenizerJson, DigitsAndMetaspace) {
  const json vocab = {{"a", 0}, {"1", 1}, {"11", 2}, {"a1", 3}, {"▁", 4}, {"▁a", 5}, {"▁▁", 6}};
  const json merges = {"1 1", "a 1", "▁ ▁", "▁ a"};
  const auto cut = [&](json step) { return Cut(std::move(step), vocab, merges, "a11 a  a1"); };
  const auto metaspace = [](const char* scheme, bool split) {
    return json{
        {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", split}};
  };
  EXPECT_EQ(cut({{"type", "Digits"}, {"individual_digits", true}}), (Ids{0, 1, 1, 0, 0, 1}));
  EXPECT_EQ(cut({{"type", "Digits"}, {"individual_digits", false}}), (Ids{0, 2, 0, 0, 1}));
  EXPECT_EQ(cut(metaspace("always", true)), (Ids{5, 2, 5, 4, 4, 3}));
  EXPECT_EQ(cut(metaspace("first", false)), (Ids{5, 2, 5, 6, 3}));
  EXPECT_EQ(cut(metaspace("never", false)), (Ids{0, 2, 5, 6, 3}));
  EXPECT_EQ(Load(json{{"model", {{"vocab", vocab}, {"merges", merges}}}})->Decode(Ids{0, 3, 2}),
            "a a1 11")
      << "without a decoder blanks stand between tokens";
}

TEST_F(TokenizerJson, ConfigAddsAndOverrides) {
  folder_.Write("tokenizer_config.json", R"({"bos_token": "<|end|>", "eos_token": {"content": "o"},
    "add_bos_token": true, "added_tokens_decoder": {
      "24": {"content": "<|end|>", "special": false, "normalized": false},
      "26": {"content": "<new>", "special": true, "lstrip": true}}})");
  const auto tokenizer = Load(byte_);
  EXPECT_EQ(tokenizer->VocabSize(), 27);
  EXPECT_EQ(tokenizer->bos(), 24);
  EXPECT_EQ(tokenizer->eos(), 3);
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->EncodeWithSpecial("h"), (Ids{24, 0}));
  EXPECT_EQ(tokenizer->Encode("<|end|> h <new>"), (Ids{24, 4, 0, 26})) << "rstrip is gone";
  EXPECT_EQ(tokenizer->Encode("hello"), (Ids{17, 3})) << "the special token o is cut out";
  EXPECT_EQ(tokenizer->Decode(Ids{24, 26, 0}), "h") << "what was special stays so";
}

TEST_F(TokenizerJson, TemplateThatBeginsWithBosMeansBos) {
  folder_.Write("tokenizer_config.json", R"({"bos_token": "<s>"})");
  EXPECT_TRUE(Load(fallback_)->adds_bos());
  folder_.Write("tokenizer_config.json", R"({"bos_token": "<s>", "add_bos_token": false})");
  EXPECT_FALSE(Load(fallback_)->adds_bos());
}

TEST_F(TokenizerJson, TextThatIsNotUtf8IsRefused) {
  EXPECT_EQ(testing::ErrorText([&] { Load(byte_)->Encode("abc\xFF"); }),
            "text is not UTF-8 at byte 3 (0xFF); convert it first");
}

TEST_F(TokenizerJson, LongWordsTakeNoLongTime) {
  json root = byte_;
  const auto start = std::chrono::steady_clock::now();
  for (const char* unit : {"h", "he", "l", " ", "hello"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    for (const json& each : {byte_, fallback_}) {
      const auto tokenizer = Load(each);
      EXPECT_GT(tokenizer->Encode(text).size(), 0u);
    }
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST_F(TokenizerJson, ThreadsAndInstancesDoNotDisturbEachOther) {
  const auto one = Load(byte_);
  json changed = byte_;
  changed["model"]["merges"] = json::array({"h e"});
  const auto other = Load(changed);
  const auto work = [&] {
    for (int i = 0; i < 20'000; ++i) {
      ASSERT_EQ(one->Encode("hello"), Ids{18});
      ASSERT_EQ(other->Encode("hello"), (Ids{15, 2, 2, 3}));
    }
  };
  std::thread second(work);
  work();
  second.join();
}

TEST_F(TokenizerJson, WhatChangesTheResultIsRefused) {
  const auto with = [&](const char* pointer, json value) {
    json root = byte_;
    root[json::json_pointer(pointer)] = std::move(value);
    return Fault(root);
  };
  EXPECT_THAT(with("/model/type", "Unigram"),
              HasSubstr("tokenizer.json: model: type \"Unigram\" is"));
  EXPECT_THAT(with("/model/dropout", 0.1), HasSubstr("model: dropout is not supported"));
  EXPECT_THAT(with("/model/end_of_word_suffix", "</w>"), HasSubstr("end_of_word_suffix is not"));
  EXPECT_THAT(with("/model/unk_token", "?"), HasSubstr("unk_token \"?\" is not in vocab"));
  EXPECT_THAT(with("/normalizer", {{"type", "NFC"}}),
              HasSubstr("normalizer: NFC is not supported"));
  EXPECT_THAT(
      with("/normalizer", {{"type", "Replace"}, {"pattern", {{"Regex", "a"}}}, {"content", ""}}),
      HasSubstr("normalizer: Replace: a Regex"));
  EXPECT_THAT(
      with("/normalizer", {{"type", "Replace"}, {"pattern", {{"String", ""}}}, {"content", ""}}),
      HasSubstr("pattern is empty"));
  EXPECT_THAT(with("/pre_tokenizer", {{"type", "Whitespace"}}),
              HasSubstr("pre_tokenizer: Whitespace is not supported"));
  EXPECT_THAT(with("/pre_tokenizer",
                   {{"type", "Sequence"},
                    {"pretokenizers",
                     {byte_["pre_tokenizer"], {{"type", "Digits"}, {"individual_digits", true}}}}}),
              HasSubstr("pre_tokenizer[1]: Digits behind ByteLevel"));
  EXPECT_THAT(with("/decoder", {{"type", "WordPiece"}}), HasSubstr("decoder: WordPiece is not"));
  EXPECT_THAT(with("/post_processor", {{"type", "BertProcessing"}}),
              HasSubstr("post_processor: BertProcessing is not"));
  for (const char* regex :
       {R"(^a)", R"(a$)", R"(\w+)", R"(\h)", R"([a[b]])", R"([a&&b])", R"(a{1,3}+)", R"((?i)a)",
        R"(\bx)", R"(\p{Greek})", R"((?<n>a))", R"((*UCP)a)", "\\"}) {
    EXPECT_THAT(with("/pre_tokenizer", {{"type", "Split"},
                                        {"behavior", "Isolated"},
                                        {"invert", false},
                                        {"pattern", {{"Regex", regex}}}}),
                HasSubstr("is not supported"))
        << regex;
  }
  EXPECT_THAT(with("/pre_tokenizer", {{"type", "Split"},
                                      {"behavior", "Isolated"},
                                      {"invert", false},
                                      {"pattern", {{"Regex", "(a"}}}}),
              HasSubstr("pre_tokenizer: Split: missing closing parenthesis"));
}

TEST_F(TokenizerJson, RegexThatBacktracksForeverIsAnError) {
  json root = byte_;
  root["pre_tokenizer"] = {{"type", "Split"},
                           {"behavior", "Isolated"},
                           {"invert", false},
                           {"pattern", {{"Regex", "(h+)+[12]"}}}};
  const auto tokenizer = Load(root);
  EXPECT_THAT(testing::ErrorText([&] { tokenizer->Encode(std::string(200, 'h')); }),
              HasSubstr("match limit exceeded in a text of 200 bytes"));
}

TEST_F(TokenizerJson, HostileFilesAreErrors) {
  EXPECT_THAT(FaultOf(""), HasSubstr("tokenizer.json: not JSON"));
  EXPECT_THAT(FaultOf("{}"), HasSubstr("no key \"model\""));
  EXPECT_THAT(FaultOf("[]"), HasSubstr("a JSON object is needed"));
  EXPECT_THAT(FaultOf(std::string("{\"model\":").append(100'000, '[')),
              HasSubstr("nested deeper than 32"));
  EXPECT_THAT(FaultOf(R"({"model": {"vocab": {"a": 0, "a": 1}, "merges": []}})"),
              HasSubstr("the key \"a\" stands twice"));
  EXPECT_THAT(FaultOf(R"({"model": {"vocab": {}, "merges": []}, "model": {}})"),
              HasSubstr("the key \"model\" stands twice"));
  const auto model = [&](json vocab, json merges = json::array()) {
    return Fault({{"model", {{"vocab", std::move(vocab)}, {"merges", std::move(merges)}}}});
  };
  EXPECT_THAT(model({{"a", 2147483648}}),
              HasSubstr("the id of \"a\" must be an integer from 0 to"));
  EXPECT_THAT(model({{"a", -1}}), HasSubstr("the id of \"a\" must be"));
  EXPECT_THAT(model({{"a", 1.5}}), HasSubstr("the id of \"a\" must be"));
  EXPECT_THAT(model({{"a", 1}, {"b", 1}}), HasSubstr("id 1 is given to both \"a\" and \"b\""));
  EXPECT_THAT(model({{"", 1}}), HasSubstr("vocab has an empty token"));
  EXPECT_THAT(model(json::array({"a"})), HasSubstr("vocab must be an object"));
  EXPECT_THAT(model({{"a", 0}}, {"a b"}), HasSubstr("merges[0]: \"b\" is not in vocab"));
  EXPECT_THAT(model({{"a", 0}}, {"a a"}), HasSubstr("merges[0]: \"aa\" is not in vocab"));
  for (const json& merge : {json("a"), json("a  a"), json(1), json{"a"}, json{"a", 1}}) {
    EXPECT_THAT(model({{"a", 0}}, json::array({merge})), HasSubstr("merges[0]: a merge is"));
  }
  // Ids may be far apart, which costs little.
  EXPECT_EQ(Load(json{{"model", {{"vocab", {{"a", 3'999'999}}}, {"merges", json::array()}}}})
                ->Encode("a"),
            Ids{3'999'999});
}

TEST_F(TokenizerJson, HostileAddedTokensAreErrors) {
  const auto with = [&](const json& changes) {
    json root = byte_;
    root["added_tokens"][0].update(changes);
    return Fault(root);
  };
  EXPECT_THAT(with({{"content", ""}}), HasSubstr("added_tokens[0]: content is empty"));
  EXPECT_THAT(with({{"content", 1}}), HasSubstr("\"content\" must be a string"));
  EXPECT_THAT(with({{"id", -1}}), HasSubstr("added_tokens[0]: id must be an integer from 0"));
  EXPECT_THAT(with({{"id", 2147483648}}), HasSubstr("added_tokens[0]: id must be"));
  EXPECT_THAT(with({{"id", 99}}),
              HasSubstr("\"<|end|>\" has id 99 here, but Hugging Face tokenizers "
                        "gives it 24; correct the file"));
  EXPECT_THAT(with({{"content", "hello"}}), HasSubstr("gives it 18"));
  EXPECT_THAT(with({{"special", nullptr}}), HasSubstr("special must be true or false"));
  EXPECT_THAT(with({{"rstrip", 1}}), HasSubstr("rstrip must be true or false"));
  EXPECT_THAT(with({{"content", std::string(5000, 'x')}}), HasSubstr("longer than 4096 bytes"));
  json twice = byte_;
  twice["added_tokens"].push_back(twice["added_tokens"][0]);
  EXPECT_THAT(Fault(twice), HasSubstr("added_tokens[2]: \"<|end|>\" stands twice"));
  const auto config = [&](const std::string& text) {
    folder_.Write("tokenizer_config.json", text);
    return Fault(byte_);
  };
  EXPECT_THAT(config(R"({"added_tokens_decoder": {"30": {"content": "<new>"}}})"),
              HasSubstr("tokenizer_config.json: added_tokens_decoder: \"<new>\" has id 30 here"));
  EXPECT_THAT(config(R"({"eos_token": "<none>"})"),
              HasSubstr("special token \"<none>\" is neither in tokenizer.json nor in"));
}

// The search ends for tokens that consist of each other or strip each other's white space. Ids that
// depend on each other in a cycle are an error.
TEST_F(TokenizerJson, CyclicAddedTokens) {
  const auto with = [&](const std::vector<std::pair<TokenId, std::string>>& tokens, bool strip) {
    json root = byte_;
    root["added_tokens"] = json::array();
    for (const auto& [id, content] : tokens) {
      root["added_tokens"].push_back({{"id", id},
                                      {"content", content},
                                      {"special", true},
                                      {"normalized", false},
                                      {"single_word", false},
                                      {"lstrip", strip},
                                      {"rstrip", strip}});
    }
    return root;
  };
  const auto each_other =
      Load(with({{24, "<a><b>"}, {25, "<b><a>"}, {26, "<a>"}, {27, "<b>"}}, false));
  EXPECT_EQ(each_other->Encode("<a><b><a><b>"), (Ids{24, 24}));
  EXPECT_EQ(each_other->Encode("<b><a><b>"), (Ids{25, 27}));
  EXPECT_EQ(each_other->Encode("<a><a><b><b>"), (Ids{26, 24, 27}));
  EXPECT_EQ(each_other->Encode("<b><b><a>h"), (Ids{27, 25, 0}));
  const auto swallow = Load(with({{24, " "}, {25, "  "}, {26, "\n"}}, true));
  EXPECT_EQ(swallow->Encode("h  \n  \n h"), (Ids{0, 25, 0}));
  EXPECT_EQ(swallow->Encode(" \n \n"), Ids{24});
  EXPECT_EQ(swallow->Encode("  h   "), (Ids{25, 0, 25}));
  EXPECT_THAT(Fault(with({{1, "h"}, {0, "e"}}, false)), HasSubstr("\"h\" has id 1 here, but"));
  EXPECT_THAT(Fault(with({{25, "<a>"}, {24, "<b>"}}, false)),
              HasSubstr("\"<a>\" has id 25 here, but"));
  folder_.Write("tokenizer_config.json",
                R"({"added_tokens_decoder": {"0": {"content": "e"}, "1": {"content": "h"}}})");
  EXPECT_THAT(Fault(byte_), HasSubstr("\"e\" has id 0 here, but"));
}

// A damaged file gives an Error, or a tokenizer that decodes to UTF-8.
TEST_F(TokenizerJson, SurvivesDamage) {
  std::mt19937 random(5);
  int errors = 0;
  for (const std::string whole : {testing::kByteLevelJson, testing::kByteFallbackJson}) {
    for (int i = 0; i < 1500; ++i) {
      std::string text = whole;
      for (unsigned n = 0; n <= random() % 3; ++n) {
        static constexpr std::string_view kBytes = "0129-\"{}[],:aelh_▁Ġ ";
        text[random() % text.size()] = kBytes[random() % kBytes.size()];
      }
      try {
        const auto tokenizer = Load(text);
        const Ids ids = tokenizer->Encode("hello world's é <|end|> 12\n a bc</s> tool😀");
        EXPECT_EQ(FindInvalidUtf8(tokenizer->Decode(ids)), std::string::npos);
        for (const TokenId id : ids) {
          EXPECT_EQ(FindInvalidUtf8(tokenizer->Piece(id)), std::string::npos);
        }
      } catch (const Error& e) {
        ++errors;
        EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
      }
    }
  }
  EXPECT_GT(errors, 1000);
}

}  // namespace
}  // namespace pivotal::data
