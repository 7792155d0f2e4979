// Apache-2.0. Training that is killed at any moment can be resumed and ends with the losses and
// weights of an undisturbed run. PIVOTAL_KILLS sets how often it is killed (default 6).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/base/file_sink.h"
#include "kernels/philox.h"
#include "tests/cli/cli_test.h"
#include "tests/support/full_disk.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::Pivotal;
using testing::RunCommand;

class TrainKill : public testing::CliTest {
 protected:
  TrainKill() {
    std::string pairs;
    for (int i = 0; i < 12; ++i)
      pairs += testing::PairLine(i, " " + std::to_string(i + 1), " none");
    temp_.Write("pairs.jsonl", pairs);
  }

  std::string Start(const fs::path& run, const std::string& more = "--rpo-alpha 0.3") const {
    return "train --device cpu --model " + testing::kTinyModel + " --data " +
           (temp_.path() / "pairs.jsonl").string() +
           " --learning-rate 1e-4 --batch-size 5 --epochs 5 --save-steps 2 "
           "--eval-steps 4 "
           "--eval-data " +
           (temp_.path() / "pairs.jsonl").string() + " --output " + run.string() + " " + more;
  }

  fs::path Uninterrupted() const {
    const fs::path run = temp_.path() / "whole";
    const auto done = Pivotal(Start(run));
    EXPECT_EQ(done.code, 0) << done.output;
    return run;
  }

  // Returns a run that ended after its last step, before its weights were written. It holds the
  // checkpoints 12 and 14 of 15 steps.
  fs::path Broken() const {
    const fs::path whole = Uninterrupted(), run = temp_.path() / "broken";
    fs::copy(whole, run, fs::copy_options::recursive);
    fs::remove(run / "model.safetensors");
    return run;
  }
};

// Returns the lines of log.jsonl without their times.
std::vector<nlohmann::json> Losses(const fs::path& run) {
  auto lines = testing::JsonLines(run / "log.jsonl");
  for (auto& line : lines) line.erase("seconds");
  return lines;
}

void ExpectEqual(const fs::path& run, const fs::path& whole) {
  EXPECT_EQ(Losses(run), Losses(whole));
  EXPECT_EQ(data::Sha256OfFile(run / "model.safetensors"),
            data::Sha256OfFile(whole / "model.safetensors"));
}

TEST_F(TrainKill, ARunSurvivesItAtAnyMoment) {
  const int kills = testing::KillCount(6);
  fs::path whole;
  const double whole_seconds = testing::Seconds([&] { whole = Uninterrupted(); });
  kernels::RandomStream random(1, kernels::MixStream(0, "train kill test"));
  int killed = 0;
  for (int round = 0; killed < kills; ++round) {
    const fs::path run = temp_.path() / ("run" + std::to_string(round));
    for (bool finished = false; !finished;) {
      const double seconds = killed < kills ? whole_seconds * (0.1 + random.Uniform()) : 600;
      const bool started = fs::exists(run / "train.toml");
      if (!started) fs::remove_all(run);
      const auto result = RunCommand(
          testing::KilledAfter(seconds, started ? "train --resume " + run.string() : Start(run)));
      // A kill after the weights were written, before the process ended, leaves a finished run.
      finished = result.code == 0 || result.output.find("the run is finished") != std::string::npos;
      if (!finished) {
        ASSERT_EQ(result.code, 137) << result.output;
        ++killed;
      }
    }
    ExpectEqual(run, whole);
    fs::remove_all(run);
  }
}

// Checkpoints hold the state of every kind of training.
TEST_F(TrainKill, EveryKindOfTrainingGoesOn) {
  const std::string kinds[] = {"--lora-rank 4 --rpo-alpha 0.3",
                               "--lora-rank 4 --merge --activation-checkpointing",
                               "--freeze layers.0-1",
                               "--dtype bfloat16",
                               "--dtype bfloat16 --bf16-update stochastic",
                               "--optimizer adamw8bit",
                               "--fused-backward --clip-by previous",
                               "--optimizer adamw8bit --fused-backward --clip-by tensor "
                               "--dtype bfloat16 --bf16-update stochastic",
                               "--objective simpo",
                               "--reference-sync-steps 3",
                               "--reference-sync-steps 3 --lora-rank 4",
                               "--loss sigmoid:0.5,aot,sft:0.1",
                               "--wpo --f-divergence js_divergence",
                               "--objective kto",
                               "--objective kto --loss apo_zero_unpaired --reference-sync-steps 2",
                               "--lora-rank 4 --base-weights nf4 --dtype bfloat16"};
  for (std::size_t i = 0; i < std::size(kinds); ++i) {
    const fs::path whole = temp_.path() / ("whole" + std::to_string(i)), run = temp_.path() / "run";
    const auto done = Pivotal(Start(whole, kinds[i]));
    ASSERT_EQ(done.code, 0) << kinds[i] << done.output;
    fs::remove_all(run);
    fs::copy(whole, run, fs::copy_options::recursive);
    const std::string result = fs::exists(run / "model.safetensors") ? "model" : "adapter_model";
    fs::remove(run / (result + ".safetensors"));
    fs::remove(run / "adapter_config.json");
    fs::remove_all(run / "checkpoint-14");
    const auto resumed = Pivotal("train --resume " + run.string());
    ASSERT_EQ(resumed.code, 0) << kinds[i] << resumed.output;
    EXPECT_EQ(Losses(run), Losses(whole)) << kinds[i];
    EXPECT_EQ(data::Sha256OfFile(run / (result + ".safetensors")),
              data::Sha256OfFile(whole / (result + ".safetensors")))
        << kinds[i];
  }
}

TEST_F(TrainKill, ADamagedCheckpointIsPassedOver) {
  const fs::path run = Broken();
  ASSERT_TRUE(fs::exists(run / "checkpoint-12"));
  fs::resize_file(run / "checkpoint-14/optimizer/model.safetensors", 5000);
  const auto result = Pivotal("train --resume " + run.string());
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("checkpoint-14: damaged"));
  ExpectEqual(run, temp_.path() / "whole");
}

TEST_F(TrainKill, SaysWhenNoCheckpointIsWhole) {
  const fs::path run = Broken();
  fs::remove(run / "checkpoint-14/config.json");
  std::fstream(run / "checkpoint-12/state.json") << "x";
  const auto result = Pivotal("train --resume " + run.string());
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.output, HasSubstr("every checkpoint is damaged"));
}

TEST_F(TrainKill, AFullDiskKeepsTheCheckpointBefore) {
  const fs::path run = Broken();
  fs::remove_all(run / "checkpoint-14");
  {
    const testing::FullDisk full(1 << 20);  // the weights are larger
    const auto result = Pivotal("train --resume " + run.string());
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.output, HasSubstr("checkpoint-14: cannot be written"));
  }
  EXPECT_FALSE(fs::exists(run / "checkpoint-14.tmp"));
  const auto result = Pivotal("train --resume " + run.string());
  EXPECT_EQ(result.code, 0) << result.output;
  ExpectEqual(run, temp_.path() / "whole");
}

TEST_F(TrainKill, AResumedRunTakesNoOtherSettings) {
  const fs::path run = Broken();
  const auto flag = Pivotal("train --beta 0.2 --resume " + run.string());
  EXPECT_NE(flag.code, 0);
  EXPECT_THAT(flag.output, HasSubstr("--beta"));
  std::ofstream(run / "train.toml", std::ios::app) << "\n# changed\n";
  const auto changed = Pivotal("train --resume " + run.string());
  EXPECT_EQ(changed.code, 1);
  EXPECT_THAT(changed.output, HasSubstr("train.toml: has changed"));
  const auto finished = Pivotal("train --resume " + (temp_.path() / "whole").string());
  EXPECT_THAT(finished.output, HasSubstr("the run is finished"));
}

}  // namespace
}  // namespace pivotal
