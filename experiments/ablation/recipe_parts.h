// Apache-2.0. The parts of a stage's pairs in a recipe.
#pragma once

#include "experiments/ablation/recipe.h"
#include "experiments/ablation/recipe_file.h"

namespace pivotal::experiments {

// Reads a table of `pairs`. Throws Error for a source that the stage's search or training does not
// go with, and for a key that the source does not read.
PairsPart ReadPart(const RecipeFile& file, const toml::table& table, const Stage& stage);

}  // namespace pivotal::experiments
