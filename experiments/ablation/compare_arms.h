// Apache-2.0. Scores and costs of a recipe's arms, and how they compare with the baseline.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/ablation/crossed_mean.h"
#include "experiments/ablation/recipe.h"
#include "experiments/evaluate/accuracy.h"

namespace pivotal::experiments {

// What it took to make an arm's model. What arms share counts for each of them.
struct ArmCost {
  double pairs = 0;             // that the arm trained on
  double generated_tokens = 0;  // of its searches
  double trained_tokens = 0;    // of its trainings, each epoch counted
  double seconds = 0;           // of its searches, pairs and trainings, without evaluations
};

// The evaluation of one arm with one seed on one set.
struct ArmRun {
  std::string arm, set;
  uint64_t seed = 0;
  Accuracy accuracy;
  ArmCost cost;
};

// A change from the baseline, paired by seed and problem. `p` is the two-sided p-value of no
// change.
struct ArmChange : MeanInterval {
  double p = 1;
};

// The scores of one arm on one set. Means, 95% intervals and p-values are over seeds and problems
// (MeanTest); with one seed, and where nothing is trained, over problems. Changes are 0 for the
// baseline itself.
struct ArmScore {
  std::string arm, set;
  MeanInterval sampled = {}, greedy = {};  // accuracy of sampled responses, and at temperature 0
  ArmChange sampled_change = {}, greedy_change = {};
  // The p-value of `sampled_change`, adjusted by Holm's method for the sampled changes of all arms
  // on all sets of the recipe. All other changes are exploratory: nothing adjusts them.
  double holm_p = 1;
  // By seed: change of the sampled accuracy. For the baseline: its sampled accuracy.
  std::vector<double> by_seed = {};
  // Set if the recipe names a refusal: see Accuracy::Answered() and RightOfAnswered(). Ratios are
  // linearised (Cochran, "Sampling Techniques", 1977, chapter 6).
  MeanInterval answered = {}, right_of_answered = {};
  ArmChange right_change = {};
  ArmCost cost = {};  // means over the seeds

  // Returns whether the change of the sampled accuracy is real at 5%, after Holm's method.
  bool Stands() const { return holm_p < 0.05; }
};

struct AblationResult {
  std::vector<ArmScore> scores;  // ordered by set, then by arm
  int64_t comparisons = 0;       // number of sampled changes that Holm's method adjusts for
};

// Compares the arms. `runs` holds every arm, seed and set of the recipe once.
AblationResult CompareArms(const Recipe& recipe, const std::vector<ArmRun>& runs);

// Returns the variance of the sampled change from `base` to `arm`: runs of two arms on one set,
// with the same seeds in the same order.
CellVariance VarianceOfChange(const std::vector<const ArmRun*>& base,
                              const std::vector<const ArmRun*>& arm);

// Returns the number of sampled changes of a recipe.
int64_t CountComparisons(const Recipe& recipe);

}  // namespace pivotal::experiments
