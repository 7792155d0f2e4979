// Apache-2.0.
#include "dpo/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/error.h"

namespace pivotal::dpo {

std::vector<std::string> ScheduleNames() { return {"linear", "cosine", "constant"}; }

std::string_view ScheduleName(ScheduleType type) {
  switch (type) {
    case ScheduleType::kLinear: return "linear";
    case ScheduleType::kCosine: return "cosine";
    case ScheduleType::kConstant: break;
  }
  return "constant";
}

ScheduleType ParseSchedule(const std::string& name) {
  for (auto type : {ScheduleType::kLinear, ScheduleType::kCosine, ScheduleType::kConstant})
    if (ScheduleName(type) == name) return type;
  Fail("schedule {}: expected linear, cosine or constant", name);
}

double Schedule::Factor(int64_t step) const {
  if (step < warmup) return static_cast<double>(step) / static_cast<double>(warmup);
  if (type == ScheduleType::kConstant) return 1.0;
  const auto length = static_cast<double>(std::max<int64_t>(1, total - warmup));
  const double done = std::min(1.0, static_cast<double>(step - warmup) / length);
  const double rest =
      type == ScheduleType::kLinear ? 1.0 - done : 0.5 * (1.0 + std::cos(std::numbers::pi * done));
  return floor + (1.0 - floor) * rest;
}

}  // namespace pivotal::dpo
