// Apache-2.0. Recipes: what `pivotal ablate` compares, read from a TOML file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/evaluate/accuracy.h"
#include "experiments/search/run_config.h"
#include "experiments/search/run_pairs.h"
#include "pivotal/model.h"
#include "pivotal/oracle.h"
#include "pivotal/pairs.h"
#include "pivotal/training.h"

namespace pivotal::experiments {

// One part of the pairs that a stage trains on. All parts are made of the stage's search.
struct PairsPart {
  // One of OtherSources(), "pivotal"; for next-token training "right" (right responses, of each
  // problem as many as it has wrong ones) or "continuations" (BuildRightCompletions with
  // continuations); for a policy gradient one of kAdvantageKinds.
  std::string source = "pivotal";
  std::optional<int32_t> count;  // number of pairs at most; 0: as many as there are
  double share = 1;              // without `count`: number of pairs per pivotal pair of the search
  OtherPairs other;              // settings of the source; its `source`, `count`, `seed` are unused
};

// A search with the current model, pairs of it, and training on these pairs.
struct Stage {
  RunConfig run;                    // the arm sets its model and seed
  bool searches_untrained = false;  // the recipe's model searches, as before the first stage
  PairOptions pairs;
  std::vector<PairsPart> parts;
  // The arm sets its data, its seed, and its model but for `dtype` and `base_weights`, which are of
  // this training alone.
  TrainSettings train;
  int64_t problem_count = 0;  // of the search
};

struct Arm {
  std::string name;
  std::vector<Stage> stages;     // empty: the untrained model
  std::string weights = "auto";  // as SamplingSettings::weights, for this arm's evaluations
  // Arms with the same curve differ by what they cost alone; pictures of cost join them. "": none.
  std::string curve = {};
};

struct EvalSet {
  std::string name;
  ProblemSettings problems;
  int64_t problem_count = 0;
};

struct Recipe {
  std::string title, question;
  std::vector<uint64_t> seeds = {1};
  std::string baseline;  // name of the arm that all other arms are compared with
  ModelSettings model;
  SamplingSettings sampling;  // for evaluations; the arm sets its seed and weights
  EvalOptions eval;
  std::vector<Arm> arms;
  std::vector<EvalSet> sets;
};

// Reads a recipe. Its tables [run] and [train] hold settings of run.toml and train.toml under the
// same sections and keys; they apply to all stages, and a stage overrides them by its own tables.
// Paths are relative to the recipe's folder; what is not there may be a name on the Hub (FindModel,
// FindProblems). An arm with `after = "NAME"` begins with the stages of an arm above. An arm with
// `problems = [n, ...]` becomes an arm "NAME (n)" for each n, whose own stages search n problems,
// on a curve of its name. A stage with `train.loss.sft = true` takes no other part of the recipe's
// [train.loss]. `model` and `baseline` take the place of the recipe's if they are not empty. Where
// neither oracle nor data set nor keys are set, the problem file chooses them (GuessDataset).
// Throws Error that names the file and the line, or the unknown key, or the arm whose search or
// training would refuse its settings or its problems. Warns of a set with problems that are
// searched too. `model` is a path from the working directory.
Recipe LoadRecipe(const std::filesystem::path& path, const std::filesystem::path& model = {},
                  const std::string& baseline = {});

// Returns the settings of a stage's training of `model`, but for data and seed. An adapter of the
// model is trained further.
TrainSettings TrainingOf(const Stage& stage, const ModelSettings& model);

}  // namespace pivotal::experiments
