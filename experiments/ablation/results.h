// Apache-2.0. Files that show the results of a recipe.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/ablation/compare_arms.h"
#include "experiments/ablation/recipe.h"

namespace pivotal::experiments {

// Returns the scores as tables in Markdown.
std::string AblationTable(const Recipe& recipe, const AblationResult& result);

// The training of one model: its name on the page and the folder with its log.jsonl.
struct TrainingCurve {
  std::string name;
  std::filesystem::path folder;
};
// Returns results.json: the scores, every arm, seed and set by itself, and where the logs of
// `trainings` are (data/FORMATS.md).
std::string AblationJson(const Recipe& recipe, const AblationResult& result,
                         const std::vector<ArmRun>& runs,
                         const std::vector<TrainingCurve>& trainings);
// Returns report.html: the comparisons and the curves of training.
std::string AblationPage(const Recipe& recipe, const AblationResult& result,
                         const std::vector<TrainingCurve>& trainings);

}  // namespace pivotal::experiments
