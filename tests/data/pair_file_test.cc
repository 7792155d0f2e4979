// Apache-2.0.
#include "data/pair_file.h"

#include <gmock/gmock.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "data/file_sink.h"
#include "tests/data/byte_tokenizer.h"
#include "tests/data/error_text.h"
#include "tests/data/full_disk.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

using testing::ByteTokenizer;
using ::testing::ElementsAre;
using testing::ErrorText;
using ::testing::HasSubstr;
using Ids = std::vector<TokenId>;

constexpr TokenId kBos = ByteTokenizer::kBos, kBlank4 = ByteTokenizer::kBlank4;

class PairFile : public ::testing::Test {
 protected:
  std::vector<PreferencePair> Load(const std::string& text) {
    return LoadPairs(folder_.Write("p.jsonl", text), tokenizer_);
  }
  // Without the folder's name.
  std::string LoadError(const std::string& text) {
    const std::string error = ErrorText([&] { Load(text); });
    const auto name = error.find("p.jsonl");
    return name == std::string::npos ? error : error.substr(name);
  }

  testing::TempDir folder_;
  ByteTokenizer tokenizer_;
};

PreferencePair Example() {
  PreferencePair pair;
  pair.id = "q/0/3";
  pair.prompt = "1 + 1 =";
  pair.chosen = " 2\n";
  pair.rejected = "\xE6\xFF";  // half a character: the ids count
  pair.prompt_ids = {kBos, 49, 43};
  pair.chosen_ids = {50};
  pair.rejected_ids = {51, 52};
  pair.chosen_estimate = {32, 30};
  pair.rejected_estimate = {16, 2};
  pair.delta = -0.1234567890123;
  pair.source = "random";
  return pair;
}

TEST_F(PairFile, SavedPairsLoadAgain) {
  const auto path = folder_.path() / "p.jsonl";
  SavePairs(path, {Example(), Example()});
  const auto pairs = LoadPairs(path, tokenizer_);
  ASSERT_EQ(pairs.size(), 2u);
  const PreferencePair want = Example(), got = pairs[1];
  EXPECT_EQ(got.id, want.id);
  EXPECT_EQ(got.prompt, want.prompt);
  EXPECT_EQ(got.chosen, want.chosen);
  EXPECT_EQ(got.rejected, "\uFFFD\uFFFD");
  EXPECT_EQ(got.prompt_ids, want.prompt_ids);
  EXPECT_EQ(got.chosen_ids, want.chosen_ids);
  EXPECT_EQ(got.rejected_ids, want.rejected_ids);
  EXPECT_EQ(got.chosen_estimate.samples, 32);
  EXPECT_EQ(got.chosen_estimate.successes, 30);
  EXPECT_EQ(got.rejected_estimate.samples, 16);
  EXPECT_EQ(got.rejected_estimate.successes, 2);
  EXPECT_EQ(got.delta, want.delta);
  EXPECT_EQ(got.source, want.source);
}

// TRL reads prompt, chosen and rejected as strings, in a flat object per line.
TEST_F(PairFile, LinesBeginWithTheColumnsOfTrl) {
  const auto path = folder_.path() / "p.jsonl";
  SavePairs(path, {Example()});
  const std::string text = ReadFile(path);
  EXPECT_THAT(text, HasSubstr(R"("prompt":"1 + 1 =","chosen":" 2\n","rejected":")"));
  EXPECT_EQ(nlohmann::json::parse(text)["prompt_ids"].dump(), "[257,49,43]");
}

TEST_F(PairFile, TextAloneIsEncodedAsAContinuation) {
  const auto pairs = Load(R"({"prompt": "a", "chosen": " 4x", "rejected": " 5", "id": 9})");
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_EQ(pairs[0].id, "9");
  EXPECT_THAT(pairs[0].prompt_ids, ElementsAre(kBos, 'a'));
  EXPECT_THAT(pairs[0].chosen_ids, ElementsAre(kBlank4, 'x'));
  EXPECT_THAT(pairs[0].rejected_ids, ElementsAre(' ', '5'));
  EXPECT_EQ(pairs[0].source, "pivotal");
}

TEST_F(PairFile, ATokenAcrossTheSeamGoesToTheSides) {
  const auto pairs = Load(R"({"prompt": "a ", "chosen": "4", "rejected": "5"})");
  EXPECT_THAT(pairs[0].prompt_ids, ElementsAre(kBos, 'a'));
  EXPECT_THAT(pairs[0].chosen_ids, ElementsAre(kBlank4));
  EXPECT_THAT(pairs[0].rejected_ids, ElementsAre(' ', '5'));
  EXPECT_EQ(pairs[0].id, "1") << "the line number";
}

TEST_F(PairFile, IdsAreTakenAsTheyAreAndNeedNoText) {
  const auto pairs = Load(R"({"prompt_ids": [1], "chosen_ids": [258], "rejected_ids": [0, 3]})");
  EXPECT_THAT(pairs[0].prompt_ids, ElementsAre(1));
  EXPECT_THAT(pairs[0].chosen_ids, ElementsAre(258));
  EXPECT_THAT(pairs[0].rejected_ids, ElementsAre(0, 3));
}

TEST_F(PairFile, FaultsNameFileLineAndValue) {
  const auto with_ids = [](const std::string& prompt, const std::string& chosen,
                           const std::string& rejected) {
    return "{\"prompt_ids\":" + prompt + ",\"chosen_ids\":" + chosen +
           ",\"rejected_ids\":" + rejected + "}";
  };
  EXPECT_THAT(LoadError("\n[]"), HasSubstr("p.jsonl:2: a JSON object is needed"));
  EXPECT_EQ(LoadError(R"({"prompt": "a", "chosen": "b"})"),
            "p.jsonl:1: no key \"rejected\" (keys: chosen, prompt)");
  EXPECT_EQ(LoadError(R"({"prompt": [{"role": "user"}], "chosen": "b", "rejected": "c"})"),
            "p.jsonl:1: key \"prompt\" must be a string, not array");
  EXPECT_THAT(LoadError(R"({"prompt_ids": [1], "chosen_ids": [2]})"),
              HasSubstr("no key \"rejected_ids\" (keys: chosen_ids, prompt_ids); give all three"));
  EXPECT_EQ(LoadError(with_ids("[1, 2]", "[3]", "[259]")),
            "p.jsonl:1: rejected_ids[0] (a token id) must be an integer from 0 to 258, not 259");
  EXPECT_THAT(LoadError(with_ids("[1, -2]", "[3]", "[4]")), HasSubstr("prompt_ids[1]"));
  EXPECT_THAT(LoadError(with_ids("[1]", "[1.5]", "[4]")), HasSubstr("chosen_ids[0]"));
  EXPECT_THAT(LoadError(with_ids("[1]", "\"3\"", "[4]")), HasSubstr("must be an array"));
  EXPECT_EQ(LoadError(with_ids("[1]", "[]", "[4]")), "p.jsonl:1: \"chosen\" has no tokens");
  EXPECT_EQ(LoadError(with_ids("[1]", "[4]", "[]")), "p.jsonl:1: \"rejected\" has no tokens");
  EXPECT_EQ(LoadError(with_ids("[]", "[4]", "[5]")), "p.jsonl:1: the prompt has no tokens");
  EXPECT_THAT(LoadError(with_ids("[1]", "[4]", "[4]")), HasSubstr("are the same tokens"));
  EXPECT_THAT(LoadError(R"({"prompt": "a ", "chosen": "", "rejected": "4"})"),
              HasSubstr("\"chosen\" is empty"));
  EXPECT_THAT(LoadError(R"({"prompt": "a", "chosen": "b", "rejected": "b"})"),
              HasSubstr("are the same tokens"));
  EXPECT_THAT(LoadError(R"({"prompt": "a", "chosen": "b", "rejected": "c", "delta": "x"})"),
              HasSubstr("delta must be a number"));
  EXPECT_THAT(LoadError(R"({"prompt": "a", "chosen": "b", "rejected": "c",
                            "chosen_samples": 4, "chosen_successes": 5})"),
              HasSubstr("not JSON"))
      << "a line break inside";
  EXPECT_THAT(LoadError(R"({"prompt": "a", "chosen": "b", "rejected": "c", )"
                        R"("chosen_samples": 4, "chosen_successes": 5})"),
              HasSubstr("chosen_successes must be an integer from 0 to 4, not 5"));
}

TEST_F(PairFile, RefusesWhatIsNoNumberAndKeepsTheOldFile) {
  const auto path = folder_.path() / "p.jsonl";
  SavePairs(path, {Example()});
  PreferencePair bad = Example();
  bad.delta = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(ErrorText([&] { SavePairs(path, {bad}); }), HasSubstr("a delta that is no number"));
  const std::vector<PreferencePair> many(5000, Example());
  EXPECT_THAT(ErrorText([&] {
                const testing::FullDisk full(1000);
                SavePairs(path, many);
              }),
              HasSubstr("file too large"));
  EXPECT_EQ(LoadPairs(path, tokenizer_).size(), 1u);
}

TEST_F(PairFile, PromptCompletionsEndWithEos) {
  const auto path =
      folder_.Write("c.jsonl", "{\"prompt\": \"a\", \"completion\": \" 4\", \"more\": 1}\n");
  auto items = LoadPromptCompletions(path, tokenizer_);
  ASSERT_EQ(items.size(), 1u);
  EXPECT_THAT(items[0].prompt_ids, ElementsAre(kBos, 'a'));
  EXPECT_THAT(items[0].completion_ids, ElementsAre(kBlank4, ByteTokenizer::kEos));
  items = LoadPromptCompletions(path, ByteTokenizer(false, -1));
  EXPECT_THAT(items[0].prompt_ids, ElementsAre('a'));
  EXPECT_THAT(items[0].completion_ids, ElementsAre(kBlank4));
  const auto bad = folder_.Write("c.jsonl", "{\"prompt\": \"a\", \"completion\": \"\"}");
  EXPECT_THAT(ErrorText([&] { LoadPromptCompletions(bad, tokenizer_); }),
              HasSubstr("c.jsonl:1: the completion is empty"));
}

}  // namespace
}  // namespace pivotal::data
