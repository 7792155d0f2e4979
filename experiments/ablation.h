// Apache-2.0. Runs the arms of a recipe, each step once, and compares them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/progress.h"
#include "experiments/accuracy.h"
#include "experiments/recipe.h"

namespace pivotal::experiments {

// Something to be done, in a folder of its own under OUTPUT/steps. Steps with the same key are one.
struct Step {
  enum class Kind { kSearch, kPairs, kTrain, kEval };
  Kind kind;
  std::string key;    // 16 hex digits: of the settings, the files, and the steps before
  std::string what;   // for people: "arm, seed 1: search"
  bool done = false;
  double seconds = 0;  // that it took, where it is done
};

// Mean over problems (and seeds) with a 95% interval, of one arm on one set, or of what it differs by from the baseline on
// the same problems.
struct ArmScore {
  std::string arm, set;
  MeanInterval sampled, greedy;
  MeanInterval sampled_change, greedy_change;  // against the baseline; 0 for itself
  double generated_tokens = 0;                 // by the arm's searches, per seed
  double pairs = 0;                            // trained on, per seed
};

struct AblationResult {
  std::vector<ArmScore> scores;  // by set, then by arm
  int64_t comparisons = 0;       // intervals of differences in the table
  double seconds = 0;            // of this call
  int64_t steps = 0, reused = 0;
};

// The steps of all arms and seeds, in order, each once.
std::vector<Step> PlanAblation(const Recipe& recipe, const std::filesystem::path& output);

// What is not done of the plan is done; a step that was interrupted goes on where it was. Writes OUTPUT/results.jsonl (a line per
// arm, seed, set), OUTPUT/results.md and OUTPUT/report.html, each anew. Throws Interrupted on a stop request: called
// again, it goes on.
AblationResult RunAblation(const Recipe& recipe, const std::filesystem::path& output, Progress& progress);

// Markdown.
std::string AblationTable(const Recipe& recipe, const AblationResult& result);

}  // namespace pivotal::experiments
