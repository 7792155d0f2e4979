// Apache-2.0. Evaluation during training, best weights, early stop, and the cache of the reference.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/base/file_sink.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Pivotal;

class HeldOutRun : public testing::CliTest {
 protected:
  HeldOutRun() {
    std::string train, held_out;
    for (int i = 0; i < 12; ++i)
      train += testing::PairLine(i, " " + std::to_string(i + 1), " none");
    // The held-out pairs contradict the training pairs.
    for (int i = 20; i < 24; ++i)
      held_out += testing::PairLine(i, " none", " " + std::to_string(i + 1));
    temp_.Write("pairs.jsonl", train);
    temp_.Write("contrary.jsonl", held_out);
  }

  testing::CommandResult Train(const std::string& output, const std::string& more) const {
    return Pivotal("train --device cpu --model " + testing::kTinyModel + " --data " +
                   Path("pairs.jsonl") +
                   " --learning-rate 1e-4 --warmup-ratio 0 --lr-schedule constant --batch-size 6 "
                   "--epochs 4 --output " +
                   Path(output) + " " + more);
  }
  std::vector<nlohmann::json> Log(const std::string& output) const {
    return testing::JsonLines(Path(output + "/log.jsonl"));
  }
};

TEST_F(HeldOutRun, KeepsTheBestWeightsAndStopsEarly) {
  const auto run =
      Train("out", "--eval-data " + Path("contrary.jsonl") + " --eval-steps 1 --early-stop 3");
  ASSERT_EQ(run.code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("ended after 3 evaluations without a better one"));
  EXPECT_THAT(run.output, HasSubstr("best eval_loss"));
  std::vector<double> losses;
  for (const auto& line : Log("out"))
    if (line.contains("eval_loss")) losses.push_back(line["eval_loss"]);
  ASSERT_EQ(losses.size(), 4u);  // the first evaluation is the best; each step makes it worse
  EXPECT_LT(losses[0], losses[1]);
  const auto one = Train("one", "--max-steps 1");
  ASSERT_EQ(one.code, 0) << one.output;
  EXPECT_EQ(data::Sha256OfFile(Path("out/best-1/model.safetensors")),
            data::Sha256OfFile(Path("one/model.safetensors")));
}

TEST_F(HeldOutRun, SolvesProblems) {
  const auto run = Train(
      "out",
      "--max-steps 2 --eval-steps 2 --eval-limit 6 --eval-max-new-tokens 48 --eval-problems " +
          testing::kTiny + "/problems/heldout.jsonl");
  ASSERT_EQ(run.code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("best eval_accuracy"));
  const auto eval =
      Pivotal("eval --device cpu --model " + Path("out") +
              " --limit 6 --max-new-tokens 48 --samples 1 --output " + Path("scores.jsonl") +
              " --problems " + testing::kTiny + "/problems/heldout.jsonl");
  ASSERT_EQ(eval.code, 0) << eval.output;
  double greedy = 0;
  for (const auto& line : testing::JsonLines(Path("scores.jsonl")))
    greedy += line["greedy"] ? 1 : 0;
  EXPECT_DOUBLE_EQ(Log("out").back()["eval_accuracy"], greedy / 6);
}

TEST_F(HeldOutRun, RefusesWhatCannotBeMeasured) {
  EXPECT_THAT(Train("a", "--early-stop 2").output,
              HasSubstr("need --eval-data or --eval-problems"));
  EXPECT_THAT(
      Train("a", "--eval-metric eval_accuracy --eval-data " + Path("contrary.jsonl")).output,
      HasSubstr("--eval-metric eval_accuracy needs --eval-problems"));
  EXPECT_FALSE(fs::exists(Path("a")));
}

TEST_F(HeldOutRun, TheReferenceIsKeptAndAStaleOneNoticed) {
  const std::string cache = Path("pairs.jsonl.reference.json");
  ASSERT_EQ(Train("first", "--max-steps 2").code, 0);
  const auto kept = data::ReadFile(cache);
  const auto second = Train("second", "--max-steps 2");
  EXPECT_THAT(second.output, Not(HasSubstr("reference")));  // it was read, not computed
  EXPECT_EQ(Log("second")[1]["loss"], Log("first")[1]["loss"]);
  EXPECT_EQ(data::Sha256OfFile(Path("second/model.safetensors")),
            data::Sha256OfFile(Path("first/model.safetensors")));

  const auto other = Train("other", "--max-steps 1 --dtype bfloat16");
  EXPECT_THAT(other.output,
              HasSubstr("belongs to other weights; the reference scores the examples again"));
  temp_.Write("pairs.jsonl", testing::PairLine(1, " 7", " 8"));
  EXPECT_THAT(Train("fewer", "--max-steps 1").output, HasSubstr("scores the examples again"));
  temp_.Write("pairs.jsonl.reference.json", kept.substr(0, kept.size() / 2));
  EXPECT_THAT(Train("damaged", "--max-steps 1").output,
              HasSubstr("damaged; the reference scores the examples again"));
  fs::remove(cache);
  ASSERT_EQ(Train("none", "--max-steps 1 --no-reference-cache").code, 0);
  EXPECT_FALSE(fs::exists(cache));
}

}  // namespace
}  // namespace pivotal
