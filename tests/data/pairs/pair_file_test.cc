// Apache-2.0.
#include "data/pairs/pair_file.h"

#include <gmock/gmock.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/base/file_sink.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/error_text.h"
#include "tests/support/full_disk.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

using ::testing::AllOf;
using testing::ByteTokenizer;
using ::testing::ElementsAre;
using testing::ErrorText;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using Ids = std::vector<TokenId>;

constexpr TokenId kBos = ByteTokenizer::kBos, kEos = ByteTokenizer::kEos,
                  kBlank4 = ByteTokenizer::kBlank4;

class PairFile : public ::testing::Test {
 protected:
  std::vector<PreferencePair> Load(const std::string& text) {
    return LoadPairs(folder_.Write("p.jsonl", text), coding_);
  }
  // Returns the text of the Error without the folder's name.
  std::string LoadError(const std::string& text) {
    const std::string error = ErrorText([&] { Load(text); });
    const auto name = error.find("p.jsonl");
    return name == std::string::npos ? error : error.substr(name);
  }

  std::vector<PromptCompletion> LoadCompletions(const std::string& text) {
    return LoadPromptCompletions(folder_.Write("c.jsonl", text), coding_);
  }

  testing::TempDir folder_;
  ByteTokenizer tokenizer_;
  // Each role is one letter, so that ids can be checked by eye.
  PromptFormat format_{
      ChatTemplate("{% for m in messages %}{{ m.role[0] }}{{ m.content }};{% endfor %}"
                   "{% if add_generation_prompt %}a{% endif %}",
                   "t", {})};
  TextCoding coding_{tokenizer_, format_};
};

Ids Bytes(const std::string& text) { return ByteTokenizer().Encode(text); }

PreferencePair Example() {
  PreferencePair pair;
  pair.id = "q/0/3";
  pair.prompt = "1 + 1 =";
  pair.chosen = " 2\n";
  pair.rejected = "\xE6\xFF";  // half a character: the ids count
  pair.prompt_ids = {kBos, 49, 43};
  pair.chosen_ids = {50};
  pair.rejected_ids = {51, 52};
  pair.weight = 0.1;
  pair.chosen_weights = {0.7f};
  pair.chosen_estimate = {32, 30};
  pair.rejected_estimate = {16, 2};
  pair.delta = -0.1234567890123;
  pair.source = "random";
  return pair;
}

TEST_F(PairFile, SavedPairsLoadAgain) {
  const auto path = folder_.path() / "p.jsonl";
  SavePairs(path, {Example(), Example()});
  const auto pairs = LoadPairs(path, coding_);
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
  EXPECT_EQ(got.weight, want.weight);
  EXPECT_EQ(got.chosen_weights, want.chosen_weights);
  EXPECT_TRUE(got.rejected_weights.empty());
  EXPECT_EQ(got.delta, want.delta);
  EXPECT_EQ(got.source, want.source);
}

// TRL reads prompt, chosen and rejected as strings of one flat object per line.
TEST_F(PairFile, LinesBeginWithTheColumnsOfTrl) {
  const auto path = folder_.path() / "p.jsonl";
  SavePairs(path, {Example()});
  const std::string text = ReadFile(path);
  EXPECT_THAT(text, HasSubstr(R"("prompt":"1 + 1 =","chosen":" 2\n","rejected":")"));
  EXPECT_EQ(nlohmann::json::parse(text)["prompt_ids"].dump(), "[257,49,43]");
}

TEST_F(PairFile, WhatWasNotMeasuredHasNoKeys) {
  PreferencePair pair = Example();
  pair.chosen_estimate = pair.rejected_estimate = {};
  const auto keys = [&] {
    std::vector<std::string> names;
    const auto line = nlohmann::json::parse(ToLine(pair));
    for (const auto& [name, value] : line.items())
      if (name.find('_') != std::string::npos || name == "delta") names.push_back(name);
    return names;
  };
  const std::vector<std::string> ids = {"chosen_ids", "chosen_weights", "delta", "prompt_ids",
                                        "rejected_ids"};
  EXPECT_EQ(keys(), ids);
  pair.delta_low = -0.3;
  EXPECT_THAT(keys(), IsSupersetOf({"delta_low", "delta_high"}));
  pair = Example();
  pair.rejected_estimate = {};
  EXPECT_THAT(keys(), IsSupersetOf({"chosen_samples", "rejected_samples", "rejected_high"}));
}

TEST_F(PairFile, TextAloneIsEncodedAsAContinuationAndEnds) {
  const auto pairs = Load(R"({"prompt": "a", "chosen": " 4x", "rejected": " 5", "id": 9})");
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_EQ(pairs[0].id, "9");
  EXPECT_THAT(pairs[0].prompt_ids, ElementsAre(kBos, 'a'));
  EXPECT_THAT(pairs[0].chosen_ids, ElementsAre(kBlank4, 'x', kEos));
  EXPECT_THAT(pairs[0].rejected_ids, ElementsAre(' ', '5', kEos));
  EXPECT_EQ(pairs[0].source, "pivotal");
}

TEST_F(PairFile, ATokenAcrossTheSeamGoesToTheSides) {
  const auto pairs = Load(R"({"prompt": "a ", "chosen": "4", "rejected": "5"})");
  EXPECT_THAT(pairs[0].prompt_ids, ElementsAre(kBos, 'a'));
  EXPECT_THAT(pairs[0].chosen_ids, ElementsAre(kBlank4, kEos));
  EXPECT_THAT(pairs[0].rejected_ids, ElementsAre(' ', '5', kEos));
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
            "p.jsonl:1: prompt[0]: no key \"content\" (keys: role)");
  EXPECT_THAT(LoadError(R"({"prompt_ids": [1], "chosen_ids": [2]})"),
              HasSubstr("no key \"rejected_ids\" (keys: chosen_ids, prompt_ids); give all three"));
  EXPECT_EQ(LoadError(with_ids("[1, 2]", "[3]", "[259]")),
            "p.jsonl:1: rejected_ids[0] (a token id) must be an integer from 0 to 258, not 259");
  EXPECT_THAT(LoadError(with_ids("[1, -2]", "[3]", "[4]")), HasSubstr("prompt_ids[1]"));
  EXPECT_THAT(LoadError(with_ids("[1]", "[1.5]", "[4]")), HasSubstr("chosen_ids[0]"));
  EXPECT_THAT(LoadError(with_ids("[1]", "\"3\"", "[4]")), HasSubstr("must be an array"));
  EXPECT_EQ(LoadError(with_ids("[1]", "[]", "[4]")), "p.jsonl:1: \"chosen\" has no tokens");
  EXPECT_EQ(LoadError(with_ids("[1]", "[4]", "[]")), "p.jsonl:1: \"rejected\" has no tokens");
  EXPECT_EQ(LoadError(with_ids("[]", "[4]", "[5]")),
            "p.jsonl:1: the prompt has no tokens; begin it with some text");
  EXPECT_THAT(LoadError(with_ids("[1]", "[4]", "[4]")), HasSubstr("are the same tokens"));
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
  EXPECT_EQ(LoadPairs(path, coding_).size(), 1u);
}

TEST_F(PairFile, EosStandsOnceAndMayBeAll) {
  const auto pairs = Load(R"({"prompt": "a", "chosen": "b</s>", "rejected": ""})"
                          "\n"
                          R"({"prompt": "a", "chosen": "b", "rejected": "b"})");
  EXPECT_EQ(pairs[0].chosen_ids, (Ids{'b', kEos}));
  EXPECT_EQ(pairs[0].rejected_ids, Ids{kEos});
  EXPECT_EQ(pairs[1].chosen_ids, pairs[1].rejected_ids)
      << "real data has such lines; TRL trains on them";
}

TEST_F(PairFile, WithoutAPromptTheSidesBeginWithIt) {
  const auto sides = [&](const std::string& chosen, const std::string& rejected) {
    const PreferencePair pair =
        Load(nlohmann::json{{"chosen", chosen}, {"rejected", rejected}}.dump())[0];
    EXPECT_EQ(pair.prompt_ids[0], kBos);
    return std::vector<Ids>{
        {pair.prompt_ids.begin() + 1, pair.prompt_ids.end()}, pair.chosen_ids, pair.rejected_ids};
  };
  EXPECT_THAT(sides("so: yes", "so: no"),
              ElementsAre(Bytes("so:"), Bytes(" yes</s>"), Bytes(" no</s>")));
  EXPECT_THAT(sides("abx", "aby"), ElementsAre(Bytes("ab"), Bytes("x</s>"), Bytes("y</s>")));
  EXPECT_THAT(sides("ab", "abc"), ElementsAre(Bytes("a"), Bytes("b</s>"), Bytes("bc</s>")))
      << "a character is left for each side";
  EXPECT_THAT(sides("a\u00e4", "a\u00e5"),
              ElementsAre(Bytes("a"), Bytes("\u00e4</s>"), Bytes("\u00e5</s>")))
      << "whole characters";
  EXPECT_THAT(sides("a\u00e4", "a\u00e4!"),
              ElementsAre(Bytes("a"), Bytes("\u00e4</s>"), Bytes("\u00e4!</s>")));
}

TEST_F(PairFile, MessagesAreRenderedWithTheTemplate) {
  const std::string user = R"({"role": "user", "content": "Q"})";
  const auto answer = [](const std::string& text) {
    return R"({"role": "assistant", "content": ")" + text + R"("})";
  };
  const std::string sides =
      R"("chosen": [)" + answer("4") + R"(], "rejected": [)" + answer("5") + "]}\n";
  const std::string whole = R"("chosen": [)" + user + "," + answer("4") + R"(], "rejected": [)" +
                            user + "," + answer("5") + "]}\n";
  const auto pairs =
      Load(R"({"prompt": [)" + user + "], " + sides + "{" + whole + R"({"prompt": "Q", )" + whole);
  ASSERT_EQ(pairs.size(), 3u);
  for (const PreferencePair& pair : pairs) {
    EXPECT_EQ(pair.prompt_ids, Bytes("uQ;a")) << "templates write their own BOS";
    EXPECT_EQ(pair.chosen_ids, Bytes("4;"));
    EXPECT_EQ(pair.rejected_ids, Bytes("5;"));
    EXPECT_EQ(pair.chosen, "");
  }
}

// Some templates render the end of the prompt differently when an answer follows.
TEST_F(PairFile, WhatTheAnswerChangesOfThePromptBelongsToTheSides) {
  const PromptFormat thinks(
      ChatTemplate("{% for m in messages %}[{{ m.content }}]{% endfor %}{% if "
                   "add_generation_prompt %}[<think>{% endif %}",
                   "t", {}));
  const auto path =
      folder_.Write("p.jsonl", R"({"prompt": [{"role": "user", "content": "Q"}], )"
                               R"("chosen": [{"role": "assistant", "content": "<b"}], )"
                               R"("rejected": [{"role": "assistant", "content": "<tu"}]})");
  const auto pairs = LoadPairs(path, {tokenizer_, thinks});
  EXPECT_EQ(pairs[0].prompt_ids, Bytes("[Q][<"));
  EXPECT_EQ(pairs[0].chosen_ids, Bytes("b]"));
  EXPECT_EQ(pairs[0].rejected_ids, Bytes("tu]"));
}

TEST_F(PairFile, FaultsOfMessagesNameTheirPlace) {
  const std::string answer = R"([{"role": "assistant", "content": "4"}])";
  const auto with = [&](const std::string& prompt, const std::string& more = "") {
    return R"({"prompt": )" + prompt + R"(, "chosen": )" + answer + R"(, "rejected": )" + answer +
           more + "}";
  };
  EXPECT_EQ(LoadError(with("[]")), "p.jsonl:1: key \"prompt\" has no messages");
  EXPECT_EQ(LoadError(with(R"([{"role": "user", "content": "a"}, "b"])")),
            "p.jsonl:1: prompt[1] must be a message with role and content, not string");
  EXPECT_EQ(LoadError(with(R"([{"role": "user", "content": [{"type": "image"}]}])")),
            "p.jsonl:1: prompt[0]: key \"content\" must be a string, not array");
  EXPECT_THAT(LoadError(with(R"([{"role": "user", "content": "a", "tool_calls": [{}]}])")),
              HasSubstr("prompt[0]: \"tool_calls\" is not supported"));
  const std::string user = R"([{"role": "user", "content": "a"}])";
  EXPECT_THAT(LoadError(with(user, R"(, "tools": [{"name": "f"}])")),
              HasSubstr("p.jsonl:1: \"tools\" is not supported"));
  EXPECT_EQ(Load(with(user, R"(, "tools": [])")).size(), 1u);
  EXPECT_EQ(LoadError(R"({"prompt": )" + user + R"(, "chosen": "b", "rejected": "c"})"),
            "p.jsonl:1: key \"chosen\" must be a list of messages, not string; give all keys as "
            "text or all as messages");
  EXPECT_EQ(
      LoadError(
          R"({"chosen": [{"role": "user", "content": "a"}], "rejected": [{"role": "user", "content": "b"}]})"),
      "p.jsonl:1: chosen and rejected share no first message; give a \"prompt\"");
  const PromptFormat picky(ChatTemplate("{{ raise_exception('no') }}", "t", {}));
  EXPECT_THAT(
      ErrorText([&] {
        LoadPairs(folder_.Write("p.jsonl", with(user)), {tokenizer_, picky});
      }),
      HasSubstr(
          "p.jsonl:1: t, line 1 of the template: the template refuses this conversation: no"));
}

TEST_F(PairFile, WeightsFitTheirSides) {
  const std::string ids = R"("prompt_ids": [1], "chosen_ids": [2, 3], "rejected_ids": [4])";
  const auto pairs = Load("{" + ids + R"(, "chosen_weights": [0, 1.5]})");
  EXPECT_THAT(pairs[0].chosen_weights, ElementsAre(0.0f, 1.5f));
  EXPECT_TRUE(pairs[0].rejected_weights.empty());
  EXPECT_EQ(LoadError("{" + ids + R"(, "chosen_weights": [1]})"),
            "p.jsonl:1: key \"chosen_weights\" must be an array of 2 numbers, one for each id of "
            "the side");
  EXPECT_EQ(LoadError("{" + ids + R"(, "rejected_weights": [-0.5]})"),
            "p.jsonl:1: rejected_weights[0] must be a number of at least 0, not -0.5");
  EXPECT_THAT(LoadError("{" + ids + R"(, "rejected_weights": ["a"]})"), HasSubstr("not string"));
  EXPECT_THAT(LoadError("{" + ids + R"(, "rejected_weights": [1e200]})"), HasSubstr("not 1e+200"));
  EXPECT_THAT(
      LoadError(R"({"prompt": "a", "chosen": "b", "rejected": "c", "chosen_weights": [1, 1]})"),
      HasSubstr("\"chosen_weights\" belongs to ids"));
}

TEST_F(PairFile, APairMayHaveAWeight) {
  const auto with = [](const std::string& more) {
    return R"({"prompt": "a", "chosen": "b", "rejected": "c")" + more + "}";
  };
  const auto pairs = Load(with("") + "\n" + with(R"(, "weight": 0)") + "\n" +
                          with(R"(, "weight": 2.5)") + "\n" + with(R"(, "weight": 3)"));
  EXPECT_EQ(pairs[0].weight, 1);
  EXPECT_EQ(pairs[1].weight, 0);
  EXPECT_EQ(pairs[2].weight, 2.5);
  EXPECT_EQ(pairs[3].weight, 3);
  EXPECT_EQ(LoadError(with(R"(, "weight": -1)")),
            "p.jsonl:1: weight must be a number of at least 0, not -1");
  EXPECT_EQ(LoadError(with(R"(, "weight": "x")")), "p.jsonl:1: weight must be a number, not \"x\"");
  EXPECT_THAT(LoadError(with(R"(, "weight": {})")), HasSubstr("must be a number, not object"));
  const auto path = folder_.path() / "w.jsonl";
  SavePairs(path, {pairs[0]});
  EXPECT_THAT(ReadFile(path), ::testing::Not(HasSubstr("weight"))) << "1 goes without saying";
  for (const double weight : {-0.5, std::numeric_limits<double>::infinity()}) {
    PreferencePair bad = pairs[0];
    bad.weight = weight;
    EXPECT_THAT(ErrorText([&] { SavePairs(path, {bad}); }),
                HasSubstr("has a weight that is no number of at least 0"));
  }
}

TEST_F(PairFile, UnpairedExamplesHaveALabel) {
  const auto load = [&](const std::string& text) {
    return LoadUnpaired(folder_.Write("u.jsonl", text), coding_);
  };
  const auto error = [&](const std::string& text) {
    const std::string whole = ErrorText([&] { load(text); });
    return whole.substr(std::min(whole.size(), whole.find("u.jsonl")));
  };
  const auto examples =
      load(R"({"prompt": "a", "completion": " 4x", "label": true, "id": "x"})"
           "\n"
           R"({"prompt_ids": [1], "completion_ids": [2, 3], "label": false, "weight": 0.5, )"
           R"("completion_weights": [1, 0]})"
           "\n"
           R"({"prompt": [{"role": "user", "content": "Q"}], "label": true, )"
           R"("completion": [{"role": "assistant", "content": "4"}]})");
  ASSERT_EQ(examples.size(), 3u);
  EXPECT_EQ(examples[0].id, "x");
  EXPECT_THAT(examples[0].prompt_ids, ElementsAre(kBos, 'a'));
  EXPECT_THAT(examples[0].completion_ids, ElementsAre(kBlank4, 'x', kEos));
  EXPECT_TRUE(examples[0].desirable);
  EXPECT_EQ(examples[0].weight, 1);
  EXPECT_EQ(examples[1].id, "2") << "the line number";
  EXPECT_THAT(examples[1].completion_ids, ElementsAre(2, 3));
  EXPECT_THAT(examples[1].completion_weights, ElementsAre(1.0f, 0.0f));
  EXPECT_FALSE(examples[1].desirable);
  EXPECT_EQ(examples[1].weight, 0.5);
  EXPECT_EQ(examples[2].prompt_ids, Bytes("uQ;a"));
  EXPECT_EQ(examples[2].completion_ids, Bytes("4;"));
  EXPECT_THAT(error(R"({"prompt": "a", "completion": "b"})"), HasSubstr("no key \"label\""));
  EXPECT_THAT(error(R"({"prompt": "a", "completion": "b", "label": 1})"),
              HasSubstr("u.jsonl:1: label must be true or false, not number"));
  EXPECT_THAT(error(R"({"prompt": "a", "label": true})"), HasSubstr("no key \"completion\""));
  EXPECT_THAT(error(R"({"prompt_ids": [1], "completion_ids": [], "label": true})"),
              HasSubstr("u.jsonl:1: the completion is empty"));
  EXPECT_THAT(
      error(R"({"prompt": "a", "completion": "b", "label": true, "completion_weights": [1, 1]})"),
      HasSubstr("\"completion_weights\" belongs to ids"));
}

// As TRL's unpair_preference_dataset has them.
TEST_F(PairFile, AdvantagesAreOfAllTokensOrOfEach) {
  const auto load = [&](const std::string& text) {
    return LoadAdvantages(folder_.Write("a.jsonl", text), coding_);
  };
  const auto error = [&](const std::string& text) {
    const std::string whole = ErrorText([&] { load(text); });
    return whole.substr(std::min(whole.size(), whole.find("a.jsonl")));
  };
  const auto examples =
      load(R"({"prompt": "a", "completion": " 4x", "advantages": -0.5, "id": "x"})"
           "\n"
           R"({"prompt_ids": [1], "completion_ids": [2, 3], "advantages": [0.25, -1e-3], )"
           R"("old_logprobs": [-0.5, 0], "weight": 0.5})");
  ASSERT_EQ(examples.size(), 2u);
  EXPECT_EQ(examples[0].id, "x");
  EXPECT_THAT(examples[0].completion_ids, ElementsAre(kBlank4, 'x', kEos));
  EXPECT_THAT(examples[0].advantages, ElementsAre(-0.5f, -0.5f, -0.5f));
  EXPECT_TRUE(examples[0].old_logprobs.empty());
  EXPECT_EQ(examples[0].weight, 1);
  EXPECT_EQ(examples[1].id, "2") << "the line number";
  EXPECT_THAT(examples[1].advantages, ElementsAre(0.25f, -1e-3f));
  EXPECT_THAT(examples[1].old_logprobs, ElementsAre(-0.5f, 0.0f));
  EXPECT_EQ(examples[1].weight, 0.5);
  const auto path = folder_.path() / "again.jsonl";
  SaveAdvantages(path, examples);
  const auto again = LoadAdvantages(path, coding_);
  ASSERT_EQ(again.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(again[i].id, examples[i].id);
    EXPECT_EQ(again[i].prompt_ids, examples[i].prompt_ids);
    EXPECT_EQ(again[i].completion_ids, examples[i].completion_ids);
    EXPECT_EQ(again[i].advantages, examples[i].advantages);
    EXPECT_EQ(again[i].old_logprobs, examples[i].old_logprobs);
    EXPECT_EQ(again[i].weight, examples[i].weight);
  }
  const std::string ids = R"({"prompt_ids": [1], "completion_ids": [2, 3], )";
  EXPECT_THAT(error(ids + "\"id\": \"x\"}"), HasSubstr("a.jsonl:1: no key \"advantages\""));
  EXPECT_THAT(error(ids + "\"advantages\": [1]}"), HasSubstr("must be an array of 2 numbers"));
  EXPECT_THAT(error(ids + "\"advantages\": [1, null]}"),
              HasSubstr("advantages[1] must be a number in [-1e6, 1e6], not null"));
  EXPECT_THAT(error(ids + "\"advantages\": 1e99}"), HasSubstr("advantages must be"));
  EXPECT_THAT(error(ids + "\"advantages\": 1, \"old_logprobs\": [0.5, 0]}"),
              HasSubstr("old_logprobs[0] must be a number in [-50, 0], not 0.5"));
  EXPECT_THAT(error(R"({"prompt": "a", "completion": "b", "advantages": [1, 1]})"),
              HasSubstr("\"advantages\" of tokens belong to ids"));
}

// Tables have strings (CSV) and nulls (Parquet) where lines have numbers or nothing.
TEST_F(PairFile, CellsOfTablesAreRead) {
  const auto labelled = LoadUnpaired(folder_.Write("u.csv",
                                                   "prompt,completion,label,weight\n"
                                                   "a, 4,True,0.5\n"
                                                   "a, 5,FALSE,\n"),
                                     coding_);
  ASSERT_EQ(labelled.size(), 2u);
  EXPECT_TRUE(labelled[0].desirable);
  EXPECT_EQ(labelled[0].weight, 0.5);
  EXPECT_FALSE(labelled[1].desirable);
  EXPECT_EQ(labelled[1].weight, 1);
  const auto advantages = LoadAdvantages(folder_.Write("a.csv",
                                                       "prompt_ids,completion_ids,advantages\n"
                                                       "[49],\"[50, 51]\",\"[0.5, -1]\"\n"
                                                       "[49],\"[50, 51]\",2\n"),
                                         coding_);
  ASSERT_EQ(advantages.size(), 2u);
  EXPECT_EQ(advantages[0].completion_ids, (Ids{50, 51}));
  EXPECT_THAT(advantages[0].advantages, ElementsAre(0.5f, -1.0f));
  EXPECT_THAT(advantages[1].advantages, ElementsAre(2.0f, 2.0f));
  const auto pairs = Load(R"({"prompt": "a", "chosen": "4", "rejected": "5", "prompt_ids": null,)"
                          R"( "chosen_ids": null, "rejected_ids": null, "chosen_samples": null})");
  EXPECT_EQ(pairs.at(0).chosen_ids, Bytes("4</s>"));
  for (const auto& [row, text] :
       {std::pair("a, 4,yes,1", "label"), {"a, 4,true,heavy", "weight"}}) {
    const auto path =
        folder_.Write("bad.csv", std::string("prompt,completion,label,weight\n") + row + "\n");
    EXPECT_THAT(ErrorText([&] { LoadUnpaired(path, coding_); }),
                AllOf(HasSubstr("bad.csv:1: "), HasSubstr(text), HasSubstr("must be")));
  }
  // Sides that are empty beside a completion are no pair; beside none they are.
  const auto mixed = LoadUnpaired(folder_.Write("mixed.csv",
                                                "prompt,chosen,rejected,completion,label\n"
                                                "a,4,5,,\n"
                                                "a,,,6,true\n"),
                                  coding_);
  ASSERT_EQ(mixed.size(), 3u);
  EXPECT_EQ(mixed[1].completion_ids, Bytes("6</s>"));
  EXPECT_TRUE(mixed[1].desirable);
  const auto nulls = Load(R"({"prompt": null, "chosen": "a4", "rejected": "a5", "id": null,)"
                          R"( "source": null})");
  EXPECT_EQ(nulls.at(0).id, "1");
  EXPECT_EQ(nulls.at(0).prompt_ids, (Ids{kBos, 'a'}));
}

// What next-token training would not heed.
TEST_F(PairFile, CompletionsThatNextTokenTrainingRefuses) {
  const auto load = [&](const std::string& more) {
    const auto path =
        folder_.Write("s.jsonl", R"({"prompt_ids": [49], "completion_ids": [50])" + more + "}");
    return ErrorText([&] { LoadPromptCompletions(path, coding_); });
  };
  EXPECT_EQ(load(R"(, "label": true, "weight": 1)"), "(no Error)");
  EXPECT_THAT(load(R"(, "label": false)"), HasSubstr("s.jsonl:1: the label is false"));
  EXPECT_THAT(load(R"(, "weight": 0.5)"), HasSubstr("takes no weights"));
  EXPECT_THAT(load(R"(, "completion_weights": [1])"), HasSubstr("takes no weights"));
}

TEST_F(PairFile, PairsAreUnpairedWithTheRejectedSidesLast) {
  const auto examples = LoadUnpaired(
      folder_.Write("u.jsonl",
                    R"({"id": "p", "prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [3, 4], )"
                    R"("weight": 2, "rejected_weights": [1, 0]})"
                    "\n"
                    R"({"prompt_ids": [5], "completion_ids": [6], "label": true})"
                    "\n"
                    R"({"prompt_ids": [7], "chosen_ids": [8], "rejected_ids": [9]})"),
      coding_);
  std::vector<std::string> ids;
  std::vector<Ids> completions;
  std::vector<bool> labels;
  for (const UnpairedExample& example : examples) {
    ids.push_back(example.id);
    completions.push_back(example.completion_ids);
    labels.push_back(example.desirable);
  }
  EXPECT_THAT(ids, ElementsAre("p/chosen", "2", "3/chosen", "p/rejected", "3/rejected"));
  EXPECT_THAT(completions, ElementsAre(Ids{2}, Ids{6}, Ids{8}, Ids{3, 4}, Ids{9}));
  EXPECT_THAT(labels, ElementsAre(true, true, true, false, false));
  EXPECT_THAT(examples[3].prompt_ids, ElementsAre(1));
  EXPECT_THAT(examples[3].completion_weights, ElementsAre(1.0f, 0.0f));
  EXPECT_EQ(examples[3].weight, 2);
  EXPECT_EQ(examples[0].weight, 2);
}

TEST_F(PairFile, CompletionsAreReadAsTheyWereSaved) {
  const std::vector<PromptCompletion> examples = {{{'a', kBlank4}, {'x', kEos}, "q/right/0"},
                                                  {{'b'}, {'y', 0xC3}, "q/right/1"}};
  const auto path = folder_.path() / "right.jsonl";
  SaveCompletions(path, examples, tokenizer_);
  EXPECT_THAT(
      data::ReadFile(path),
      ::testing::StartsWith(R"({"id":"q/right/0","prompt":"a 4","completion":"x","prompt_ids":)"));
  const auto again = LoadPromptCompletions(path, coding_);
  ASSERT_EQ(again.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(again[i].prompt_ids, examples[i].prompt_ids);
    EXPECT_EQ(again[i].completion_ids, examples[i].completion_ids);
  }
}

TEST_F(PairFile, PromptCompletionsEndWithEos) {
  const std::string line = "{\"prompt\": \"a\", \"completion\": \" 4\", \"more\": 1}\n";
  auto items = LoadCompletions(line);
  ASSERT_EQ(items.size(), 1u);
  EXPECT_THAT(items[0].prompt_ids, ElementsAre(kBos, 'a'));
  EXPECT_THAT(items[0].completion_ids, ElementsAre(kBlank4, kEos));
  const ByteTokenizer bare(false, -1);
  items = LoadPromptCompletions(folder_.Write("c.jsonl", line), {bare, format_});
  EXPECT_THAT(items[0].prompt_ids, ElementsAre('a'));
  EXPECT_THAT(items[0].completion_ids, ElementsAre(kBlank4));
  const auto empty = folder_.Write("c.jsonl", "{\"prompt\": \"a\", \"completion\": \"\"}");
  EXPECT_THAT(ErrorText([&] {
                LoadPromptCompletions(empty, {bare, format_});
              }),
              HasSubstr("c.jsonl:1: the completion is empty"));
}

TEST_F(PairFile, CompletionsAsMessages) {
  const std::string user = R"({"role": "user", "content": "Q"})",
                    reply = R"({"role": "assistant", "content": "4"})";
  const auto items = LoadCompletions(R"({"prompt": [)" + user + R"(], "completion": [)" + reply +
                                     "]}\n" + R"({"messages": [)" + user + "," + reply + "]}\n");
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].prompt_ids, Bytes("uQ;a"));
  EXPECT_EQ(items[0].completion_ids, Bytes("4;"));
  EXPECT_EQ(items[1].prompt_ids, Bytes("u")) << "all that can be predicted is trained";
  EXPECT_EQ(items[1].completion_ids, Bytes("Q;a4;"));
}

}  // namespace
}  // namespace pivotal::data
