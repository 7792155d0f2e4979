// Apache-2.0.
#include "model/step_sizes.h"

#include <gtest/gtest.h>

#include "model/decoder.h"

namespace pivotal::model {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

PhiConfig Phi3Mini() {
  PhiConfig config;
  config.vocab_size = 32064;
  config.hidden_size = 3072;
  config.intermediate_size = 8192;
  config.num_hidden_layers = 32;
  config.num_attention_heads = config.num_key_value_heads = 32;
  config.head_dim = 96;
  return config;
}

StepSizes Sizes(int64_t keys, int64_t rest, int32_t max_new_tokens = 256) {
  return SizesFor(Phi3Mini(),
                  {.element = 2, .keys = keys, .rest = rest, .max_new_tokens = max_new_tokens});
}

TEST(StepSizes, LargeMemoryTakesTheLargest) {
  const StepSizes sizes = Sizes(500 * kGiB, 50 * kGiB);
  EXPECT_EQ(sizes.batch, 1024);
  EXPECT_EQ(sizes.prefill_tokens, 4096);
}

TEST(StepSizes, ShortMemoryTakesTheDefaults) {
  for (const int64_t bytes : {int64_t{0}, kGiB / 4}) {
    const StepSizes sizes = Sizes(bytes, bytes);
    EXPECT_EQ(sizes.batch, StepSizes().batch);
    EXPECT_EQ(sizes.prefill_tokens, StepSizes().prefill_tokens);
  }
}

// A token has 32 layers of keys and values of 3,072 numbers of two bytes.
TEST(StepSizes, RolloutsFitInThreeQuartersOfTheKeys) {
  const int64_t token = 2 * 32 * 3072 * 2, rollouts = int64_t{512} * 256 * token;
  ASSERT_EQ(KvBytesPerToken(Phi3Mini(), 2), token);
  EXPECT_EQ(Sizes(rollouts / 3 * 4 + 4, 50 * kGiB).batch, 512);
  EXPECT_EQ(Sizes(rollouts / 3 * 4 - 4, 50 * kGiB).batch, 256);
  EXPECT_EQ(Sizes(rollouts / 3 * 4 - 4, 50 * kGiB, /*max_new_tokens=*/240).batch, 512);
}

TEST(StepSizes, LogitsFitInHalfOfTheRest) {
  const int64_t logits = int64_t{1024} * 32064 * 6;
  EXPECT_EQ(Sizes(500 * kGiB, 2 * logits).batch, 1024);
  EXPECT_EQ(Sizes(500 * kGiB, 2 * logits - 2).batch, 512);
}

TEST(StepSizes, APrefillFitsInAQuarterOfTheRest) {
  const int64_t token = 2 * (6 * 3072 + 5 * 8192 + 8 * 3072) + 8 * 4 * 32 * 98;
  EXPECT_EQ(Sizes(kGiB, 4 * 2048 * token).prefill_tokens, 2048);
  EXPECT_EQ(Sizes(kGiB, 4 * 2048 * token - 4).prefill_tokens, 1024);
}

}  // namespace
}  // namespace pivotal::model
