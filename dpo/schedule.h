// Apache-2.0. Learning-rate schedules.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pivotal/training.h"

namespace pivotal::dpo {

// Return all names, the name of a value, and the value of a name. ParseSchedule throws Error that
// lists the names.
std::vector<std::string> ScheduleNames();
std::string_view ScheduleName(ScheduleType type);
ScheduleType ParseSchedule(const std::string& name);

// Gives the learning rate of each step: it rises to the peak in `warmup` steps, then follows a
// line, half a cosine or a constant until step `total`. Line and cosine end at `floor` times the
// peak. After the warm-up the rates are those of transformers' get_scheduler. In it they are one
// step ahead: transformers gives the first step the rate 0, which leaves the weights as they are.
struct Schedule {
  ScheduleType type = ScheduleType::kCosine;
  int64_t warmup = 0, total = 0;
  double floor = 0.0;

  // Returns the learning rate of step 0, 1, ..., divided by the peak: (step + 1) / warmup in the
  // warm-up, whose last step has the peak.
  double Factor(int64_t step) const;
};

}  // namespace pivotal::dpo
