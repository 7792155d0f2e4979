// Apache-2.0. How long the steps of a recipe will take.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/progress.h"
#include "experiments/ablation_plan.h"

namespace pivotal::experiments {

// Seconds for each unit of Step::work, by Step::sort: of the steps that are done, and, for the other sorts of `plan`, of a
// small copy of the recipe, which is run on `problems` problems of each file in a temporary folder that is removed (TMPDIR;
// trained models are written there). 0 problems: of what is done alone. A sort may be missing still, where the small copy
// found nothing to train on.
std::map<std::string, double> SecondsPerWork(const Recipe& recipe, const std::vector<Step>& plan, int problems,
                                             Progress& progress);

}  // namespace pivotal::experiments
