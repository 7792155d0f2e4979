// Apache-2.0. What `pivotal ablate` is asked to compare: a recipe, as TOML.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/accuracy.h"
#include "experiments/pair_run.h"
#include "experiments/run_config.h"
#include "experiments/train_settings.h"

namespace pivotal::experiments {

// Pairs that a stage trains on, all of the same search.
struct PairsPart {
  std::string source = "pivotal";  // OtherSources(), or "right": right responses alone, for sft (which takes chosen sides)
  std::optional<int32_t> count;    // at most; 0: all there are
  double share = 1;                // without a count: as many as there are pivotal pairs, times this
  OtherPairs other;                // but for its source, count and seed
};

// A search with the model that there is, pairs of it, and training on them.
struct Stage {
  RunConfig run;         // its model and seed are the arm's
  pts::PairOptions pairs;
  std::vector<PairsPart> parts;
  TrainSettings train;   // its model, data and seed are the arm's
};

struct Arm {
  std::string name;
  std::vector<Stage> stages;  // none: the model as it is
};

struct EvalSet {
  std::string name;
  ProblemSettings problems;
};

struct Recipe {
  std::string title, question;
  std::vector<uint64_t> seeds = {1};
  std::string baseline;        // the arm that all others are compared with
  ModelSettings model;
  SamplingSettings sampling;   // of evaluations; the seed is the arm's
  EvalOptions eval;
  std::vector<Arm> arms;
  std::vector<EvalSet> sets;
};

// Reads a recipe. `[run]` and `[train]` hold what run.toml and train.toml hold, by section and key, for all stages; a stage
// overrides it by tables of its own. Paths are relative to the recipe's folder. Throws Error that names the file
// and the line, or the key that nothing knows.
Recipe LoadRecipe(const std::filesystem::path& path);

}  // namespace pivotal::experiments
