// Apache-2.0. What the program says of itself: help, what was probably meant, completion.
#include <fmt/format.h>

#include <regex>
#include <set>
#include <sstream>

#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Pivotal;
using testing::RunCommand;

// Returns the names of the commands that the program's help lists.
std::vector<std::string> Commands() {
  std::vector<std::string> names;
  std::istringstream lines(Pivotal("--help").output);
  for (std::string line; std::getline(lines, line) && line != "Options:";)
    if (line.starts_with("  ") && line[2] != ' ')
      names.push_back(line.substr(2, line.find(' ', 2) - 2));
  return names;
}

// Returns the options that a help text describes.
std::set<std::string> OptionsIn(const std::string& text) {
  std::set<std::string> names;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("  -")) continue;
    const auto at = line.find("--");
    names.insert(line.substr(at, line.find(' ', at) - at));
  }
  return names;
}

TEST(Help, EveryCommandHasUsualOptionsAndExamples) {
  const auto commands = Commands();
  EXPECT_GE(commands.size(), 20u);
  for (const std::string& command : commands) {
    SCOPED_TRACE(command);
    const std::string name = command == "bench" ? "bench rollouts" : command;
    const auto usual = Pivotal(name + " --help"), all = Pivotal(name + " --help-all");
    ASSERT_EQ(usual.code, 0);
    ASSERT_EQ(all.code, 0);
    EXPECT_THAT(usual.output, AllOf(HasSubstr("Usage: pivotal " + name), HasSubstr("Examples:"),
                                    HasSubstr("Guide: ")));
    const auto few = OptionsIn(usual.output), many = OptionsIn(all.output);
    EXPECT_LE(few.size(), 13u);
    for (const std::string& option : few) EXPECT_TRUE(many.contains(option)) << option;
    for (const char* option : {"--help", "--quiet", "--verbose"})
      EXPECT_TRUE(many.contains(option)) << option;
    EXPECT_THAT(all.output, AllOf(Not(HasSubstr("Excludes")), Not(HasSubstr("REQUIRED"))));
    for (const std::string& text : {usual.output, all.output}) {
      std::istringstream lines(text);
      for (std::string line; std::getline(lines, line);)
        if (!line.starts_with("  pivotal ")) {
          EXPECT_LE(line.size(), 100u) << line;
        }
    }
  }
}

// The examples are commands that the program understands: their options exist.
TEST(Help, ExamplesNameOptionsThatAre) {
  for (const std::string& command : Commands()) {
    const std::string name = command == "bench" ? "bench rollouts" : command;
    const auto known = OptionsIn(Pivotal(name + " --help-all").output);
    std::istringstream lines(Pivotal(name + " --help").output);
    int examples = 0;
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("  pivotal " + name)) continue;
      ++examples;
      std::istringstream words(line);
      for (std::string word; words >> word && word != "#";)
        if (word.starts_with("--")) {
          EXPECT_TRUE(known.contains(word)) << line;
        }
    }
    EXPECT_GE(examples, 2) << command;
  }
}

TEST(Help, RangesAndDefaultsAreWrittenAsPeopleDo) {
  const std::string help =
      std::regex_replace(Pivotal("search --help-all").output, std::regex("\\s+"), " ");
  EXPECT_THAT(help,
              AllOf(HasSubstr("[in (0, 1); default 0.2]"), HasSubstr("[at least 1; default 256]"),
                    HasSubstr("one of anchored, subdivide")));
}

TEST(Help, WhatWasProbablyMeant) {
  const auto says = [](const std::string& arguments, const std::string& text) {
    const auto result = Pivotal(arguments);
    EXPECT_EQ(result.code, 2) << arguments;
    EXPECT_THAT(result.output, HasSubstr(text)) << arguments;
  };
  says("serch", "serch is no command of pivotal; did you mean search?");
  says("bench rolouts", "did you mean rollouts?");
  says("search --smaples 3", "--smaples is no option of pivotal search; did you mean --samples?");
  says("search --smaples=3 --model x", "did you mean --samples?");
  says("train --modle x", "did you mean --model?");
  says("search --model m --problems p --output o --strategy anchord", "did you mean anchored?");
  says("train --model m --data d --output o --objective dop", "did you mean dpo?");
  says("show", "RUN is required");
  says("search --gap", "--gap: its value is missing");
  says("show a b", "b: nothing is expected here");
  says("qqqqq", "qqqqq is no command of pivotal\n");
  says("", "a command is missing");
}

TEST(Help, NamesThatFilesHoldAreGuessedToo) {
  const auto result = Pivotal("grade --oracle numerc --input nothing.jsonl");
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.output, HasSubstr("did you mean numeric?"));
}

// Returns what bash offers for the last of these words.
std::string BashOffers(const std::string& words, const std::string& before = "") {
  return RunCommand(
             fmt::format("bash -c 'cd {0}; eval \"$({1} completion bash)\"; COMP_WORDS=({2}); "
                         "COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); compopt() {{ :; }}; "
                         "_pivotal; printf \"%s\\n\" \"${{COMPREPLY[@]}}\"'",
                         before.empty() ? "/" : before, PIVOTAL_BINARY, words))
      .output;
}

TEST(Completion, Bash) {
  EXPECT_EQ(BashOffers("pivotal sea"), "search\n");
  EXPECT_EQ(BashOffers("pivotal search --strat"), "--strategy\n");
  EXPECT_EQ(BashOffers("pivotal search --strategy subdivide-"), "subdivide-length\n");
  EXPECT_EQ(BashOffers("pivotal search --gap 0.2 --for p"), "pairs\n");
  EXPECT_EQ(BashOffers("pivotal bench ro"), "rollouts\n");
  EXPECT_EQ(BashOffers("pivotal bench rollouts --trunk-t"), "--trunk-tokens\n");
  EXPECT_EQ(BashOffers("pivotal completion z"), "\n") << "arguments are files, not names";
  testing::TempDir folder;
  folder.Write("problems one.jsonl", "");
  EXPECT_EQ(BashOffers("pivotal search --problems prob", folder.path().string()),
            "problems one.jsonl\n");
}

TEST(Completion, OtherShells) {
  for (const std::string shell : {"zsh", "fish"}) {
    const auto script = Pivotal("completion " + shell);
    EXPECT_EQ(script.code, 0);
    EXPECT_THAT(script.output, AllOf(HasSubstr("anchored subdivide"), HasSubstr("merge-adapter")));
    if (RunCommand("command -v " + shell).code != 0) continue;
    const auto checked = RunCommand(
        fmt::format("{} completion {} > /tmp/pivotal_script_$$ && {} -n /tmp/pivotal_script_$$; "
                    "code=$?; rm -f /tmp/pivotal_script_$$; exit $code",
                    PIVOTAL_BINARY, shell, shell));
    EXPECT_EQ(checked.code, 0) << checked.output;
  }
  if (RunCommand("command -v fish").code != 0) GTEST_SKIP() << "no fish";
  const auto offers = [](const std::string& line) {
    return RunCommand(fmt::format("HOME=/tmp fish --no-config -c '{} completion fish | source; "
                                  "complete -C \"{}\"'",
                                  PIVOTAL_BINARY, line))
        .output;
  };
  EXPECT_THAT(offers("pivotal sea"), HasSubstr("search\tFind the pivotal tokens"));
  EXPECT_THAT(offers("pivotal search --strategy subdivide-"), HasSubstr("subdivide-length"));
  EXPECT_THAT(offers("pivotal bench ro"), HasSubstr("rollouts"));
}

TEST(Completion, OfAnUnknownShell) {
  const auto result = Pivotal("completion tcsh");
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.output, HasSubstr("tcsh is none of bash, zsh, fish"));
}

}  // namespace
}  // namespace pivotal
