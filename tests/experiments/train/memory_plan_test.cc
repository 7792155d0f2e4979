// Apache-2.0.
#include "experiments/train/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/base/error.h"
#include "model/lora.h"
#include "model/memory.h"
#include "tests/support/error_text.h"
#include "tests/support/small_phi.h"

namespace pivotal::experiments {
namespace {

using ::testing::HasSubstr;

// Returns the refusal to train with `free` bytes, where the largest pass has 50'000 tokens for each
// example of a batch.
std::string Refusal(const TrainSettings& settings, const model::PhiModel& model, int64_t free) {
  try {
    RequireTrainingFits(
        settings, model,
        [](const TrainOptions& o) {
          return dpo::PassSize{50'000 * o.batch_size, 0};
        },
        1, free);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

model::TrainingFootprint Plan(const TrainSettings& settings, const model::PhiModel& model,
                              int64_t tokens, int64_t ranks = 1) {
  return model::TrainingFootprintOf(model.config(), ShapeOf(settings, model, {tokens, 0}, ranks));
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
  settings.model.dtype = "bfloat16";
  const auto master = Plan(settings, *half, 10);
  EXPECT_EQ(master.gradients, 2 * numbers);
  EXPECT_EQ(master.optimizer, 12 * numbers);
  settings.options.optimizer.half_update = HalfUpdate::kStochastic;
  EXPECT_EQ(Plan(settings, *half, 10).optimizer, 8 * numbers);

  LoraOptions lora;
  lora.rank = settings.lora.rank = 2;
  half->set_adapter(model::NewAdapter(*half, lora, 1));
  const auto adapter = Plan(settings, *half, 10);
  EXPECT_EQ(adapter.weights, 2 * numbers);
  EXPECT_EQ(adapter.gradients, 4 * model::FootprintOf(half->config(), 2, 2).lora_parameters);
}

TEST(MemoryPlan, CountsWhatSavesMemory) {
  model::PhiConfig config = testing::SmallConfig();
  config.num_hidden_layers = 50;
  const auto model = testing::SmallPhi(config);
  int64_t numbers = 0;
  for (const auto& [name, weight] : model->parameters()) numbers += weight.numel();
  TrainSettings settings;
  OptimizerOptions& optimizer = settings.options.optimizer;
  optimizer.type = OptimizerType::kAdamW8Bit;
  EXPECT_NEAR(Plan(settings, *model, 10).optimizer, 2.03125 * numbers, 1);
  optimizer.fused_backward = true;
  const auto fused = Plan(settings, *model, 10);
  EXPECT_LT(fused.gradients, 4 * numbers / 10);
  EXPECT_GE(fused.gradients, 4 * numbers / 50);
  settings.model.dtype = "bfloat16";
  EXPECT_NEAR(Plan(settings, *model, 10).optimizer, 6.03125 * numbers, 1);
  optimizer.half_update = HalfUpdate::kStochastic;
  EXPECT_NEAR(Plan(settings, *model, 10).optimizer, 2.03125 * numbers, 1);
  EXPECT_EQ(Plan(settings, *model, 10).gradients, fused.gradients / 2);
}

TEST(MemoryPlan, CountsAReferenceThatFollows) {
  const auto model = testing::SmallPhi();
  TrainSettings settings;
  const auto fixed = Plan(settings, *model, 10);
  EXPECT_EQ(fixed.reference, 0);
  settings.loss.reference_sync_steps = 5;
  const auto follows = Plan(settings, *model, 10);
  EXPECT_EQ(follows.reference, fixed.weights);
  EXPECT_EQ(follows.Total(), fixed.Total() + fixed.weights);
  EXPECT_THAT(FootprintText(follows), HasSubstr("the reference that follows"));
  settings.sft = true;
  EXPECT_EQ(Plan(settings, *model, 10).reference, 0);
  settings.sft = false;
  const auto half = testing::InType(*model, at::kBFloat16);
  settings.model.dtype = "bfloat16";
  EXPECT_EQ(Plan(settings, *half, 10).reference, fixed.weights / 2);
  settings.lora.rank = 2;
  half->set_adapter(model::NewAdapter(*half, {.rank = 2}, 1));
  EXPECT_EQ(Plan(settings, *half, 10).reference,
            4 * model::FootprintOf(half->config(), 2, 2).lora_parameters);
}

TEST(MemoryPlan, CountsWeightsInFourBits) {
  const auto model = testing::SmallPhi();
  const auto quantised = testing::Quantised(*model, model::BaseWeights::kNf4);
  TrainSettings settings;
  settings.activation_checkpointing = true;
  settings.options.batch_size = 1;
  for (model::PhiModel* phi : {model.get(), quantised.get()})
    phi->set_adapter(model::NewAdapter(*phi, {.rank = 2}, 1));
  const auto whole = Plan(settings, *model, 10);
  settings.model.base_weights = "nf4";
  const auto plan = Plan(settings, *quantised, 10);
  EXPECT_EQ(plan.weights, quantised->WeightBytes());
  EXPECT_LT(plan.weights, whole.weights);
  EXPECT_EQ(plan.working, whole.working + 4 * 80 * 24);  // the numbers of the largest matrix
  EXPECT_EQ(plan.optimizer, whole.optimizer);
}

// The published shapes, at the sizes that the documentation promises.
TEST(MemoryPlan, LargeModelsFitInFourBits) {
  model::PhiConfig phi4;
  phi4.vocab_size = 100352;
  phi4.hidden_size = 5120;
  phi4.intermediate_size = 17920;
  phi4.num_hidden_layers = 40;
  phi4.num_attention_heads = 40;
  phi4.num_key_value_heads = 10;
  phi4.head_dim = 128;
  model::PhiConfig mini = phi4;
  mini.vocab_size = 200064;
  mini.hidden_size = 3072;
  mini.intermediate_size = 8192;
  mini.num_hidden_layers = 32;
  mini.num_attention_heads = 24;
  mini.num_key_value_heads = 8;
  mini.tie_word_embeddings = true;
  const auto total = [](const model::PhiConfig& config, int64_t tokens) {
    model::TrainingShape shape;
    shape.element = 2;
    shape.base = model::BaseWeights::kNf4;
    shape.trained = model::FootprintOf(config, 2, 16).lora_parameters;
    shape.tokens = tokens;
    shape.activation_checkpointing = true;
    return static_cast<double>(model::TrainingFootprintOf(config, shape).Total()) / (1 << 30);
  };
  EXPECT_EQ(model::NumParameters(phi4), 14'659'507'200);
  EXPECT_NEAR(total(phi4, 4096), 14.0, 0.05);
  EXPECT_NEAR(total(mini, 4096), 5.35, 0.05);
}

TEST(MemoryPlan, RefusesWithAdviceThatFits) {
  const auto model = testing::SmallPhi();
  TrainSettings settings;
  settings.options.batch_size = 4;
  settings.options.gradient_accumulation = 3;
  const auto total = [&](const TrainSettings& changed) {
    return Plan(changed, *model, 50'000 * changed.options.batch_size).Total() -
           Plan(settings, *model, 1).weights;
  };
  EXPECT_EQ(Refusal(settings, *model, total(settings)), "");
  TrainSettings lighter = settings;
  lighter.activation_checkpointing = true;
  EXPECT_THAT(Refusal(settings, *model, total(lighter)),
              HasSubstr("; --activation-checkpointing needs "));
  lighter.options.batch_size = 1;
  lighter.options.gradient_accumulation = 12;
  const std::string smaller = Refusal(settings, *model, total(lighter));
  EXPECT_THAT(smaller, HasSubstr("; --batch-size 1 --gradient-accumulation 12 "
                                 "--activation-checkpointing needs "));
  EXPECT_THAT(smaller, HasSubstr("--ignore-memory-plan"));
  EXPECT_THAT(Refusal(settings, *model, 1000), HasSubstr("a larger machine"));
}

// Returns a model, without weights, that needs far more for weights than for activations.
model::PhiModel HeavyModel() {
  model::PhiConfig config = testing::SmallConfig();
  config.vocab_size = 4'000;
  config.hidden_size = 768;
  config.intermediate_size = 2048;
  config.num_hidden_layers = 40;
  return {config, model::Shapes(config, at::kFloat), "test"};
}

TEST(MemoryPlan, AdvisesWeightsInFourBits) {
  const auto model = HeavyModel();
  TrainSettings settings;
  settings.options.batch_size = 1;
  TrainSettings lighter = settings;
  lighter.lora.rank = 16;
  lighter.model.base_weights = "nf4";
  const int64_t free =
      Plan(lighter, model, 10).Total() - Plan(settings, model, 10).weights;  // may be negative
  const auto pass = [](const TrainOptions&) { return dpo::PassSize{10, 0}; };
  EXPECT_THAT(
      pivotal::testing::ErrorText([&] { RequireTrainingFits(settings, model, pass, 1, free); }),
      HasSubstr("; --lora-rank 16 --base-weights nf4 needs "));
}

TEST(MemoryPlan, ChoosesTheFirstThatFits) {
  const auto model = HeavyModel();
  TrainSettings settings;
  settings.options.batch_size = 2;
  settings.options.gradient_accumulation = 2;
  // Returns the choice if there is room for `enough` and no more.
  const auto choice = [&](const TrainSettings& enough, int64_t missing = 0, int64_t ranks = 1) {
    const auto pass = [](const TrainOptions& o) { return dpo::PassSize{10 * o.batch_size, 0}; };
    const int64_t room = Plan(enough, model, pass(enough.options).tokens, ranks).Total() - missing;
    const auto found =
        FirstThatFits(settings, model, pass, ranks, [&](int64_t bytes) { return bytes <= room; });
    if (!found) return std::string("none");
    found->settings.Validate();
    return found->flags;
  };
  EXPECT_EQ(choice(settings), "");
  TrainSettings lighter = settings;
  OptimizerOptions& optimizer = lighter.options.optimizer;
  optimizer.type = OptimizerType::kAdamW8Bit;
  EXPECT_EQ(choice(lighter), "--optimizer adamw8bit");
  lighter.model.dtype = "bfloat16";
  optimizer.half_update = HalfUpdate::kStochastic;
  EXPECT_EQ(choice(lighter), "--optimizer adamw8bit --dtype bfloat16 --bf16-update stochastic");
  lighter.options.batch_size = 4;
  lighter.options.gradient_accumulation = 1;
  optimizer.fused_backward = true;
  optimizer.clip_by = ClipBy::kTensor;
  EXPECT_EQ(choice(lighter),
            "--batch-size 4 --gradient-accumulation 1 --optimizer adamw8bit --dtype bfloat16 "
            "--bf16-update stochastic --fused-backward --clip-by tensor");
  EXPECT_EQ(choice(lighter, 0, 2), "none") << "several ranks cannot fuse";
  TrainSettings sharded = settings;
  sharded.shard_weights = true;
  EXPECT_EQ(choice(sharded, 0, 2), "--shard-weights");
  EXPECT_EQ(choice(lighter, 1 << 28), "none");
  settings.lora.rank = 8;
  lighter = settings;
  EXPECT_EQ(choice(lighter), "");
  lighter.model.dtype = "bfloat16";
  EXPECT_EQ(choice(lighter), "--dtype bfloat16");
}

// Sharded weights, gradients and moments are one over the number of ranks, but for the transient
// ones of two layers, and for owners whose tensors are not of one size.
TEST(MemoryPlan, RanksDivideShardedWeights) {
  model::PhiConfig config = testing::SmallConfig();
  config.num_hidden_layers = 64;
  const auto model = model::PhiModel(config, model::Shapes(config, at::kFloat), "test");
  TrainSettings settings;
  const auto one = Plan(settings, model, 10), zero1 = Plan(settings, model, 10, 4);
  settings.shard_weights = true;
  const auto zero3 = Plan(settings, model, 10, 4);
  EXPECT_EQ(Plan(settings, model, 10).Total(), one.Total());
  EXPECT_EQ(zero1.weights, one.weights);
  EXPECT_EQ(zero3.optimizer, zero1.optimizer);
  EXPECT_NEAR(static_cast<double>(zero3.weights), one.weights / 4.0, 4);
  EXPECT_NEAR(static_cast<double>(zero3.gradients), one.gradients / 4.0, one.gradients * 0.05);
  EXPECT_LT(zero3.working - zero1.working, one.weights * 0.05);
}

TEST(MemoryPlan, FreeMemoryIsSomething) {
  EXPECT_GT(model::FreeMemory(at::kCPU), int64_t{1} << 20);
}

}  // namespace
}  // namespace pivotal::experiments
