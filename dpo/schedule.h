// Apache-2.0. The learning rate over the steps.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::dpo {

enum class ScheduleType { kLinear, kCosine, kConstant };

// "linear", "cosine", "constant"
std::vector<std::string> ScheduleNames();
std::string_view ScheduleName(ScheduleType type);
ScheduleType ParseSchedule(const std::string& name);  // throws Error that lists the names

// As transformers' get_scheduler: from 0 in `warmup` steps to the peak, then a line, half a cosine or a
// constant until step `total`. Line and cosine end at `floor` times the peak.
struct Schedule {
  ScheduleType type = ScheduleType::kCosine;
  int64_t warmup = 0, total = 0;
  double floor = 0.0;

  // Factor on the peak for step 0, 1, ... The first step of a warm-up has rate 0.
  double Factor(int64_t step) const;
};

}  // namespace pivotal::dpo
