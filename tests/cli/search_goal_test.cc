// Apache-2.0. Searches for pairs to train on: what --for stands for, and runs that end with a
// number of pairs.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <regex>
#include <string>

#include "data/base/file_sink.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Pivotal;

class SearchGoal : public testing::CliTest {
 protected:
  // Returns a search of six problems of the tiny example, one at a time.
  std::string Search(const std::string& run, const std::string& more = "") const {
    return fmt::format(
        "search --model {} --problems {}/problems/train.jsonl --group 1 "
        "--max-new-tokens 64 --min-success 0.05 --max-success 0.95 --output {} {}",
        testing::kTinyModel, testing::kTiny, Path(run),
        more.find("--limit") == std::string::npos ? more + " --limit 6" : more);
  }
  // Runs the program, and returns what it printed.
  static std::string Printed(const std::string& arguments) {
    const auto result = Pivotal(arguments);
    EXPECT_EQ(result.code, 0) << arguments << "\n" << result.output;
    return result.output;
  }
  // Returns the number that `text` has after `name`; -1 if there is none.
  static int64_t NumberAfter(const std::string& text, const std::string& name) {
    std::smatch found;
    return std::regex_search(text, found, std::regex(name + " +([0-9]+)")) ? std::stoll(found[1])
                                                                           : -1;
  }
  // Returns the number of pairs that `pivotal pairs` makes by its defaults.
  int64_t Pairs(const std::string& run, const std::string& more = "") const {
    const std::string file = Path(run) + "/some-pairs.jsonl";
    std::filesystem::remove(file);
    Printed("pairs " + Path(run) + " --output " + file + " " + more);
    return std::ssize(testing::JsonLines(file));
  }
  std::string Settings(const std::string& run) const {
    return data::ReadFile(Path(run) + "/run.toml");
  }
};

TEST_F(SearchGoal, HelpTellsOfGoals) {
  std::string help = Printed("search --help");
  help = std::regex_replace(help, std::regex("\\s+"), " ");
  EXPECT_THAT(help,
              AllOf(HasSubstr("--for"), HasSubstr("one of pairs, findings"), HasSubstr("--pairs"),
                    HasSubstr("--strategy pairs --samples 32 --responses 32 --min-yield 0.06")));
  EXPECT_THAT(Printed("pairs --help"), HasSubstr("--max-false-share"));
  const auto usage = [&](const std::string& arguments, const std::string& text) {
    const auto result = Pivotal(arguments);
    EXPECT_EQ(result.code, 2) << arguments;
    EXPECT_THAT(result.output, HasSubstr(text));
  };
  usage(Search("none", "--for fun"), "--for");
  usage(Search("none", "--pairs -1"), "--pairs");
  usage(Search("none", "--strategy pair"), "--strategy");
  usage("pairs none --max-false-share 0", "--max-false-share: 0 is not above 0 and at most 1");
  EXPECT_FALSE(std::filesystem::exists(Path("none")));
}

TEST_F(SearchGoal, RunsHaveWhatTheGoalStandsFor) {
  Printed(Search("pairs", "--for pairs --limit 1"));
  EXPECT_THAT(Settings("pairs"),
              AllOf(HasSubstr("strategy = 'pairs'\n"), HasSubstr("samples = 32\n"),
                    HasSubstr("responses = 32\n"), HasSubstr("min_yield = 0.06\n"),
                    Not(HasSubstr("\nfor = "))));
  // Flags override it, wherever they stand; a flag with its default value does so, too.
  Printed(Search("mixed", "--samples 8 --for pairs --min-yield 0.0015 --limit 1"));
  EXPECT_THAT(Settings("mixed"),
              AllOf(HasSubstr("strategy = 'pairs'\n"), HasSubstr("samples = 8\n"),
                    HasSubstr("responses = 32\n"), HasSubstr("min_yield = 0.0015\n")));
  Printed(Search("other", "--for pairs --strategy anchored --responses 3 --samples 8 --limit 1"));
  EXPECT_THAT(Settings("other"),
              AllOf(HasSubstr("strategy = 'anchored'\n"), HasSubstr("samples = 8\n"),
                    HasSubstr("responses = 3\n"), HasSubstr("min_yield = 0.06\n")));
  Printed(Search("findings", "--for findings --samples 8 --limit 1"));
  EXPECT_THAT(Settings("findings"),
              AllOf(HasSubstr("strategy = 'anchored'\n"), HasSubstr("responses = 2\n"),
                    HasSubstr("min_yield = 0.0015\n")));
}

TEST_F(SearchGoal, ARunEndsWithANumberOfPairsAndGoesOn) {
  const std::string whole = Printed(Search("whole", "--for pairs --limit 12"));
  const int64_t all = NumberAfter(whole, "confirmed pairs");
  ASSERT_GT(all, 8);
  EXPECT_EQ(Pairs("whole"), all);
  EXPECT_THAT(whole, Not(HasSubstr("left undone")));

  const std::string first = Printed(Search("run", "--for pairs --pairs 2 --limit 12"));
  EXPECT_THAT(Settings("run"), HasSubstr("\npairs = 2\n"));
  const int64_t few = Pairs("run");
  EXPECT_GE(few, 2);
  EXPECT_LT(few, all);
  EXPECT_EQ(NumberAfter(first, "confirmed pairs"), few);
  EXPECT_GT(NumberAfter(first, "left undone"), 0);
  EXPECT_THAT(first, HasSubstr("budget or number of pairs goes on with them"));

  // The pairs that are stored count, so the same number asks for nothing more.
  Printed("search --resume " + Path("run"));
  EXPECT_EQ(Pairs("run"), few);
  Printed(fmt::format("search --resume {} --pairs {}", Path("run"), few + 1));
  const int64_t more = Pairs("run");
  EXPECT_GE(more, few + 1);
  EXPECT_LE(more, all);
  const std::string rest = Printed("search --resume " + Path("run") + " --pairs 0");
  EXPECT_THAT(rest, Not(HasSubstr("left undone")));
  EXPECT_GT(Pairs("run"), more);
  EXPECT_LE(Pairs("run"), all) << "problems that were cut short stay as they are";
  EXPECT_EQ(data::TraceStore(Path("run")).ReadAll().size(), 12u);
}

TEST_F(SearchGoal, ASharedRunHasNoNumberOfPairs) {
  const auto result = Pivotal(Search("shared", "--for pairs --pairs 5 --shared"));
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.output, HasSubstr("a shared run has no budget and no number of pairs"));
}

TEST_F(SearchGoal, PairsAreKeptByTheirEvidence) {
  Printed(Search("run", "--for pairs"));
  const int64_t all = Pairs("run"), sure = Pairs("run", "--max-false-share 0.02");
  const int64_t none = Pairs("run", "--max-false-share 1e-90");
  EXPECT_GT(sure, 0);
  EXPECT_LE(sure, all);
  EXPECT_EQ(none, 0);
  std::filesystem::remove(Path("run") + "/pairs.jsonl");
  const std::string text = Printed("pairs " + Path("run") + " --max-false-share 0.02");
  std::smatch found;
  ASSERT_TRUE(std::regex_search(text, found, std::regex("Of these at most ([0-9.]+)%"))) << text;
  EXPECT_LE(std::stod(found[1]), 2.0);
  EXPECT_EQ(NumberAfter("pairs " + text, "pairs"), sure);
  // Every pair has counts that differ by the gap.
  for (const auto& pair : testing::JsonLines(Path("run") + "/pairs.jsonl")) {
    const auto mean = [&](const std::string& side) {
      return pair[side + "_successes"].get<double>() / pair[side + "_samples"].get<double>();
    };
    EXPECT_GE(mean("chosen") - mean("rejected"), 0.2 - 1e-9);
  }
}

}  // namespace
}  // namespace pivotal
