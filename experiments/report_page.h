// Apache-2.0. The HTML page of a report around its data.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pivotal::experiments {

// The page of experiments/report/ with `summary` (JSON) and `blocks` (base64) put into it; what
// they hold is in experiments/report/DATA.md.
std::string ReportPage(std::string_view summary, const std::vector<std::string>& blocks);

}  // namespace pivotal::experiments
