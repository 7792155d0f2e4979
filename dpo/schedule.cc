// Apache-2.0.
#include "dpo/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/base/names.h"

namespace pivotal::dpo {

namespace {

constexpr auto kTypes =
    data::MakeNameTable<ScheduleType>("schedule", {{ScheduleType::kLinear, "linear"},
                                                   {ScheduleType::kCosine, "cosine"},
                                                   {ScheduleType::kConstant, "constant"}});

}  // namespace

std::vector<std::string> ScheduleNames() { return kTypes.Names(); }
std::string_view ScheduleName(ScheduleType type) { return kTypes.Name(type); }
ScheduleType ParseSchedule(const std::string& name) { return kTypes.Parse(name); }

double Schedule::Factor(int64_t step) const {
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  if (type == ScheduleType::kConstant) return 1.0;
  const auto length = static_cast<double>(std::max<int64_t>(1, total - warmup));
  const double done = std::min(1.0, static_cast<double>(step - warmup) / length);
  const double decay =
      type == ScheduleType::kLinear ? 1.0 - done : 0.5 * (1.0 + std::cos(std::numbers::pi * done));
  return floor + (1.0 - floor) * decay;
}

}  // namespace pivotal::dpo
