// Apache-2.0.
#include "experiments/train/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/base/error.h"
#include "model/memory.h"
#include "tests/support/small_phi.h"

namespace pivotal::experiments {
namespace {

using ::testing::HasSubstr;

std::string Refusal(const TrainSettings& settings, const model::PhiModel& model, int64_t free) {
  try {
    RequireTrainingFits(model.config(), ShapeOf(settings, model, 100'000), 100, free);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

model::TrainingFootprint Plan(const TrainSettings& settings, const model::PhiModel& model,
                              int64_t tokens, int64_t ranks = 1) {
  return model::TrainingFootprintOf(model.config(), ShapeOf(settings, model, tokens, ranks));
}

TEST(MemoryPlan, CountsWhatTrainingHolds) {
  const auto model = testing::SmallPhi();
  int64_t numbers = 0;
  for (const auto& [name, weight] : model->parameters()) numbers += weight.numel();
  TrainSettings settings;
  const auto full = Plan(settings, *model, 10);
  EXPECT_EQ(full.weights, 4 * numbers);
  EXPECT_EQ(full.gradients, 4 * numbers);
  EXPECT_EQ(full.optimizer, 8 * numbers);
  EXPECT_EQ(Plan(settings, *model, 10, 4).optimizer, 2 * numbers);
  EXPECT_EQ(Plan(settings, *model, 20).activations, 2 * full.activations);
  settings.activation_checkpointing = true;
  EXPECT_LT(Plan(settings, *model, 10).activations, full.activations);

  const auto half = testing::InType(*model, at::kBFloat16);
  const auto master = Plan(settings, *half, 10);
  EXPECT_EQ(master.gradients, 2 * numbers);
  EXPECT_EQ(master.optimizer, 12 * numbers);
  settings.options.optimizer.half_update = HalfUpdate::kStochastic;
  EXPECT_EQ(Plan(settings, *half, 10).optimizer, 8 * numbers);

  LoraOptions lora;
  lora.rank = 2;
  half->set_adapter(model::NewAdapter(*half, lora, 1));
  const auto adapter = Plan(settings, *half, 10);
  EXPECT_EQ(adapter.weights, 2 * numbers);
  EXPECT_EQ(adapter.gradients, 4 * model::FootprintOf(half->config(), 2, 2).lora_parameters);
}

TEST(MemoryPlan, RefusesWithAdviceThatFits) {
  const auto model = testing::SmallPhi();
  const TrainSettings settings;
  const auto need = Plan(settings, *model, 100'000);
  EXPECT_EQ(Refusal(settings, *model, need.Total()), "");
  const std::string smaller = Refusal(settings, *model, need.Total() / 2);
  EXPECT_THAT(smaller, HasSubstr("--batch-size 1"));
  EXPECT_THAT(smaller, HasSubstr("--ignore-memory-plan"));
  EXPECT_THAT(Refusal(settings, *model, 1000), HasSubstr("a larger machine"));
}

TEST(MemoryPlan, FreeMemoryIsSomething) {
  EXPECT_GT(model::FreeMemory(at::kCPU), int64_t{1} << 20);
}

}  // namespace
}  // namespace pivotal::experiments
