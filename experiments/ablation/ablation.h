// Apache-2.0. Runs the arms of a recipe, each step once, compares them, and estimates how long that
// takes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "experiments/ablation/plan.h"
#include "experiments/ablation/recipe.h"
#include "experiments/ablation/results.h"
#include "pivotal/progress.h"

namespace pivotal::experiments {

struct AblationRun {
  AblationResult result;
  double seconds = 0;  // wall time of this call
  int64_t steps = 0;   // steps that this call did
  int64_t reused = 0;  // steps that were done before
  std::string json;    // what results.json holds
};

// Does the steps of the plan that are not done, in folders under `steps`; recipes may share that
// folder, also at the same time: a call waits for a step that another is at work on. An interrupted
// step continues from where it stopped. A stage whose search finds no pair
// keeps its model, with a warning. Writes OUTPUT/results.json, OUTPUT/results.md and
// OUTPUT/report.html, each anew. Throws Interrupted on a stop request; the next call continues.
AblationRun RunAblation(const Recipe& recipe, const std::filesystem::path& steps,
                        const std::filesystem::path& output, Progress& progress);

// Returns the plan as lines of text for people, with the time that each step took or will take.
// The time of kinds of steps that have not been done is measured on a small copy of the recipe:
// `problems` problems of each file, in a temporary folder (TMPDIR) that is removed. With 0 problems
// nothing is measured. Some times may stay unknown, if the small copy finds nothing to train on.
// PowerText() follows.
std::string PlanText(const Recipe& recipe, const std::filesystem::path& steps, int problems,
                     Progress& progress);

// Writes a time for people: "42 s", "12 min", "3.5 h".
std::string TimeText(double seconds);

}  // namespace pivotal::experiments
