// Apache-2.0. Compares learning rates after the warm-up with values of transformers' get_scheduler.
#include "dpo/schedule.h"

#include <gtest/gtest.h>

#include "data/base/error.h"

namespace pivotal::dpo {
namespace {

// In the warm-up the rates are those that transformers has a step later: its first one is 0.
TEST(Schedule, TheFirstStepOfTheWarmUpMovesTheWeights) {
  for (const std::string& name : ScheduleNames()) {
    const Schedule schedule{ParseSchedule(name), 4, 20, 0};
    EXPECT_DOUBLE_EQ(schedule.Factor(0), 0.25);
    EXPECT_DOUBLE_EQ(schedule.Factor(2), 0.75);
    EXPECT_DOUBLE_EQ(schedule.Factor(3), 1.0);
    EXPECT_DOUBLE_EQ(schedule.Factor(4), 1.0);
    EXPECT_DOUBLE_EQ((Schedule{schedule.type, 1, 1, 0}.Factor(0)), 1.0) << "a run of one step";
    EXPECT_EQ(ScheduleName(schedule.type), name);
  }
}

TEST(Schedule, FallsAsItsNameSays) {
  const auto at = [](ScheduleType type, int64_t step, double floor = 0) {
    return Schedule{type, 4, 20, floor}.Factor(step);
  };
  EXPECT_DOUBLE_EQ(at(ScheduleType::kLinear, 8), 0.75);
  EXPECT_DOUBLE_EQ(at(ScheduleType::kLinear, 19), 0.0625);
  EXPECT_NEAR(at(ScheduleType::kCosine, 8), 0.8535533905932737, 1e-12);
  EXPECT_NEAR(at(ScheduleType::kCosine, 12), 0.5, 1e-12);
  EXPECT_NEAR(at(ScheduleType::kCosine, 20), 0.0, 1e-12);
  EXPECT_NEAR(at(ScheduleType::kCosine, 20, 0.1), 0.1, 1e-12);
  EXPECT_DOUBLE_EQ(at(ScheduleType::kConstant, 19), 1.0);
}

TEST(Schedule, WithoutWarmUpTheFirstStepIsAtThePeak) {
  EXPECT_DOUBLE_EQ((Schedule{ScheduleType::kCosine, 0, 1, 0}.Factor(0)), 1.0);
  EXPECT_THROW(ParseSchedule("step"), Error);
}

}  // namespace
}  // namespace pivotal::dpo
