// Apache-2.0.
#include "experiments/ablation/recipe.h"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <utility>

#include "data/base/error.h"
#include "data/base/folders.h"
#include "data/base/text.h"
#include "experiments/ablation/recipe_file.h"
#include "experiments/ablation/recipe_parts.h"
#include "experiments/search/run_rewards.h"
#include "experiments/settings/dataset_settings.h"
#include "experiments/settings/hub_names.h"
#include "experiments/settings/loading.h"
#include "experiments/settings/settings_file.h"
#include "experiments/train/train_settings.h"
#include "kernels/packed_matrix.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

// Reads one recipe; every Error names the file and, if known, the line.
class Reader {
 public:
  Reader(const fs::path& path, const fs::path& model, const std::string& baseline)
      : file_(path), model_(model), baseline_(baseline) {}

  Recipe Read() {
    file_.CheckKeys(file_.root(), "",
                    {"title", "question", "seeds", "baseline", "samples", "refusal", "run", "train",
                     "eval", "arm"});
    Recipe recipe;
    recipe.title = file_.Text(file_.root(), "title", file_.path().stem().string());
    recipe.question = file_.Text(file_.root(), "question", "");
    recipe.eval.samples =
        static_cast<int32_t>(file_.Integer(file_.root(), "samples", recipe.eval.samples, 1));
    recipe.eval.refusal = file_.Text(file_.root(), "refusal", "");
    if (const toml::node* seeds = file_.root().get("seeds")) {
      const auto values = file_.Integers(*seeds, "seeds", 0);
      recipe.seeds.assign(values.begin(), values.end());
    }
    const Stage base = StageOf({}, "the recipe");
    recipe.model = base.run.model;
    if (recipe.model.folder.empty())
      Fail("{}: the recipe names no model: set run.model.folder, or take --model",
           file_.path().string());
    recipe.sampling = base.run.sampling;
    ReadSets(recipe, base.run.problems, Chooses({&file_.root()}));
    ReadArms(recipe, base.run.sampling.weights);
    recipe.baseline = file_.Text(file_.root(), "baseline", recipe.arms.front().name);
    if (!baseline_.empty()) recipe.baseline = baseline_;
    if (std::ranges::find(recipe.arms, recipe.baseline, &Arm::name) == recipe.arms.end())
      Fail("{}: baseline \"{}\" is not the name of an arm{}", file_.path().string(),
           recipe.baseline, PointOf(recipe));
    for (const EvalSet& set : recipe.sets) WarnOfSharedProblems(recipe, set);
    return recipe;
  }

 private:
  // Returns what to name in place of the baseline, which is no arm.
  static std::string PointOf(const Recipe& recipe) {
    const auto point = std::ranges::find(recipe.arms, recipe.baseline, &Arm::curve);
    if (point != recipe.arms.end())
      return fmt::format(", but of a curve; take one of its arms, such as \"{}\"", point->name);
    std::vector<std::string> names;
    for (const Arm& arm : recipe.arms) names.push_back(arm.name);
    return data::DidYouMean(recipe.baseline, names);
  }

  // Changes the settings that the tables hold under `key`; later tables override earlier ones.
  template <typename Settings>
  void Apply(std::string_view key, const std::vector<const toml::table*>& tables,
             Settings& settings) const {
    for (const toml::table* table : tables) {
      const toml::node* node = table->get(key);
      if (node == nullptr) continue;
      if (!node->is_table()) file_.FailAt(*node, fmt::format("{} must be a table", key));
      ApplySettings(
          SettingsFile::OfTable(*node->as_table(), file_.path().string(), fmt::format("{}.", key)),
          settings);
    }
  }

  Stage StageOf(const std::vector<const toml::table*>& own, const std::string& where) {
    std::vector<const toml::table*> tables = {&file_.root()};
    tables.insert(tables.end(), own.begin(), own.end());
    Stage stage;
    Apply("run", tables, stage.run);
    for (const toml::table* table : tables) {
      if (const toml::table* model = (*table)["train"]["model"].as_table())
        file_.CheckKeys(*model, "train.model.", {"dtype"});
      RefuseSetByArms(*table);
    }
    stage.train.model.dtype = stage.run.model.dtype;
    Apply("train", tables, stage.train);
    if (stage.train.sft) {
      for (const toml::table* table : own) RequireSftAlone(*table);
      stage.train.loss = {};  // the recipe's is for the other stages
    }
    FindModelOf(stage.run);
    FindProblemsOf(stage.run.problems, "train", Chooses(tables));
    Absolute(stage.train.held_out.data);
    Absolute(stage.train.held_out.problems.file);
    const auto parts =
        own.empty() ? std::vector<const toml::table*>() : file_.Tables(*own.back(), "pairs");
    for (const toml::table* part : parts) stage.parts.push_back(ReadPart(file_, *part, stage));
    if (!own.empty() && stage.parts.empty()) {
      if (stage.train.UsesAdvantages())
        Fail("{}: {}: train.loss.method = \"ppo\" needs pairs with the source \"{}\"",
             file_.path().string(), where, fmt::join(kAdvantageKinds, "\" or \""));
      if (stage.train.sft)
        Fail(
            "{}: {}: train.loss.sft = true needs pairs with the source \"right\", "
            "\"continuations\" or \"refusal\"",
            file_.path().string(), where);
      if (stage.run.strategy == "none")
        Fail("{}: {}: run.search.strategy = \"none\" finds no pivotal tokens; choose other pairs",
             file_.path().string(), where);
      stage.parts.push_back({});
    }
    stage.pairs.gap = stage.run.search.gap;
    for (const toml::table* table : own) stage.searches_untrained = SearchesUntrained(*table);
    if (!own.empty() && stage.run.problems.file.empty())
      Fail("{}: {} has no problem file to search: set run.problems.file", file_.path().string(),
           where);
    return stage;
  }

  bool SearchesUntrained(const toml::table& stage) const {
    const std::string with = file_.Text(stage, "search_with", "current");
    if (with != "current" && with != "untrained")
      file_.FailAt(
          *stage.get("search_with"),
          fmt::format("search_with is \"{}\", must be \"current\" (the model that the stages "
                      "before made) or \"untrained\" (the recipe's model)",
                      with));
    return with == "untrained";
  }

  // Throws Error if a table has settings that arms and seeds have.
  void RefuseSetByArms(const toml::table& table) const {
    const auto refuse = [&](const auto& value, const char* what) {
      if (value) file_.FailAt(*value.node(), what);
    };
    refuse(table["run"]["sampling"]["seed"], "run.sampling.seed is that of the recipe's seeds");
    refuse(table["train"]["steps"]["seed"], "train.steps.seed is that of the recipe's seeds");
    refuse(table["train"]["data"]["file"], "train.data.file are the pairs of the stage's search");
  }

  // Counts the problems of an arm's stages from `first` on. Throws Error for settings that no
  // search or training takes.
  void CheckStages(Arm& arm, std::size_t first) {
    ModelSettings model;
    for (std::size_t i = 0; i < arm.stages.size(); ++i) {
      Stage& stage = arm.stages[i];
      const TrainSettings train = TrainingOf(stage, model);
      model.adapter = train.WritesAdapter() ? "its adapter" : "";
      if (i < first) continue;
      try {
        SearchOptionsOf(stage.run);
        stage.problem_count = std::ssize(ProblemsOf(stage.run.problems));
        RequireDType(stage.run.model);
        RequireDType(stage.train.model);
        train.Validate();
        if (!train.held_out.problems.file.empty()) ProblemsOf(train.held_out.problems);
      } catch (const Error& error) {
        Fail("{}: arm \"{}\": {}", file_.path().string(), arm.name, error.what());
      }
    }
  }

  // Returns the problems of such settings, and reads them once. Throws Error as LoadJudgedProblems
  // does.
  const std::vector<Problem>& ProblemsOf(const ProblemSettings& settings,
                                         const std::string& refusal = "") {
    RunConfig config;
    config.problems = settings;
    std::string key = settings.file.string() + "\n" + SettingsText(config) + refusal;
    const auto [known, is_new] = problems_.try_emplace(std::move(key));
    if (is_new) known->second = LoadJudgedProblems(settings, refusal).problems;
    return known->second;
  }

  // Warns of the first arm that searches problems of the set.
  void WarnOfSharedProblems(const Recipe& recipe, const EvalSet& set) {
    const auto& problems = ProblemsOf(set.problems, recipe.eval.refusal);
    for (const Arm& arm : recipe.arms) {
      for (const Stage& stage : arm.stages) {
        std::set<std::string_view> searched;
        for (const Problem& problem : ProblemsOf(stage.run.problems))
          searched.insert(problem.question);
        const auto shared = std::ranges::count_if(
            problems, [&](const Problem& problem) { return searched.contains(problem.question); });
        if (shared == 0) continue;
        spdlog::warn(
            "{}: arm \"{}\" searches {} of the {} problems of the set \"{}\", so that what it "
            "learns by heart counts there",
            file_.path().string(), arm.name, shared, problems.size(), set.name);
        return;
      }
    }
  }

  // Throws Error if a stage that trains by SFT sets anything else of the loss.
  void RequireSftAlone(const toml::table& stage) const {
    const toml::table* loss = stage["train"]["loss"].as_table();
    if (loss == nullptr) return;
    for (const auto& [key, value] : *loss)
      if (key != "sft")
        file_.FailAt(value, fmt::format("train.loss.{} has no effect beside train.loss.sft = true",
                                        key.str()));
  }

  // `chosen`: the recipe says how the problems of `usual` are read and judged.
  void ReadSets(Recipe& recipe, const ProblemSettings& usual, bool chosen) {
    for (const toml::table* table : file_.Tables(file_.root(), "eval")) {
      file_.CheckKeys(*table, "eval.", {"name", "file", "dataset", "limit"});
      EvalSet set;
      set.problems = usual;
      set.problems.options.shard.clear();
      if (!chosen) {
        const ProblemSettings plain;
        set.problems.options.dataset = plain.options.dataset;
        set.problems.oracle = plain.oracle;
      }
      set.problems.file = file_.Text(*table, "file", "");
      if (set.problems.file.empty()) file_.FailAt(*table, "[[eval]] needs a problem file");
      const std::string file = set.problems.file;
      FindProblemsOf(set.problems, "test", chosen || table->contains("dataset"));
      if (const std::string dataset = file_.Text(*table, "dataset", ""); !dataset.empty()) {
        try {
          UseDataset(dataset, set.problems);
        } catch (const Error& error) {
          file_.FailAt(*table->get("dataset"), error.what());
        }
      }
      set.problems.options.limit = static_cast<std::size_t>(file_.Integer(*table, "limit", 0, 0));
      try {
        set.problem_count = std::ssize(ProblemsOf(set.problems, recipe.eval.refusal));
      } catch (const Error& error) {
        file_.FailAt(*table, error.what());
      }
      set.name = file_.Text(*table, "name", fs::path(file).stem().string());
      if (set.name.empty()) file_.FailAt(*table, "the name of an [[eval]] set is empty");
      if (std::ranges::find(recipe.sets, set.name, &EvalSet::name) != recipe.sets.end())
        file_.FailAt(
            *table,
            fmt::format("two [[eval]] sets are named \"{}\"; give one another name", set.name));
      recipe.sets.push_back(std::move(set));
    }
    if (recipe.sets.empty())
      Fail("{}: a recipe needs an [[eval]] set to compare arms on", file_.path().string());
  }

  void ReadArms(Recipe& recipe, const std::string& weights) {
    std::set<std::string> names;
    for (const toml::table* table : file_.Tables(file_.root(), "arm")) {
      file_.CheckKeys(*table, "arm.", {"name", "after", "stage", "weights", "curve", "problems"});
      Arm arm;
      arm.name = file_.Text(*table, "name", "");
      if (arm.name.empty()) file_.FailAt(*table, "an arm needs a name");
      if (data::Visible(arm.name, "") != arm.name)
        file_.FailAt(*table, "the name of an arm has a character that can't be shown");
      arm.weights = file_.Text(*table, "weights", weights);
      if (arm.weights != "auto" && !kernels::FindWeightType(arm.weights))
        file_.FailAt(*table, fmt::format("weights \"{}\" are unknown: take auto or one of {}",
                                         arm.weights, fmt::join(kernels::WeightTypeNames(), ", ")));
      if (const std::string after = file_.Text(*table, "after", ""); !after.empty()) {
        const auto before = std::ranges::find(recipe.arms, after, &Arm::name);
        if (before == recipe.arms.end())
          file_.FailAt(*table->get("after"), fmt::format("no arm above is named \"{}\"", after));
        arm.stages = before->stages;
      }
      const std::size_t inherited = arm.stages.size();
      for (const toml::table* stage : file_.Tables(*table, "stage")) {
        file_.CheckKeys(*stage, "stage.", {"pairs", "run", "search_with", "train"});
        if ((*stage)["run"]["model"])
          file_.FailAt(*stage,
                       "a stage has the model of its arm; set run.model for the whole recipe");
        arm.stages.push_back(StageOf({stage}, fmt::format("arm \"{}\"", arm.name)));
      }
      for (Arm& point : PointsOf(std::move(arm), inherited, *table)) {
        if (!names.insert(point.name).second)
          file_.FailAt(*table, fmt::format("two arms are named \"{}\"", point.name));
        CheckStages(point, inherited);
        recipe.arms.push_back(std::move(point));
      }
    }
    if (recipe.arms.size() < 2)
      Fail("{}: a comparison needs two [[arm]]s or more", file_.path().string());
  }

  // Returns the arm for each number of `problems`, which the stages from `first` on search, or the
  // arm itself if the table has no such key.
  std::vector<Arm> PointsOf(Arm arm, std::size_t first, const toml::table& table) {
    arm.curve = file_.Text(table, "curve", "");
    const toml::node* problems = table.get("problems");
    if (problems == nullptr) return {std::move(arm)};
    if (arm.stages.size() == first)
      file_.FailAt(*problems, "an arm without stages of its own searches no problems");
    for (const toml::table* stage : file_.Tables(table, "stage"))
      if (const auto limit = (*stage)["run"]["problems"]["limit"])
        file_.FailAt(*limit.node(),
                     "problems sets the number of problems of all its stages; "
                     "leave run.problems.limit out");
    if (arm.curve.empty()) arm.curve = arm.name;
    std::vector<Arm> points;
    for (const int64_t count : file_.Integers(*problems, "problems", 1)) {
      points.push_back(arm);
      points.back().name = fmt::format("{} ({})", arm.name, count);
      for (Stage& stage : std::span(points.back().stages).subspan(first)) {
        stage.run.problems.options.limit = static_cast<std::size_t>(count);
        if (const auto has = std::ssize(ProblemsOf(stage.run.problems)); has < count)
          file_.FailAt(*problems, fmt::format("{} has {} problems, not {}",
                                              stage.run.problems.file.string(), has, count));
      }
    }
    return points;
  }

  void Absolute(fs::path& path) const {
    if (!path.empty() && path.is_relative())
      path = (data::Absolute(file_.path()).parent_path() / path).lexically_normal();
  }

  // A path of the recipe begins at its folder. What is not there may be a name on the Hub.
  void FindModelOf(RunConfig& run) const {
    if (!model_.empty()) {
      run.model.folder = data::Absolute(model_).lexically_normal();
      return;
    }
    const std::string text = run.model.folder.string();
    Absolute(run.model.folder);
    if (text.empty() || data::Exists(run.model.folder)) return;
    const auto part = run.served.urls.empty() ? ModelPart::kWhole : ModelPart::kTokenizer;
    if (const fs::path found = FindModel(text, part); found != text) run.model.folder = found;
  }
  // Sets data set and oracle by the name or by what the file plainly holds, unless they are
  // `chosen`.
  void FindProblemsOf(ProblemSettings& problems, std::string_view split, bool chosen) {
    if (problems.file.empty()) return;
    const std::string text = problems.file.string();
    Absolute(problems.file);
    const auto [known, is_new] = found_.try_emplace({text, std::string(split)}, problems);
    ProblemSettings& found = known->second;
    if (is_new) {  // one note for all stages
      if (!data::Exists(problems.file)) {
        found.file = text;
        FindProblems(found, split);
        if (found.file == text) found.file = problems.file;
      }
      if (const std::string set = found.options.dataset; !chosen && !set.empty())
        UseDataset(set, found);
      else if (!chosen)
        GuessDataset(found);
    }
    problems.file = found.file;
    if (chosen) return;
    const ProblemSetOptions own = problems.options;
    problems.options = found.options;
    problems.options.limit = own.limit;
    problems.options.shard = own.shard;
    problems.oracle = found.oracle;
  }

  // Returns whether the tables say how the problems to search are read or judged.
  static bool Chooses(const std::vector<const toml::table*>& tables) {
    return std::ranges::any_of(tables, [](const toml::table* table) {
      const auto problems = (*table)["run"]["problems"];
      return problems["oracle"] || problems["dataset"] || problems["id_key"] ||
             problems["question_key"] || problems["answer_key"];
    });
  }

  RecipeFile file_;
  fs::path model_;
  std::string baseline_;
  std::map<std::pair<std::string, std::string>, ProblemSettings> found_;  // by file and split
  std::map<std::string, std::vector<Problem>> problems_;                  // see ProblemsOf
};

}  // namespace

TrainSettings TrainingOf(const Stage& stage, const ModelSettings& model) {
  TrainSettings train = stage.train;
  train.model = model;
  train.model.dtype = stage.train.model.dtype;
  train.model.base_weights = stage.train.model.base_weights;
  if (!model.adapter.empty()) train.lora.rank = 0;  // the adapter has a rank
  return train;
}

Recipe LoadRecipe(const fs::path& path, const fs::path& model, const std::string& baseline) {
  return Reader(path, model, baseline).Read();
}

}  // namespace pivotal::experiments
