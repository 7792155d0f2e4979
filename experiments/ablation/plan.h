// Apache-2.0. The steps of a recipe and the folders that hold their results.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/ablation/recipe.h"

namespace pivotal::experiments {

// One piece of work, with a folder of its own. Steps with the same key are done once.
struct Step {
  enum class Kind { kSearch, kPairs, kTrain, kEval };
  Kind kind;
  std::string key;   // 16 hex digits of the SHA-256 of its settings, files and earlier steps
  std::string what;  // description for people: "arm, seed 1: search"
  std::string sort;  // steps of one sort take time in proportion to `work`: "search by pts", ...
  double work = 1;   // problems; for evaluations times responses; for training pairs times epochs,
                     // as far as they are known
  bool done = false;
  double seconds = 0;  // time that it took, if it is done
};

// Receives every step of a walk in order, repeated steps too.
struct StepVisitor {
  virtual ~StepVisitor() = default;
  virtual void BeginArm(const Arm& arm, uint64_t seed) = 0;
  virtual void Search(const Step& step, const RunConfig& config) = 0;
  // `run` is the folder of the search.
  virtual void Pairs(const Step& step, const std::filesystem::path& run, const Stage& stage,
                     uint64_t seed) = 0;
  // Is not called where the pairs are done and there are none: the model stays the same.
  virtual void Train(const Step& step, const TrainSettings& settings) = 0;
  virtual void Eval(const Step& step, const ModelSettings& model, const EvalSet& set,
                    const SamplingSettings& sampling) = 0;
};

// Walks through the seeds of a recipe; for each seed through the arms; for each arm through its
// stages and then the evaluation sets. A stage after one that trained an adapter goes on with it.
class AblationWalk {
 public:
  // `steps` is the folder that holds one folder for each step. The recipe must outlive the walk.
  AblationWalk(const Recipe& recipe, std::filesystem::path steps);

  std::filesystem::path FolderOf(const Step& step) const;
  // Returns how long a step took, or nothing if it is not done.
  std::optional<double> SecondsOf(const Step& step) const;
  // Returns where an evaluation writes its scores.
  std::filesystem::path ScoresFile(const Step& step) const;
  // Returns the scores of an evaluation on `set` that is done. Throws Error that says what to
  // remove if they are damaged or of other problems than the scores of the set that were read
  // before.
  Accuracy Scores(const Step& step, const EvalSet& set);
  // Throws Error that says what to remove: `what` is wrong with a step that is done.
  [[noreturn]] void FailDamaged(const Step& step, std::string_view what) const;
  // Returns read(), which reads the results of a step. Adds to its Error what to remove.
  template <typename F>
  auto ReadOf(const Step& step, F&& read) const {
    try {
      return read();
    } catch (const Error& error) {
      FailDamaged(step, error.what());
    }
  }
  // Throws Error if a model or a problem file cannot be read.
  void Run(StepVisitor& visitor);

 private:
  // A model and the key of the steps that made it.
  struct KeyedModel {
    ModelSettings settings;
    std::string key;
  };

  // Visits the steps of a stage and returns its model.
  KeyedModel RunStage(const Stage& stage, const KeyedModel& model, uint64_t seed,
                      const std::string& where, StepVisitor& visitor);
  Step StepOf(Step::Kind kind, std::vector<std::string> parts, std::string what) const;
  const std::string& FileKey(const std::filesystem::path& path);
  // Adds to the parts of a key the files that the words of a command name, if it has any.
  void AddCommand(std::string_view command, std::vector<std::string>& parts);
  void AddOracle(const ProblemSettings& problems, std::vector<std::string>& parts);

  const Recipe& recipe_;
  std::filesystem::path steps_;
  KeyedModel base_;
  std::map<std::string, std::string> files_;                  // SHA-256 by path
  std::map<std::string, std::vector<std::string>> problems_;  // ids by the name of a set
};

// Returns Step::sort of a training; what it trains on makes its speed.
std::string SortOfTraining(const TrainSettings& train);

// Returns the steps of all arms and seeds in order, each once. Later stages are planned as if every
// search found pairs.
std::vector<Step> PlanAblation(const Recipe& recipe, const std::filesystem::path& steps);

}  // namespace pivotal::experiments
