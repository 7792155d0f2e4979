// Apache-2.0.
#include "experiments/train/train_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/error_text.h"

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
  const auto metric = [&](const char* name) {
    return error([&](auto& s) {
      s.held_out.data = "pairs.jsonl";
      s.held_out.metric = name;
    });
  };
  EXPECT_EQ(metric("eval_rewards/margins"), "(no Error)");
  EXPECT_THAT(metric("eval_los"), HasSubstr("expected one of eval_loss, eval_accuracy,"));
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

}  // namespace
}  // namespace pivotal::experiments
