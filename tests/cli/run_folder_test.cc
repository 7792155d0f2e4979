// Apache-2.0. Other processes move, replace, remove or read the folder of a running search.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <set>
#include <sstream>
#include <string>

#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using testing::ExpectExplained;
using ::testing::HasSubstr;
using testing::kTinySearch;
using testing::Pivotal;

class RunFolder : public testing::CliTest {
 protected:
  // Runs a search, and calls `meanwhile` as soon as `file` exists in the run folder.
  testing::CommandResult Search(const std::string& file, const std::function<void()>& meanwhile,
                                const std::string& command = kTinySearch) {
    auto search = std::async(std::launch::async, [&] { return Pivotal(command + run_.string()); });
    using namespace std::chrono_literals;
    while (!fs::exists(run_ / file) && search.wait_for(1ms) != std::future_status::ready) continue;
    meanwhile();
    return search.get();
  }

  // Returns the pairs of an undisturbed search.
  std::string Want(const std::string& command = kTinySearch) {
    const fs::path whole = temp_.path() / "whole";
    const auto done = Pivotal(command + whole.string());
    EXPECT_EQ(done.code, 0) << done.output;
    return testing::PairsOf(whole);
  }

  void ExpectResumes() {
    testing::StoredQueries known;
    testing::CheckStored(run_, known);
    const auto resumed = Pivotal("search --resume " + run_.string());
    EXPECT_EQ(resumed.code, 0) << resumed.output;
    testing::CheckStored(run_, known);
    EXPECT_EQ(known.size(), 6u);
    EXPECT_EQ(Lines(testing::PairsOf(run_)), Lines(Want()));
  }

  // Returns the lines without their order: problems that were removed are searched last.
  static std::multiset<std::string> Lines(const std::string& text) {
    std::istringstream in(text);
    std::multiset<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.insert(line);
    return lines;
  }

  const fs::path run_ = temp_.path() / "run", away_ = temp_.path() / "away";
};

const std::string kGone = "the run folder was moved, removed or replaced";

TEST_F(RunFolder, MovedAwayAndBack) {
  const auto result = Search("shards/000002.h5", [&] { fs::rename(run_, away_); });
  ExpectExplained(result, run_, kGone);
  EXPECT_FALSE(fs::exists(run_));
  fs::rename(away_, run_);
  ExpectResumes();
}

TEST_F(RunFolder, ReplacedByAnotherFolder) {
  const auto result = Search("shards/000001.h5", [&] {
    fs::rename(run_, away_);
    fs::copy(away_, run_, fs::copy_options::recursive);
  });
  ExpectExplained(result, run_, kGone);
  EXPECT_FALSE(fs::exists(run_ / "shards" / "000003.h5"))
      << "nothing is written into a stranger's folder";
  ExpectResumes();
}

TEST_F(RunFolder, Removed) {
  const auto result = Search("shards/000001.h5", [&] {
    std::error_code busy;  // the search may write in between
    while (fs::exists(run_)) fs::remove_all(run_, busy);
  });
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.output, HasSubstr("pivotal: " + run_.string()));
  EXPECT_FALSE(fs::exists(run_));
  const auto resumed = Pivotal("search --resume " + run_.string());
  EXPECT_EQ(resumed.code, 1);
  EXPECT_THAT(resumed.output, HasSubstr("run.toml: no such file; expected the output folder"));
}

TEST_F(RunFolder, StoredProblemsThatAreRemovedAreMissed) {
  const auto result =
      Search("shards/000001.h5", [&] { fs::remove(run_ / "shards" / "000001.h5"); });
  ExpectExplained(result, run_, "holds 5 of 6 finished problems: files in it were removed");
  ExpectResumes();
}

TEST_F(RunFolder, ASecondSearchIsRefusedAndReadersSeeWhatIsStored) {
  // The search takes some seconds, so that it still runs when the second one has loaded its model.
  const std::string search = testing::SearchArguments(20, 16, 1);
  const auto result = Search(
      "run.toml",
      [&] {
        const auto resumed = Pivotal("search --resume " + run_.string());
        EXPECT_EQ(resumed.code, 1);
        EXPECT_THAT(resumed.output,
                    HasSubstr(run_.string() + ": another process is at work in this run"));
        const auto again = Pivotal(kTinySearch + run_.string());
        EXPECT_EQ(again.code, 1);
        EXPECT_THAT(again.output, HasSubstr(run_.string() + ": exists and is not empty"));
        for (int i = 0; i < 200 && !fs::exists(run_ / "traces.h5"); ++i) {
          const std::string output = (temp_.path() / std::to_string(i)).string();
          for (const std::string command : {"pairs ", "curve "}) {
            const auto read = Pivotal(command + run_.string() + " --output " + output + command[0]);
            if (read.output.find("has stored nothing so far") == std::string::npos) {
              EXPECT_EQ(read.code, 0) << read.output;
            }
          }
        }
      },
      search);
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(testing::PairsOf(run_), Want(search));
}

}  // namespace
}  // namespace pivotal
