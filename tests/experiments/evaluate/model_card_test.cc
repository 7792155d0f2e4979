// Apache-2.0. Model cards: names, licences, and text that must not break YAML or Markdown.
// tests/cli/model_card_test.cc reads whole cards.
#include "experiments/evaluate/model_card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/support/temp_dir.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class ModelCard : public ::testing::Test {
 protected:
  // Returns a folder of this name with these files.
  fs::path Folder(const fs::path& name, const std::string& config, const std::string& card = "") {
    const fs::path folder = temp_.path() / name;
    fs::create_directories(folder);
    if (!config.empty()) temp_.Write((name / "config.json").string(), config);
    if (!card.empty()) temp_.Write((name / "README.md").string(), card);
    return folder;
  }
  std::string Licence(const std::string& card) {
    const std::string text = CardHeadText({.base = Folder("base", "", card)});
    const auto begin = text.find("license");
    return begin == std::string::npos ? "" : text.substr(begin, text.find("pipeline") - begin);
  }

  testing::TempDir temp_;
};

TEST_F(ModelCard, NamesSayNothingOfTheMachine) {
  EXPECT_EQ(ModelName(Folder("my-phi", "")), "my-phi");
  EXPECT_EQ(ModelName(Folder("my-phi", "") / ""), "my-phi");
  EXPECT_EQ(ModelName(Folder("a", R"({"_name_or_path": "microsoft/phi-4"})")), "microsoft/phi-4");
  for (const char* local : {"/home/me/phi-4", "../phi-4", "phi-4", "C:\\\\me\\\\phi", "a/b/c"})
    EXPECT_EQ(ModelName(Folder("b", R"({"_name_or_path": ")" + std::string(local) + "\"}")), "b");
  EXPECT_EQ(ModelName(Folder("c", "no JSON")), "c");
  const fs::path hub = "models--microsoft--Phi-4-mini-instruct/snapshots/5a149550068a1eb93398160d8";
  EXPECT_EQ(ModelName(Folder(hub, "")), "microsoft/Phi-4-mini-instruct");
  EXPECT_EQ(DataName("/home/me/pairs.jsonl"), "pairs.jsonl");
  EXPECT_EQ(DataName("/x/datasets--openai--gsm8k/snapshots/e53/main/test.jsonl"), "openai/gsm8k");
  EXPECT_EQ(BareName("."), fs::current_path().filename().string());
}

TEST_F(ModelCard, TheLicenceIsThatOfTheBaseModel) {
  EXPECT_EQ(Licence(""), "");
  EXPECT_EQ(Licence("# A card without front matter\nlicense: mit\n"), "");
  EXPECT_EQ(Licence("---\nlicense: mit # of the weights\n---\nlicense: gpl\n"), "license: mit\n");
  EXPECT_EQ(Licence("---\r\ntags:\r\n- x\r\nlicense: 'apache-2.0'\r\n---\r\n"),
            "license: apache-2.0\n");
  EXPECT_EQ(Licence("---\nlicense: other\nlicense_name: \"my: own\"\nlicense_link: "
                    "https://example.com/L?a=1\n---\n"),
            "license: other\nlicense_name: \"my: own\"\nlicense_link: "
            "\"https://example.com/L?a=1\"\n");
  EXPECT_EQ(Licence("---\nlicense: other\nlicense_link: LICENSE\n---\n"), "license: other\n");
  EXPECT_EQ(Licence("---\nlicense: [mit]\nlicense_name: |\n  x\nlicense_link:\n---\n"), "");
  EXPECT_EQ(Licence("---\nlicense: \"cut off\n"), "");
}

TEST_F(ModelCard, TextCannotBreakYaml) {
  const auto head = [&](const std::string& name) {
    return CardHeadText({.base = Folder(name, ""), .datasets = {name}});
  };
  EXPECT_THAT(head("phi-4_x.y"), HasSubstr("base_model: phi-4_x.y\n"));
  for (const std::string name : {"no", "Null", "1e5", "a: b", "a #b", "- a", "a\"b", "it's"})
    EXPECT_THAT(head(name), HasSubstr("base_model: \"")) << name;
  EXPECT_THAT(head("a\"b\nlicense: mit"),
              HasSubstr("base_model: \"a\\\"b\u240Alicense: mit\"\ndatasets:\n- \"a\\\"b\u240A"));
  EXPECT_THAT(head("caf\xE9 \x1B\uFFFE\u00E9"), HasSubstr("\"caf\uFFFD \u241B\uFFFD\u00E9\""));
  EXPECT_THAT(CardHeadText({.base = Folder("a b", ""), .adapter = true, .tags = {"dpo"}}),
              HasSubstr("library_name: peft\npipeline_tag: text-generation\ntags:\n- pivotal\n- "
                        "dpo\n- \"base_model:adapter:a b\"\n- lora\n- transformers\n---\n"));
}

TEST_F(ModelCard, TextCannotBreakMarkdown) {
  EXPECT_EQ(MarkdownCode("phi-4"), "`phi-4`");
  EXPECT_EQ(MarkdownCode("a`b``c"), "```a`b``c```");
  EXPECT_EQ(MarkdownCode("`a"), "`` `a ``");
  EXPECT_EQ(MarkdownCode(""), "`  `");
  EXPECT_EQ(MarkdownCode("<b>\n# x"), "`<b>\u240A# x`");
  EXPECT_EQ(MarkdownCodeCell("a|b"), "`a\\|b`");
  EXPECT_EQ(MarkdownBlock("a\n", "sh"), "```sh\na\n```\n");
  EXPECT_EQ(MarkdownBlock("````\n# x", ""), "`````\n````\n# x\n`````\n");
  EXPECT_EQ(MarkdownTable({"a", "b"}, {{"1", "2"}, {"3", ""}}),
            "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 |  |\n");
}

}  // namespace
}  // namespace pivotal::experiments
