// Apache-2.0. Runs the arms of a recipe, each step once, and compares them.
#pragma once

#include <cstdint>
#include <filesystem>

#include "data/progress.h"
#include "experiments/ablation_plan.h"
#include "experiments/ablation_results.h"

namespace pivotal::experiments {

struct AblationRun {
  AblationResult result;
  double seconds = 0;  // of this call
  int64_t steps = 0, reused = 0;
};

// What is not done of the plan is done, in folders under `steps`, which recipes may share; a step that was interrupted goes
// on where it was. A stage whose search finds no pair leaves its model as it is, with a warning. Writes OUTPUT/results.json,
// OUTPUT/results.md and OUTPUT/report.html, each anew. Throws Interrupted on a stop request: called again, it goes on.
AblationRun RunAblation(const Recipe& recipe, const std::filesystem::path& steps, const std::filesystem::path& output,
                        Progress& progress);

}  // namespace pivotal::experiments
