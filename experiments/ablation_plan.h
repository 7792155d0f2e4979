// Apache-2.0. The steps of a recipe, and where they are kept.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "experiments/recipe.h"

namespace pivotal::experiments {

// Something to be done, in a folder of its own. Steps with the same key are one.
struct Step {
  enum class Kind { kSearch, kPairs, kTrain, kEval };
  Kind kind;
  std::string key;    // 16 hex digits: of the settings, the files, and the steps before
  std::string what;   // for people: "arm, seed 1: search"
  std::string sort;   // steps of a sort take time in proportion to their work: "search by anchored", "train", ...
  double work = 1;    // problems, times responses to each where it evaluates; pairs times epochs, as far as is known
  bool done = false;
  double seconds = 0;  // that it took, where it is done
};

// What is done at each step of a walk is the visitor's business. Called for every step in order, equal ones too: a visitor
// keeps what it has.
struct StepVisitor {
  virtual ~StepVisitor() = default;
  virtual void BeginArm(const Arm& arm, uint64_t seed) = 0;
  virtual void Search(const Step& step, const RunConfig& config) = 0;
  // `run`: the folder of the search.
  virtual void Pairs(const Step& step, const std::filesystem::path& run, const Stage& stage, uint64_t seed) = 0;
  // False where there was nothing to train on: the model stays what it was.
  virtual bool Train(const Step& step, const TrainSettings& settings) = 0;
  virtual void Eval(const Step& step, const ModelSettings& model, const EvalSet& set, uint64_t seed) = 0;
};

// Through the seeds of a recipe, for each through its arms, for each through its stages and then the sets.
class AblationWalk {
 public:
  // `steps`: the folder that holds a folder for each step. The recipe outlives the walk.
  AblationWalk(const Recipe& recipe, std::filesystem::path steps);

  std::filesystem::path FolderOf(const Step& step) const;
  // Throws Error where a model or a file of problems can't be read.
  void Run(StepVisitor& visitor);

 private:
  // A model at some point of an arm.
  struct ModelAt {
    ModelSettings settings;
    std::string key;
  };

  ModelAt Through(const Stage& stage, const ModelAt& model, uint64_t seed, const std::string& where,
                  StepVisitor& visitor);
  Step StepOf(Step::Kind kind, std::vector<std::string> parts, std::string what) const;
  double Problems(const ProblemSettings& problems);
  const std::string& FileKey(const std::filesystem::path& path);

  const Recipe& recipe_;
  std::filesystem::path steps_;
  ModelAt base_;
  std::map<std::string, std::string> files_;  // SHA-256 by path
  std::map<std::string, double> lines_;       // of problem files, by path
};

// The steps of all arms and seeds, in order, each once; those of later stages as if every search found pairs.
std::vector<Step> PlanAblation(const Recipe& recipe, const std::filesystem::path& steps);

}  // namespace pivotal::experiments
