// Apache-2.0.
#include "experiments/train/train_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "data/base/file_sink.h"
#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::experiments {
namespace {

using ::testing::HasSubstr;

TEST(TrainSettings, NameTheBadField) {
  const auto error = [](auto change) {
    TrainSettings settings;
    change(settings);
    return pivotal::testing::ErrorText([&] { settings.Validate(); });
  };
  EXPECT_EQ(error([](TrainSettings&) {}), "(no Error)");
  EXPECT_THAT(error([](auto& s) { s.lora.rank = -1; }), HasSubstr("rank"));
  EXPECT_THAT(error([](auto& s) { s.max_shard_bytes = 0; }), HasSubstr("max shard bytes"));
  EXPECT_THAT(error([](auto& s) { s.keep = 0; }), HasSubstr("keep"));
  EXPECT_THAT(error([](auto& s) { s.options.optimizer.epsilon = -1; }), HasSubstr("epsilon"));
  EXPECT_THAT(error([](auto& s) { s.options.optimizer.beta2 = 1; }), HasSubstr("betas"));
  EXPECT_THAT(error([](auto& s) { s.options.optimizer.beta1 = NAN; }), HasSubstr("betas"));
  EXPECT_THAT(error([](auto& s) { s.model.base_weights = "nf4"; }), HasSubstr("needs --lora-rank"));
  EXPECT_THAT(error([](auto& s) {
                s.model.base_weights = "nf4";
                s.lora.rank = 2;
                s.merge = true;
              }),
              HasSubstr("--merge needs whole weights"));
  EXPECT_THAT(error([](auto& s) { s.model.base_weights = "fp4"; }), HasSubstr("auto, nf4, int8"));
  const auto metric = [&](const char* name) {
    return error([&](auto& s) {
      s.held_out.data = "pairs.jsonl";
      s.held_out.metric = name;
    });
  };
  EXPECT_EQ(metric("eval_rewards/margins"), "(no Error)");
  EXPECT_THAT(metric("eval_los"), HasSubstr("expected one of eval_loss, eval_accuracy,"));
}

TEST(TrainSettings, ShardedWeightsAreWhollyNowhere) {
  const auto error = [](auto change) {
    TrainSettings settings;
    settings.shard_weights = true;
    change(settings);
    return pivotal::testing::ErrorText([&] { settings.Validate(); });
  };
  EXPECT_EQ(error([](auto& s) { s.lora.rank = 2; }), "(no Error)");
  const auto needs_all = [](const std::string& flag) {
    return HasSubstr("--shard-weights: " + flag + " needs all weights in each process");
  };
  EXPECT_THAT(error([](auto& s) { s.lora.rank = 2, s.merge = true; }), needs_all("--merge"));
  EXPECT_THAT(error([](auto& s) { s.lora.rank = 2, s.model.base_weights = "nf4"; }),
              needs_all("--base-weights nf4"));
  EXPECT_THAT(error([](auto& s) { s.loss.reference_sync_steps = 2; }),
              needs_all("--reference-sync-steps"));
  EXPECT_THAT(error([](auto& s) { s.held_out.problems.file = "problems.jsonl"; }),
              needs_all("--eval-problems"));
}

TEST(TrainSettings, ValuesOutsideTheirEnumsAreRefused) {
  const auto error = [](auto change) {
    TrainSettings settings;
    change(settings);
    return pivotal::testing::ErrorText([&] { settings.Validate(); });
  };
  EXPECT_EQ(error([](auto& s) { s.options.schedule = static_cast<ScheduleType>(7); }),
            "schedule 7 is unknown: take one of linear, cosine, constant");
  EXPECT_THAT(error([](auto& s) { s.options.order = static_cast<DataOrder>(2); }),
              HasSubstr("take one of shuffled, file"));
  EXPECT_THAT(error([](auto& s) { s.options.optimizer.type = static_cast<OptimizerType>(9); }),
              HasSubstr("optimizer 9 is unknown"));
  EXPECT_THAT(error([](auto& s) { s.options.optimizer.clip_by = static_cast<ClipBy>(-1); }),
              HasSubstr("-1 is unknown: take one of global, tensor, previous"));
  EXPECT_THAT(error([](auto& s) { s.options.optimizer.half_update = static_cast<HalfUpdate>(2); }),
              HasSubstr("2 is unknown: take one of master, stochastic"));
  EXPECT_THAT(error([](auto& s) { s.loss.losses = {{static_cast<LossType>(99)}}; }),
              HasSubstr("loss 99 is unknown: take one of sigmoid, hinge"));
  EXPECT_THAT(error([](auto& s) { s.loss.divergence = static_cast<FDivergence>(99); }),
              HasSubstr("f-divergence 99 is unknown"));
  for (const bool sft : {false, true})
    EXPECT_THAT(error([&](auto& s) {
                  s.sft = sft;
                  s.loss.method = static_cast<PreferenceMethod>(99);
                }),
                HasSubstr("objective 99 is unknown: take one of dpo, cpo"))
        << sft;
}

// The key of an ablation's step: what is logged where changes no result.
TEST(TrainSettings, TextIsWithoutTheLog) {
  TrainSettings settings;
  const std::string text = SettingsText(settings);
  settings.tensorboard = "board";
  settings.command = "pivotal train";
  EXPECT_EQ(SettingsText(settings), text);
  EXPECT_THAT(text, ::testing::Not(HasSubstr("[log]")));
}

TEST(TrainSettings, OraclesAreNamedWithoutTheirArguments) {
  EXPECT_EQ(OracleName("command:/home/me/check.py --key 1"), "command:check.py");
  EXPECT_EQ(OracleName("command:judge"), "command:judge");
  EXPECT_EQ(OracleName("regex:a b"), "regex:a b");
}

// Files of earlier versions have one loss under `type` and lack what came later.
TEST(TrainSettings, KeepTheLossesUnderTheKeyOfOne) {
  const pivotal::testing::TempDir temp;
  TrainSettings settings;
  TrainInputs inputs;
  settings.loss.losses = {{LossType::kSigmoid, 0.8}, {LossType::kHinge, 0.3}};
  settings.loss.divergence = FDivergence::kAlpha;
  settings.loss.f_alpha = 0.25;
  settings.loss.wpo = true;
  settings.loss.reference_sync_steps = 7;
  settings.loss.reference_mixup = 0.1;
  SaveTrainSettings(settings, inputs, 1, temp.path());
  EXPECT_THAT(data::ReadFile(temp.path() / "train.toml"),
              HasSubstr("type = 'sigmoid:0.8,hinge:0.3'"));
  const LossOptions got = LoadTrainSettings(temp.path(), inputs).loss;
  EXPECT_EQ(got.losses, settings.loss.losses);
  EXPECT_EQ(got.divergence, FDivergence::kAlpha);
  EXPECT_EQ(got.f_alpha, 0.25);
  EXPECT_TRUE(got.wpo);
  EXPECT_EQ(got.reference_sync_steps, 7);
  EXPECT_EQ(got.reference_mixup, 0.1);

  temp.Write("train.toml", R"([model]
weights_sha256 = ""
adapter_sha256 = ""
[data]
sha256 = ""
[loss]
type = "ipo"
)");
  const LossOptions old = LoadTrainSettings(temp.path(), inputs).loss;
  EXPECT_EQ(old.losses, (std::vector{WeightedLoss{LossType::kIpo, 1}}));
  EXPECT_EQ(old.divergence, FDivergence::kReverseKl);
  EXPECT_FALSE(old.MovesReference());
}

// A run that somebody edited before its first checkpoint.
TEST(TrainSettings, AreCheckedWhenTheyAreRead) {
  const pivotal::testing::TempDir temp;
  TrainSettings settings;
  TrainInputs inputs;
  settings.keep = 0;
  SaveTrainSettings(settings, inputs, 1, temp.path());
  EXPECT_EQ(pivotal::testing::ErrorText([&] { LoadTrainSettings(temp.path(), inputs); }),
            (temp.path() / "train.toml").string() + ": keep must be at least 1, got 0");
}

}  // namespace
}  // namespace pivotal::experiments
