// Apache-2.0. LoRA adapters: training, continued training, merging and generation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "data/weights/safetensors.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::kTinyModel;
using testing::Pivotal;

class AdapterRun : public testing::CliTest {
 protected:
  AdapterRun() { temp_.Write("pairs.jsonl", testing::ProductPairs(9)); }

  testing::CommandResult Train(const std::string& arguments) const {
    return Pivotal("train --model " + kTinyModel + " --data " + Path("pairs.jsonl") +
                   " --learning-rate 1e-2 --batch-size 4 --epochs 2 " + arguments);
  }
  std::string Answer(const std::string& model) const {
    return Pivotal("generate --max-new-tokens 24 --temperature 0 --model " + model +
                   " 'Tom has 8 boxes with 47 coins.'")
        .output;
  }
};

TEST_F(AdapterRun, IsTrainedContinuedAndMerged) {
  const auto first =
      Train("--lora-rank 4 --lora-modules qkv_proj,down_proj --activation-checkpointing --output " +
            Path("first"));
  ASSERT_EQ(first.code, 0) << first.output;
  EXPECT_THAT(first.output, HasSubstr("adapter and log.jsonl"));
  EXPECT_FALSE(fs::exists(Path("first/model.safetensors")));
  EXPECT_THAT(data::ReadFile(Path("first/adapter_config.json")), HasSubstr("\"qkv_proj\""));
  EXPECT_NE(Answer(kTinyModel), Answer(kTinyModel + " --adapter " + Path("first")));

  // The second run begins with the margin that the first run reached, because the reference is the
  // model without the adapter.
  const auto second = Train("--adapter " + Path("first") + " --merge --output " + Path("merged"));
  ASSERT_EQ(second.code, 0) << second.output;
  const std::string log = data::ReadFile(Path("merged/log.jsonl"));
  const auto margin = log.find("\"rewards/margins\":");
  ASSERT_NE(margin, std::string::npos) << log;
  EXPECT_GT(std::stod(log.substr(margin + 18)), 0.05);
  EXPECT_TRUE(fs::exists(Path("merged/config.json")));

  const auto merge = Pivotal("merge-adapter --model " + kTinyModel + " --adapter " + Path("first") +
                             " --output " + Path("whole"));
  ASSERT_EQ(merge.code, 0) << merge.output;
  EXPECT_EQ(Answer(Path("whole")), Answer(kTinyModel + " --adapter " + Path("first")));
}

TEST_F(AdapterRun, IsTrainedOnWeightsInFourBits) {
  const std::string problems = " --eval-limit 4 --eval-max-new-tokens 48 --eval-problems " +
                               testing::kTiny + "/problems/train.jsonl ";
  const auto run = Train("--lora-rank 4 --base-weights nf4 --output " + Path("first") + problems);
  ASSERT_EQ(run.code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("memory: weights 1.19 MiB"));  // of 4.13 MiB
  EXPECT_THAT(data::ReadFile(Path("first/train.toml")), HasSubstr("base_weights = 'nf4'"));
  EXPECT_THAT(data::ReadFile(Path("first/log.jsonl")), HasSubstr("eval_accuracy"));
  EXPECT_FALSE(fs::exists(Path("first/model.safetensors")));
  const std::string adapter = " --adapter " + Path("first");
  EXPECT_NE(Answer(kTinyModel + " --weights nf4"), Answer(kTinyModel + " --weights nf4" + adapter));

  const auto second =
      Train("--base-weights int8" + adapter + " --dtype bfloat16 --output " + Path("second"));
  ASSERT_EQ(second.code, 0) << second.output;
  // The scores of the reference belong to weights in 4 bits.
  EXPECT_THAT(second.output, HasSubstr("belongs to other weights"));
  EXPECT_EQ(
      Pivotal("merge-adapter --model " + kTinyModel + adapter + " --output " + Path("whole")).code,
      0);
}

TEST_F(AdapterRun, FrozenModulesStayAsTheyAre) {
  const auto run = Train("--freeze layers.0-1,norm --output " + Path("out"));
  ASSERT_EQ(run.code, 0) << run.output;
  const data::SafetensorsReader before(kTinyModel), after(Path("out"));
  int changed = 0;
  for (const std::string& name : before.Names()) {
    const bool same = std::ranges::equal(before.Get(name).bytes, after.Get(name).bytes);
    const bool frozen = name.starts_with("model.layers.0.") ||
                        name.starts_with("model.layers.1.") || name == "model.norm.weight";
    EXPECT_TRUE(same || !frozen) << name;
    changed += same ? 0 : 1;
  }
  EXPECT_GT(changed, 0);
}

TEST_F(AdapterRun, BFloat16WeightsAreTrainedInBothWays) {
  for (const char* update : {"master", "stochastic"}) {
    const auto run = Train(std::string("--dtype bfloat16 --learning-rate 1e-4 --bf16-update ") +
                           update + " --output " + Path(update));
    ASSERT_EQ(run.code, 0) << run.output;
    EXPECT_THAT(data::ReadFile(Path(std::string(update) + "/train.toml")), HasSubstr(update));
    EXPECT_THAT(data::ReadFile(Path(std::string(update) + "/log.jsonl")),
                HasSubstr("rewards/accuracies"));
  }
}

TEST_F(AdapterRun, RefusesWhatContradictsItself) {
  EXPECT_EQ(
      Train("--lora-rank 4 --adapter " + temp_.path().string() + " --output " + Path("a")).code, 2);
  EXPECT_EQ(Train("--lora-alpha 4 --output " + Path("a")).code, 2);
  EXPECT_THAT(Train("--merge --output " + Path("a")).output, HasSubstr("--merge needs"));
  EXPECT_THAT(Train("--base-weights nf4 --output " + Path("a")).output,
              HasSubstr("--base-weights nf4 needs --lora-rank or --adapter"));
  EXPECT_THAT(Train("--base-weights nf4 --lora-rank 2 --merge --output " + Path("a")).output,
              HasSubstr("merge with pivotal merge-adapter afterwards"));
  EXPECT_THAT(Train("--lora-rank 2 --freeze lm_head --output " + Path("a")).output,
              HasSubstr("--freeze needs"));
  EXPECT_THAT(Train("--bf16-update stochastic --dtype float16 --output " + Path("a")).output,
              HasSubstr("bfloat16"));
  EXPECT_THAT(Train("--adapter " + temp_.path().string() + " --output " + Path("b")).output,
              HasSubstr("adapter_config.json"));
}

}  // namespace
}  // namespace pivotal
