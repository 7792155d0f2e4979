// Apache-2.0.
#include "experiments/ablation/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/names.h"
#include "experiments/settings/input_files.h"
#include "experiments/settings/loading.h"
#include "experiments/train/train_settings.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

constexpr double kPairsPerProblem = 1;  // a guess for pairs that have not been made

std::string KeyOf(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += fmt::format("{}:{}", part.size(), part);
  return data::Sha256OfText(text).substr(0, 16);
}

constexpr auto kKinds = data::MakeNameTable<Step::Kind>("step", {{Step::Kind::kSearch, "search"},
                                                                 {Step::Kind::kPairs, "pairs"},
                                                                 {Step::Kind::kTrain, "train"},
                                                                 {Step::Kind::kEval, "eval"}});

// Return the settings as text, without the paths of a model, which has a key of its own.
std::string TextOf(RunConfig run) {
  run.model.adapter.clear();
  // How servers are asked changes nothing.
  const ServedSettings usual;
  run.served.concurrency = usual.concurrency;
  run.served.timeout = usual.timeout;
  run.served.give_up = usual.give_up;
  return SettingsText(run);
}
std::string TextOf(TrainSettings train) {
  train.model.adapter.clear();
  return SettingsText(train);
}

std::string TextOf(const PairsPart& part) {
  const OtherPairs& other = part.other;
  std::string text = part.count ? fmt::format("{} {}", part.source, *part.count)
                                : fmt::format("{} share {}", part.source, part.share);
  if (part.source == "refusal") text += " " + other.refusal;
  if (part.source == "step") text += fmt::format(" {}", other.threshold);
  if (part.source == "judged")
    text += fmt::format(" {} {} {} {}", other.judge, other.judge_responses, other.judge_timeout,
                        other.margin);
  return text;
}

// Collects the steps, each once.
class Planner : public StepVisitor {
 public:
  void BeginArm(const Arm&, uint64_t) override {}
  void Search(const Step& step, const RunConfig&) override { Add(step); }
  void Pairs(const Step& step, const fs::path&, const Stage&, uint64_t) override { Add(step); }
  void Train(const Step& step, const TrainSettings&) override { Add(step); }
  void Eval(const Step& step, const ModelSettings&, const EvalSet&,
            const SamplingSettings&) override {
    Add(step);
  }
  std::vector<Step> steps;

 private:
  void Add(const Step& step) {
    if (std::ranges::find(steps, step.key, &Step::key) == steps.end()) steps.push_back(step);
  }
};

}  // namespace

AblationWalk::AblationWalk(const Recipe& recipe, fs::path steps)
    : recipe_(recipe), steps_(std::move(steps)) {
  base_.settings = recipe.model;
  base_.key = KeyOf({"model", ModelFingerprint(recipe.model), InputFiles(recipe.model).Text(),
                     recipe.model.dtype, recipe.model.prompt_format, recipe.model.system});
}

fs::path AblationWalk::FolderOf(const Step& step) const {
  return steps_ / fmt::format("{}-{}", kKinds.Name(step.kind), step.key);
}

std::optional<double> AblationWalk::SecondsOf(const Step& step) const {
  std::ifstream done(FolderOf(step) / "done");
  double seconds = 0;
  return done >> seconds && seconds >= 0 ? std::optional(seconds) : std::nullopt;
}

fs::path AblationWalk::ScoresFile(const Step& step) const {
  return FolderOf(step) / "scores.jsonl";
}

void AblationWalk::FailDamaged(const Step& step, std::string_view what) const {
  Fail("{}; remove the folder {}, and this step is done again", what, FolderOf(step).string());
}

Accuracy AblationWalk::Scores(const Step& step, const EvalSet& set) {
  Accuracy accuracy = ReadOf(step, [&] { return LoadScores(ScoresFile(step)); });
  std::vector<std::string> ids;
  for (const ProblemScore& problem : accuracy.problems) ids.push_back(problem.id);
  const auto [known, is_new] = problems_.try_emplace(set.name, ids);
  if (std::ssize(ids) != set.problem_count)
    FailDamaged(step, fmt::format("{}: has {} problems, not {}", ScoresFile(step).string(),
                                  ids.size(), set.problem_count));
  for (const ProblemScore& problem : accuracy.problems)
    if (problem.samples != recipe_.eval.samples)
      FailDamaged(step,
                  fmt::format("{}: problem {} has {} samples, not {}", ScoresFile(step).string(),
                              problem.id, problem.samples, recipe_.eval.samples));
  if (known->second != ids)
    FailDamaged(step, fmt::format("{}: its problems are not those of the other evaluations on {}",
                                  ScoresFile(step).string(), set.name));
  return accuracy;
}

void AblationWalk::Run(StepVisitor& visitor) {
  for (const uint64_t seed : recipe_.seeds) {
    for (const Arm& arm : recipe_.arms) {
      visitor.BeginArm(arm, seed);
      const std::string where = fmt::format("{}, seed {}", arm.name, seed);
      KeyedModel model = base_;
      for (const Stage& stage : arm.stages) model = RunStage(stage, model, seed, where, visitor);
      for (const EvalSet& set : recipe_.sets) {
        RunConfig config;
        config.sampling = recipe_.sampling;
        config.sampling.seed = seed;
        config.sampling.weights = arm.weights;
        config.problems = set.problems;
        std::vector<std::string> parts = {
            model.key, SettingsText(config), FileKey(set.problems.file),
            std::to_string(recipe_.eval.samples), recipe_.eval.refusal};
        AddOracle(set.problems, parts);
        Step step =
            StepOf(Step::Kind::kEval, parts, fmt::format("{}: eval on {}", where, set.name));
        step.work = static_cast<double>(set.problem_count) * (recipe_.eval.samples + 1);
        visitor.Eval(step, model.settings, set, config.sampling);
      }
    }
  }
}

AblationWalk::KeyedModel AblationWalk::RunStage(const Stage& stage, const KeyedModel& model,
                                                uint64_t seed, const std::string& where,
                                                StepVisitor& visitor) {
  RunConfig run = stage.run;
  const KeyedModel& searcher = stage.searches_untrained ? base_ : model;
  if (!run.served.urls.empty() && searcher.key != base_.key)
    Fail("{}: the servers of served.policy do not serve the model that the stage before trains",
         where);
  run.model = searcher.settings;
  run.sampling.seed = seed;
  std::vector<std::string> parts = {searcher.key, TextOf(run), FileKey(run.problems.file)};
  AddOracle(run.problems, parts);
  Step search = StepOf(Step::Kind::kSearch, parts, where + ": search");
  search.sort = "search by " + run.strategy;
  search.work = static_cast<double>(stage.problem_count);
  visitor.Search(search, run);
  parts = {search.key, std::to_string(seed), fmt::format("{}", stage.pairs.gap)};
  for (const PairsPart& part : stage.parts) {
    parts.push_back(TextOf(part));
    AddCommand(part.other.judge, parts);
  }
  Step pairs = StepOf(Step::Kind::kPairs, parts, where + ": pairs");
  pairs.work = search.work;
  visitor.Pairs(pairs, FolderOf(search), stage, seed);
  TrainSettings train = TrainingOf(stage, model.settings);
  train.data = FolderOf(pairs) / "pairs.jsonl";
  std::error_code ignored;
  if (SecondsOf(pairs) && fs::is_empty(train.data, ignored)) return model;
  train.options.seed = seed;
  parts = {model.key, pairs.key, TextOf(train)};
  for (const fs::path& file : {train.held_out.data, train.held_out.problems.file})
    if (!file.empty()) parts.push_back(FileKey(file));
  AddOracle(train.held_out.problems, parts);
  Step step = StepOf(Step::Kind::kTrain, parts, where + ": train");
  step.sort = SortOfTraining(train);
  step.work = 0;
  for (const PairsPart& part : stage.parts)
    step.work +=
        part.count.value_or(0) > 0 ? *part.count : part.share * search.work * kPairsPerProblem;
  step.work *= static_cast<double>(train.options.epochs);
  visitor.Train(step, train);
  KeyedModel trained = {model.settings, step.key};
  const fs::path output = FolderOf(step) / "model";
  if (train.WritesAdapter()) {
    trained.settings.adapter = output.string();
  } else {
    trained.settings.folder = output;
    trained.settings.adapter.clear();
  }
  return trained;
}

Step AblationWalk::StepOf(Step::Kind kind, std::vector<std::string> parts, std::string what) const {
  parts.emplace(parts.begin(), kKinds.Name(kind));
  Step step{kind, KeyOf(parts), std::move(what), std::string(kKinds.Name(kind))};
  const auto seconds = SecondsOf(step);
  step.done = seconds.has_value();
  step.seconds = seconds.value_or(0);
  return step;
}

const std::string& AblationWalk::FileKey(const fs::path& path) {
  std::string& key = files_[path.string()];
  if (key.empty()) key = data::Sha256OfFile(path);
  return key;
}

void AblationWalk::AddCommand(std::string_view command, std::vector<std::string>& parts) {
  std::istringstream words{std::string(command)};
  for (std::string word; words >> word;)
    if (std::error_code error; fs::is_regular_file(word, error)) parts.push_back(FileKey(word));
}

void AblationWalk::AddOracle(const ProblemSettings& problems, std::vector<std::string>& parts) {
  constexpr std::string_view kCommand = "command:";
  if (problems.oracle.starts_with(kCommand))
    AddCommand(std::string_view(problems.oracle).substr(kCommand.size()), parts);
}

std::string SortOfTraining(const TrainSettings& train) {
  if (train.sft) return "train on responses";
  return train.UsesAdvantages() ? "train on advantages" : "train on pairs";
}

std::vector<Step> PlanAblation(const Recipe& recipe, const fs::path& steps) {
  AblationWalk walk(recipe, steps);
  Planner planner;
  walk.Run(planner);
  return planner.steps;
}

}  // namespace pivotal::experiments
