// Apache-2.0. What a recipe's plan says of how small a change it can find.
#pragma once

#include <filesystem>
#include <string>

#include "experiments/ablation/recipe.h"

namespace pivotal::experiments {

// Returns, as lines of text for people, the smallest change of the sampled accuracy that the recipe
// finds on each set with 80% power at 5%, with Holm's correction and without. How much changes vary
// is measured on the arms whose evaluations under `steps` are done, as the baseline's, with two
// seeds or more, and otherwise assumed. "" if the recipe samples no responses.
std::string PowerText(const Recipe& recipe, const std::filesystem::path& steps);

}  // namespace pivotal::experiments
