// Apache-2.0.
#include "model/step_clock.h"

#include <gtest/gtest.h>

#include <optional>

#include "model/decode_products.h"
#include "tests/support/small_phi.h"
#include "tests/support/timed_stream.h"

namespace pivotal::model {
namespace {

using testing::StreamUses;
using testing::TimedStream;

TEST(StepClock, AddsUpPassesAndWhatIsBetween) {
  StreamUses uses;
  TimedStream stream(uses);
  StepClock clock(stream);
  const auto pass = [&](double begin, double end, int64_t rows) {
    uses.now = begin;
    clock.Begin();
    uses.now = end;
    clock.End(rows);
  };
  EXPECT_EQ(clock.Times().steps, 0);
  pass(10, 12, 0);  // a prefill
  pass(12.5, 13, 7);
  EXPECT_DOUBLE_EQ(clock.Times().idle_seconds, 0.5);
  pass(13, 14, 5);
  pass(15, 16.25, 6);
  const DeviceTimes& times = clock.Times();
  EXPECT_EQ(times.steps, 3);
  EXPECT_EQ(times.rows, 18);
  EXPECT_DOUBLE_EQ(times.step_seconds, 0.5 + 1 + 1.25);
  EXPECT_DOUBLE_EQ(times.other_seconds, 2);
  EXPECT_DOUBLE_EQ(times.idle_seconds, 0.5 + 0 + 1);
}

// The latest passes may still run, so their times are not asked for while others follow.
TEST(StepClock, AsksForOldTimesOnly) {
  StreamUses uses;
  TimedStream stream(uses);
  StepClock clock(stream);
  for (int i = 1; i <= 1000; ++i) {
    clock.Begin();
    uses.now += 2;
    clock.End(1);
    uses.now += 1;
    ASSERT_LE(uses.intervals, 2 * std::max(0, i - 16)) << i;
  }
  EXPECT_GT(uses.intervals, 1800);
  EXPECT_DOUBLE_EQ(clock.Times().step_seconds, 2000);
  EXPECT_DOUBLE_EQ(clock.Times().idle_seconds, 999);
}

TEST(DecodeProducts, AreRecordedOnceAndTimedByTheDevice) {
  const auto model = testing::SmallPhi();
  struct Ticks : TimedStream {
    Ticks(StreamUses& uses) : TimedStream(uses), uses(uses) {}
    std::unique_ptr<Moment> Mark() override {
      uses.now += 0.25;
      return TimedStream::Mark();
    }
    StreamUses& uses;
  };
  StreamUses uses;
  Ticks stream(uses);
  EXPECT_EQ(ProductsSeconds(*model, 5, /*repeats=*/3, &stream), std::optional(0.25));
  EXPECT_EQ(uses.recordings, 1);
  EXPECT_EQ(uses.replays, 1 + 3);
}

TEST(DecodeProducts, TakeLongerForMoreRows) {
  PhiConfig config = testing::SmallConfig();
  config.hidden_size = 256;
  config.intermediate_size = 1024;
  config.head_dim = 32;
  const auto model = testing::SmallPhi(config);
  const auto few = ProductsSeconds(*model, 1, 5), many = ProductsSeconds(*model, 512, 5);
  ASSERT_TRUE(few && many);
  EXPECT_GT(*few, 0);
  EXPECT_GT(*many, 2 * *few);
}

TEST(DecodeProducts, EveryKindOfModelButExperts) {
  for (const auto& variant : testing::PhiVariants()) {
    const auto seconds = ProductsSeconds(*testing::SmallPhi(variant.config), 3, 1);
    EXPECT_EQ(seconds.has_value(), variant.config.mlp != PhiConfig::Mlp::kExperts) << variant.name;
  }
}

}  // namespace
}  // namespace pivotal::model
