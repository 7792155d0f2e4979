// Apache-2.0. The state of a run as lines for a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "experiments/watch/run_state.h"

namespace pivotal::experiments {

struct StateStyle {
  std::size_t width = 80;  // columns
  bool colour = false;
  bool utf8 = true;  // false: ASCII alone, for what Pivotal itself draws
};

// Returns the lines without their ends. None is wider than the style says; what is longer goes on
// in the next line. Texts of files cannot move the cursor.
std::vector<std::string> StateLines(const RunState& state, const StateStyle& style);

// Returns values as a row of bars, `width` of them at most: means where there are more values.
// Equal values are bars of middle height.
std::string Sparkline(const std::vector<double>& values, std::size_t width, bool utf8);

}  // namespace pivotal::experiments
