// Apache-2.0. What people see of a run: its problems and responses, and what to do next.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Pivotal;

class Show : public testing::CliTest {
 protected:
  // Searches one problem by one short rollout, which is wrong.
  testing::CommandResult Search(const std::string& more = "") const {
    temp_.Write("p.jsonl",
                "{\"id\": \"\\u001b[31mred\", \"question\": \"a\\u009b2Jb \\u202ec?\", "
                "\"answer\": \"7\\u0007\"}\n");
    return Pivotal("search --model " + testing::kTinyModel + " --problems " + Path("p.jsonl") +
                   " --samples 1 --max-new-tokens 4 --output " + Path("run") + more);
  }
};

TEST_F(Show, ControlCharactersOfAFileDoNotReachTheTerminal) {
  ASSERT_EQ(Search().code, 0);
  const auto is_plain = AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\u009b")),
                              Not(HasSubstr("\u202e")), Not(HasSubstr("\x07")));
  const auto table = Pivotal("show " + Path("run"));
  EXPECT_EQ(table.code, 0);
  EXPECT_THAT(table.output, AllOf(HasSubstr("\u241b[31mred"), HasSubstr("a\ufffd2Jb"), is_plain));
  const auto problem = Pivotal("show " + Path("run") + " --problem '\x1b[31mred'");
  EXPECT_EQ(problem.code, 0) << problem.output;
  EXPECT_THAT(problem.output, AllOf(HasSubstr("answer 7\u2407"), is_plain));
  // An error tells of it, too.
  const auto error = Pivotal("eval --oracle choice --model " + testing::kTinyModel +
                             " --problems " + Path("p.jsonl"));
  EXPECT_EQ(error.code, 1);
  EXPECT_THAT(error.output, AllOf(HasSubstr("problem \u241b[31mred"), is_plain));
}

TEST_F(Show, SaysWhatCanFollowASearchThatFoundNothing) {
  const auto search = Search();
  EXPECT_THAT(search.output, AllOf(HasSubstr("Next: pivotal show " + Path("run")),
                                   HasSubstr("--min-success"), Not(HasSubstr("pivotal pairs"))));
  const auto found = Pivotal(testing::SearchArguments(8, 16, 8) + Path("found"));
  EXPECT_THAT(found.output, HasSubstr("Next: pivotal pairs " + Path("found")));
}

TEST_F(Show, ARunWhoseTracesAreGoneIsNoEmptyRun) {
  ASSERT_EQ(Search().code, 0);
  fs::remove(Path("run") + "/traces.h5");
  for (const std::string command : {"show ", "pairs ", "pairs --source full ", "curve ", "answers ",
                                    "report ", "export --format pts "}) {
    const auto result = Pivotal(command + Path("run"));
    EXPECT_EQ(result.code, 1) << command << result.output;
    EXPECT_THAT(result.output, AllOf(HasSubstr(Path("run") + ": there is no traces.h5"),
                                     HasSubstr("search --resume " + Path("run"))));
  }
}

}  // namespace
}  // namespace pivotal
