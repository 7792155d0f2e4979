// Apache-2.0. pivotal generate: prompts from standard input, conversations, system messages and
// prompt formats.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::kTiny;
using ::testing::Not;
using testing::RunCommand;

const std::string kBoxes =
    "Tom has 8 boxes with 47 coins in each box and finds 25 more coins. "
    "How many coins does Tom have now?";

std::string Generate(const std::string& model, const std::string& arguments) {
  return std::string(PIVOTAL_BINARY) + " generate --model " + model +
         " --max-new-tokens 64 --temperature 0 " + arguments;
}

// Talks to the model. `input` holds the lines of the conversation, escaped for printf.
testing::CommandResult Chat(const std::string& input, const std::string& more = "",
                            const std::string& model = testing::kTinyModel) {
  return RunCommand("printf '" + input + "' | " + Generate(model, "--chat " + more));
}

int64_t Lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

// Copies the tiny model and replaces or adds one file.
fs::path TinyWith(const testing::TempDir& temp, const std::string& name, const std::string& text) {
  fs::copy(testing::kTinyModel, temp.path() / "model");
  temp.Write("model/" + name, text);
  return temp.path() / "model";
}

TEST(Generate, TakesThePromptFromStdin) {
  const auto argument = RunCommand(Generate(testing::kTinyModel, "'" + kBoxes + "'"));
  const auto input = RunCommand("echo '" + kBoxes + "' | " + Generate(testing::kTinyModel, "-"));
  EXPECT_EQ(argument.code, 0);
  EXPECT_THAT(argument.output, HasSubstr("#### 401\n"));
  EXPECT_EQ(input.output, argument.output);
  EXPECT_EQ(RunCommand(Generate(testing::kTinyModel, "")).code, 2);
  EXPECT_EQ(RunCommand(Generate(testing::kTinyModel, "--chat q")).code, 2);
}

TEST(Generate, EndsBeforeAStopString) {
  const auto whole = RunCommand(Generate(testing::kTinyModel, "'" + kBoxes + "'"));
  const auto cut =
      RunCommand(Generate(testing::kTinyModel, "--stop '####' --stop nowhere '" + kBoxes + "'"));
  EXPECT_EQ(cut.code, 0);
  EXPECT_EQ(cut.output, whole.output.substr(0, whole.output.find("####")) + "\n");
  EXPECT_EQ(RunCommand(Generate(testing::kTinyModel, "--stop '' '" + kBoxes + "'")).code, 2);
}

TEST(Chat, AnswersEachLineAndForgetsOnReset) {
  const auto once = Chat(kBoxes + "\\n");
  EXPECT_EQ(once.code, 0);
  EXPECT_THAT(once.output, HasSubstr("#### 401\n"));
  EXPECT_EQ(Lines(once.output), 1);
  const auto twice = Chat(kBoxes + "\\n\\n/reset\\n" + kBoxes + "\\n/exit\\n" + kBoxes + "\\n");
  EXPECT_EQ(twice.code, 0);
  EXPECT_EQ(twice.output, once.output + once.output);
}

TEST(Chat, SaysWhenTheModelHasNoPositionsLeft) {
  std::string lines;
  for (int i = 0; i < 12; ++i) lines += kBoxes + "\\n";
  const auto result = Chat(lines + "/reset\\n" + kBoxes + "\\n");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.output, HasSubstr("the model has 256 positions; /reset begins a new"));
  EXPECT_THAT(result.output, ::testing::EndsWith("#### 401\n"));
}

// The program has answered one line and waits for the next. (The first Ctrl-C may come while the
// answer is being written, which it ends.)
TEST(Chat, CtrlCEndsTheProgramWhileItWaits) {
  const testing::TempDir temp;
  const auto result = RunCommand(
      fmt::format("cd {}; mkfifo in; {} < in > out 2>&1 & PID=$!; exec 3> in; echo '{}' >&3; "
                  "until grep -q '#' out; do kill -0 $PID || break; sleep 0.02; done; "
                  "for i in 1 2 3 4; do kill -s INT $PID 2> kill; sleep 0.2; done; wait $PID",
                  temp.path().string(), Generate(testing::kTinyModel, "--chat"), kBoxes));
  EXPECT_EQ(result.code, 130) << result.output;
}

TEST(PromptFormats, SystemMessagesNeedAPlace) {
  for (const std::string command : {"generate q --model ", "eval --problems x --model ",
                                    "search --problems x --output /nowhere/x --model "}) {
    const std::string problems = kTiny + "/problems/heldout.jsonl";
    std::string arguments =
        command + testing::kTinyModel + " --system 'Be brief.' --max-new-tokens 8";
    if (const auto at = arguments.find("--problems x"); at != std::string::npos)
      arguments.replace(at, 12, "--problems " + problems);
    const auto result = testing::Pivotal(arguments);
    EXPECT_EQ(result.code, 1) << result.output;
    EXPECT_THAT(result.output, HasSubstr("plain has no place for a system message"));
    EXPECT_EQ(Lines(result.output), 1);
  }
  EXPECT_EQ(Chat("q\\n", "--system 'Be brief.'").code, 1);
  EXPECT_EQ(Chat("q\\n", "--system 'Be brief.' --prompt-format phi-3").code, 0);
}

// A chat template that renders the same text as the plain format gives the same answer, if the
// plain format adds no BOS.
TEST(PromptFormats, TheTemplateOfTheFolderIsTaken) {
  const testing::TempDir temp;
  const fs::path model = TinyWith(
      temp, "chat_template.jinja",
      "{% for m in messages %}\n{% if m.role == 'system' %}\n{% set before = m.content ~ ' ' %}\n"
      "{% elif m.role == 'user' %}\n{{ 'Question: ' ~ m.content ~ '\\nAnswer:' }}\n{%- endif %}{% "
      "endfor %}");
  temp.Write("model/tokenizer_config.json",
             R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": false,
      "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "legacy": false})");
  const auto plain = RunCommand(Generate(model.string(), "--prompt-format plain '" + kBoxes + "'"));
  EXPECT_EQ(plain.code, 0);
  EXPECT_EQ(RunCommand(Generate(model.string(), "'" + kBoxes + "'")).output, plain.output);
  EXPECT_NE(RunCommand(Generate(model.string(), "--prompt-format phi-3 '" + kBoxes + "'")).output,
            plain.output);
  const auto dropped = RunCommand(Generate(model.string(), "--system 'Be brief.' q"));
  EXPECT_THAT(dropped.output, HasSubstr("template has no place for a system message"));
}

TEST(PromptFormats, ATemplateThatIsNotSupportedNamesTheRemedy) {
  const testing::TempDir temp;
  const fs::path model = TinyWith(temp, "chat_template.jinja", "a\n{% macro m() %}{% endmacro %}");
  const auto result = RunCommand(Generate(model.string(), "q"));
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(
      result.output,
      HasSubstr("chat_template.jinja, line 2 of the template: the statement {% macro %} is not "
                "supported; choose another --prompt-format\n"));
  EXPECT_EQ(RunCommand(Generate(model.string(), "--prompt-format plain q")).code, 0);
}

TEST(Generate, Phi3VisionAnswersTextOnly) {
  const testing::TempDir temp;
  std::ifstream in(testing::kTinyModel + "/config.json");
  std::string config((std::istreambuf_iterator<char>(in)), {});
  config.replace(config.find("Phi3ForCausalLM"), 15, "Phi3VForCausalLM");
  const std::string model = TinyWith(temp, "config.json", config).string();
  const auto text = RunCommand(Generate(model, "'" + kBoxes + "'"));
  EXPECT_EQ(text.code, 0) << text.output;
  EXPECT_THAT(text.output, HasSubstr("####"));
  const auto image = RunCommand(Generate(model, "'<|image_1|> What is this?'"));
  EXPECT_EQ(image.code, 1);
  EXPECT_THAT(image.output, HasSubstr("a prompt holds <|image_1|>, but only the text model"));
}

}  // namespace
}  // namespace pivotal
