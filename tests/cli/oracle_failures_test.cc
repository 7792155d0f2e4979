// Apache-2.0. Searches and evaluations whose oracle fails: on one response, on all, for a while.
#include <fmt/format.h>
#include <fmt/ranges.h>
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

class OracleFailures : public testing::CliTest {
 protected:
  const std::string search_ = testing::SearchArguments(4, 8, 2);
};

// A pattern that backtracks without end on nearly every response.
const std::string kHopeless = R"( --oracle 'regex:(.+)+\1{3}[^\s\S]')";

TEST_F(OracleFailures, APatternThatReachesItsLimitEndsTheSearchAndResumeCanGoOn) {
  const auto stopped = Pivotal(search_ + Path("run") + kHopeless);
  EXPECT_EQ(stopped.code, 1);
  EXPECT_THAT(stopped.output,
              AllOf(HasSubstr("limits reached, more than --max-oracle-failures 0.02 allows"),
                    HasSubstr("oracle regex: match limit"),
                    HasSubstr("pivotal search --resume " + Path("run"))));
  const auto resumed = Pivotal("search --max-oracle-failures 1 --resume " + Path("run"));
  EXPECT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_THAT(resumed.output, AllOf(HasSubstr("problems             4"),
                                    HasSubstr("failed verdicts"), HasSubstr("limits reached")));
}

TEST_F(OracleFailures, AJudgeThatNeverAnswersEndsTheWork) {
  const std::string judge = " --oracle 'command:sleep 100' --oracle-timeout 0.5";
  const auto search = Pivotal(search_ + Path("run") + judge);
  EXPECT_EQ(search.code, 1);
  EXPECT_THAT(search.output, AllOf(HasSubstr("6 of 6 verdicts failed: 6 time-outs"),
                                   HasSubstr("did not answer in time"),
                                   HasSubstr("search --resume " + Path("run"))));
  const auto eval =
      Pivotal("eval --model " + testing::kTinyModel + " --problems " + testing::kTiny +
              "/problems/heldout.jsonl --limit 8 " + "--max-new-tokens 64 --samples 1" + judge);
  EXPECT_EQ(eval.code, 1);
  EXPECT_THAT(eval.output, HasSubstr("6 of 6 verdicts failed: 6 time-outs"));
  const auto allowed =
      Pivotal("eval --model " + testing::kTinyModel + " --problems " + testing::kTiny +
              "/problems/heldout.jsonl --limit 2 " + "--max-new-tokens 64 --samples 1" + judge);
  EXPECT_EQ(allowed.code, 0);
  EXPECT_THAT(allowed.output, HasSubstr("4 of 4 verdicts failed: 4 time-outs"));
}

// Returns what a run knows of every rollout: its tokens and its verdict.
std::string RolloutsOf(const fs::path& run) {
  std::string text;
  for (const QueryTrace& query : data::LoadRun(run)) {
    text += query.id + "\n";
    for (const RolloutTrace& rollout : query.rollouts)
      text += fmt::format("{} {}\n", fmt::join(rollout.tokens, ","), rollout.success);
  }
  return text;
}

// The judge crashes on every other right response while the file `broken` is there. Once it is
// gone, resume asks anew, alone or with others, and finds what a search finds whose judge never
// failed.
TEST_F(OracleFailures, ResumeAsksAgainAndFindsWhatASoundJudgeFinds) {
  temp_.Write("judge.py",
              "import json, os, sys\n"
              "for line in sys.stdin:\n"
              "    d = json.loads(line)\n"
              "    said, want = (d[k].split('####')[-1].strip() for k in ('response', 'answer'))\n"
              "    if os.path.exists('" +
                  Path("broken") +
                  "') and said == want and sum(map(ord, d['response'])) % 2: sys.exit(3)\n"
                  "    print(json.dumps({'success': said == want}), flush=True)\n");
  const std::string judge =
      " --max-oracle-failures 1 --oracle 'command:exec /usr/bin/python3 " + Path("judge.py") + "'";
  ASSERT_EQ(Pivotal(search_ + Path("sound") + judge).code, 0);
  const std::string want = RolloutsOf(Path("sound"));
  temp_.Write("broken", "");
  for (const char* name : {"alone", "shared"}) {
    const std::string run = Path(name);
    const auto failing = Pivotal(search_ + run + judge);
    EXPECT_EQ(failing.code, 0) << failing.output;
    EXPECT_THAT(failing.output, AllOf(HasSubstr("failed verdicts"), HasSubstr("crashes")));
    EXPECT_NE(RolloutsOf(run), want);
  }
  fs::remove(Path("broken"));
  for (const std::string more : {"", " --shared"}) {
    const std::string run = Path(more.empty() ? "alone" : "shared");
    const auto resumed = Pivotal("search --resume " + run + more);
    EXPECT_EQ(resumed.code, 0) << resumed.output;
    EXPECT_THAT(resumed.output, Not(HasSubstr("failed verdicts")));
    EXPECT_EQ(RolloutsOf(run), want) << run;
    EXPECT_THAT(Pivotal("search --resume " + run + more).output,
                HasSubstr("problems found done  4"));
  }
}

// The judge fails at the first evaluation: the steps before it are kept, and resume goes on from
// there, once the judge is sound or its failures are allowed. Evaluations do not change the
// weights.
TEST_F(OracleFailures, TrainingKeepsItsStepsWhenAnEvaluationFails) {
  temp_.Write("pairs.jsonl", testing::ProductPairs(13));
  temp_.Write("judge.sh", "while read -r line; do [ -e " + Path("broken") +
                              " ] && exit 3; echo '{\"success\": true}'; done\n");
  temp_.Write("broken", "");
  const std::string run = Path("run");
  const auto train = [&](const std::string& output, const std::string& more) {
    return Pivotal("train --device cpu --model " + testing::kTinyModel + " --data " +
                   Path("pairs.jsonl") + " --batch-size 4 --epochs 2 --output " + output + more);
  };
  const auto failed =
      train(run, " --eval-steps 2 --eval-limit 8 --eval-max-new-tokens 16 --eval-problems " +
                     testing::kTiny + "/problems/heldout.jsonl --eval-oracle 'command:sh " +
                     Path("judge.sh") + "'");
  EXPECT_EQ(failed.code, 1);
  EXPECT_THAT(failed.output,
              AllOf(HasSubstr("pivotal: the evaluation after step 2 failed: 6 of 6 verdicts "
                              "failed: 6 crashes, more than --max-oracle-failures 0.02 allows"),
                    HasSubstr("put the oracle right, or give --resume a larger"),
                    HasSubstr("all 2 steps are in " + run + "/checkpoint-2"),
                    HasSubstr("pivotal train --resume " + run + " goes on from there")));
  const auto again = Pivotal("train --resume " + run);  // it is still broken
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.output, HasSubstr("all 2 steps are in " + run + "/checkpoint-2"));
  fs::copy(run, Path("allowed"), fs::copy_options::recursive);
  const auto allowed = Pivotal("train --max-oracle-failures 1 --resume " + Path("allowed"));
  EXPECT_EQ(allowed.code, 0) << allowed.output;
  EXPECT_THAT(allowed.output, HasSubstr("8 of 8 verdicts failed"));
  fs::remove(Path("broken"));
  const auto resumed = Pivotal("train --resume " + run);
  EXPECT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_THAT(resumed.output, HasSubstr("best eval_accuracy 1 at step 2"));
  ASSERT_EQ(train(Path("whole"), "").code, 0);
  const auto sum = [](const fs::path& folder) {
    return data::Sha256OfFile(folder / "model.safetensors");
  };
  EXPECT_EQ(sum(run), sum(Path("whole")));
  EXPECT_EQ(sum(Path("allowed")), sum(Path("whole")));
}

}  // namespace
}  // namespace pivotal
