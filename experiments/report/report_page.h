// Apache-2.0. The HTML page of a report, filled with data.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pivotal::experiments {

// Returns the page with `summary` and `blocks`, JSON texts as experiments/report/page/DATA.md
// defines them. Blocks are compressed.
std::string ReportPage(std::string_view summary, const std::vector<std::string>& blocks);

}  // namespace pivotal::experiments
