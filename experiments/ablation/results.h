// Apache-2.0. Results of a recipe: scores of its arms, how they compare, and files that show them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "experiments/ablation/recipe.h"
#include "experiments/evaluate/accuracy.h"

namespace pivotal::experiments {

// The evaluation of one arm with one seed on one set.
struct ArmRun {
  std::string arm, set;
  uint64_t seed = 0;
  Accuracy accuracy;
  int64_t pairs = 0;   // pairs that the arm trained on
  int64_t tokens = 0;  // tokens that the arm's searches generated
};

// The scores of one arm on one set, over all seeds. Each problem's score is averaged over the seeds
// first; means and 95% bootstrap intervals are over problems. Changes are against the baseline,
// paired by problem, and 0 for the baseline itself.
struct ArmScore {
  std::string arm, set;
  MeanInterval sampled = {}, greedy = {};  // accuracy of sampled responses, and at temperature 0
  MeanInterval sampled_change = {}, greedy_change = {};
  // By seed: change of the sampled accuracy. For the baseline: its sampled accuracy.
  std::vector<double> by_seed = {};
  // Set if the recipe names a refusal: see Accuracy::Answered() and RightOfAnswered().
  MeanInterval answered = {}, right_of_answered = {}, right_change = {};
  double pairs = 0, generated_tokens = 0;  // means over the seeds
};

struct AblationResult {
  std::vector<ArmScore> scores;  // ordered by set, then by arm
  int64_t comparisons = 0;       // number of changes with intervals
};

// Compares the arms. `runs` holds every arm, seed and set of the recipe once.
AblationResult CompareArms(const Recipe& recipe, const std::vector<ArmRun>& runs);

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
