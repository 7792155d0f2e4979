// Apache-2.0. --dataset and compressed problem files on the tiny model.
#include <filesystem>
#include <fstream>
#include <string>

#include "data/base/file_sink.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::Pivotal;
using testing::RunCommand;

class DatasetFlag : public testing::CliTest {
 protected:
  // Writes the first problems of the tiny example, compressed by gzip.
  std::string Gzipped(int problems) const {
    const std::string to = Path("first.jsonl.gz");
    EXPECT_EQ(RunCommand(fmt::format("head -n {} {}/problems/heldout.jsonl | gzip > {}", problems,
                                     testing::kTiny, to))
                  .code,
              0);
    return to;
  }
};

TEST_F(DatasetFlag, StandsForOracleAndKeysThatAreNotGiven) {
  const std::string eval = "eval --max-new-tokens 64 --samples 2 --model " + testing::kTinyModel;
  const auto plain = Pivotal(eval + " --oracle numeric --limit 8 --problems " + testing::kTiny +
                             "/problems/heldout.jsonl --output " + Path("plain.jsonl"));
  ASSERT_EQ(plain.code, 0) << plain.output;
  const auto named = Pivotal(eval + " --dataset gsm8k --id-key id --problems " + Gzipped(8) +
                             " --output " + Path("named.jsonl"));
  ASSERT_EQ(named.code, 0) << named.output;
  EXPECT_EQ(data::ReadFile(Path("plain.jsonl")), data::ReadFile(Path("named.jsonl")));

  const std::string file = " --problems " + Path("first.jsonl.gz");
  EXPECT_THAT(Pivotal(eval + file + " --dataset math").output,
              HasSubstr("first.jsonl.gz:1: no key \"problem\" (keys: answer, id, question); choose "
                        "another with --question-key"));
  EXPECT_THAT(Pivotal(eval + file + " --dataset gsm8k --oracle choice").output,
              HasSubstr("first.jsonl.gz"))
      << "the oracle that was given cannot read the answers";
  const auto unknown = Pivotal(eval + file + " --dataset gsm9k");
  EXPECT_NE(unknown.code, 0);
  EXPECT_THAT(unknown.output, HasSubstr("gsm9k is none of gsm8k, math, math-500"));
}

// A run goes on, and shards join, under the data set that they began with.
TEST_F(DatasetFlag, IsKeptByRuns) {
  const std::string search =
      "search --dataset gsm8k --samples 8 --confirm 8 --max-new-tokens 64 "
      "--group 1 --model " +
      testing::kTinyModel + " --problems " + Gzipped(4);
  for (const char* shard : {"1/2", "2/2"}) {
    const auto ran = Pivotal(fmt::format("{} --shard {} --output {}", search, shard,
                                         Path(fmt::format("run-{}", shard[0]))));
    ASSERT_EQ(ran.code, 0) << ran.output;
  }
  EXPECT_THAT(data::ReadFile(Path("run-1/run.toml")),
              AllOf(HasSubstr("dataset = 'gsm8k'"), HasSubstr("oracle = 'numeric'"),
                    HasSubstr("question_key = ''")));
  const auto merged =
      Pivotal(fmt::format("merge {} {} --output {}", Path("run-1"), Path("run-2"), Path("run")));
  ASSERT_EQ(merged.code, 0) << merged.output;
  EXPECT_THAT(merged.output, HasSubstr("4 problems of 2 runs"));
  const auto resumed = Pivotal("search --resume " + Path("run"));
  EXPECT_EQ(resumed.code, 0) << resumed.output;
  const auto traces = data::TraceStore(Path("run")).ReadAll();
  ASSERT_EQ(traces.size(), 4u);
  EXPECT_EQ(traces[0].id, "1") << "the number of the row: GSM8K has no ids";

  // A run from before there were data sets has no such setting.
  std::string settings = data::ReadFile(Path("run/run.toml"));
  const auto at = settings.find("dataset = 'gsm8k'\n");
  ASSERT_NE(at, std::string::npos);
  settings.erase(at, std::string("dataset = 'gsm8k'\n").size());
  for (const char* key : {"question", "answer", "id"}) {
    const std::string empty = fmt::format("{}_key = ''", key);
    settings.replace(settings.find(empty), empty.size(), fmt::format("{0}_key = '{0}'", key));
  }
  std::ofstream(Path("run/run.toml")) << settings;
  const auto old = Pivotal("show " + Path("run"));
  EXPECT_EQ(old.code, 0) << old.output;
}

TEST_F(DatasetFlag, IsForHeldOutProblemsOfTrainingToo) {
  const auto pairs = temp_.Write("pairs.jsonl", testing::ProductPairs(4));
  const std::string train = fmt::format(
      "train --device cpu --model {} --data {} --max-steps 1 --eval-max-new-tokens 32 --output ",
      testing::kTinyModel, pairs.string());
  const auto ran =
      Pivotal(train + Path("out") + " --eval-dataset gsm8k --eval-problems " + Gzipped(2));
  ASSERT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(data::ReadFile(Path("out/train.toml")),
              AllOf(HasSubstr("dataset = 'gsm8k'"), HasSubstr("oracle = 'numeric'")));
  const auto alone = Pivotal(train + Path("never") + " --eval-dataset gsm8k");
  EXPECT_NE(alone.code, 0);
  EXPECT_THAT(alone.output, HasSubstr("--eval-dataset requires --eval-problems"));
}

}  // namespace
}  // namespace pivotal
