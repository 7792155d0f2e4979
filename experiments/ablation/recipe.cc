// Apache-2.0.
#include "experiments/ablation/recipe.h"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <toml++/toml.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/text.h"
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

constexpr double kMostShare = 1000;  // of the number of pivotal pairs

// Reads one recipe; every Error names the file and, if known, the line.
class Reader {
 public:
  Reader(const fs::path& path, const fs::path& model, const std::string& baseline)
      : path_(path), model_(model), baseline_(baseline) {
    try {
      root_ = toml::parse(data::ReadFile(path), path.string());
    } catch (const toml::parse_error& error) {
      Fail("{}:{}: {}", path.string(), error.source().begin.line, error.description());
    }
  }

  Recipe Read() {
    CheckKeys(root_, "",
              {"title", "question", "seeds", "baseline", "samples", "refusal", "run", "train",
               "eval", "arm"});
    Recipe recipe;
    recipe.title = Text(root_, "title", path_.stem().string());
    recipe.question = Text(root_, "question", "");
    recipe.eval.samples = static_cast<int32_t>(Integer(root_, "samples", recipe.eval.samples, 1));
    recipe.eval.refusal = Text(root_, "refusal", "");
    if (const toml::node* seeds = root_.get("seeds")) {
      const auto values = Integers(*seeds, "seeds", 0);
      recipe.seeds.assign(values.begin(), values.end());
    }
    const Stage base = StageOf({}, "the recipe");
    recipe.model = base.run.model;
    if (recipe.model.folder.empty())
      Fail("{}: the recipe names no model: set run.model.folder, or take --model", path_.string());
    recipe.sampling = base.run.sampling;
    ReadSets(recipe, base.run.problems, Chooses({&root_}));
    ReadArms(recipe, base.run.sampling.weights);
    recipe.baseline = Text(root_, "baseline", recipe.arms.front().name);
    if (!baseline_.empty()) recipe.baseline = baseline_;
    if (std::ranges::find(recipe.arms, recipe.baseline, &Arm::name) == recipe.arms.end())
      Fail("{}: baseline \"{}\" is not the name of an arm{}", path_.string(), recipe.baseline,
           PointOf(recipe));
    for (const EvalSet& set : recipe.sets) WarnOfSharedProblems(recipe, set);
    return recipe;
  }

 private:
  [[noreturn]] void FailAt(const toml::node& node, const std::string& what) const {
    Fail("{}:{}: {}", path_.string(), node.source().begin.line, what);
  }

  void CheckKeys(const toml::table& table, const std::string& where,
                 std::initializer_list<std::string_view> known) const {
    for (const auto& [key, value] : table) {
      if (std::ranges::find(known, key.str()) != known.end()) continue;
      FailAt(value, fmt::format("{}{} is no key of a recipe{}", where, key.str(),
                                data::DidYouMean(key.str(), {known.begin(), known.end()})));
    }
  }

  std::string Text(const toml::table& table, std::string_view key,
                   const std::string& otherwise) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) return otherwise;
    if (!node->is_string()) FailAt(*node, fmt::format("{} must be a string", key));
    return *node->value<std::string>();
  }

  int64_t Integer(const toml::table& table, std::string_view key, int64_t otherwise,
                  int64_t least) const {
    static constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    const toml::node* node = table.get(key);
    if (node == nullptr) return otherwise;
    if (!node->is_integer() || *node->value<int64_t>() < least || *node->value<int64_t>() > kMost)
      FailAt(*node, fmt::format("{} must be an integer from {} to {}", key, least, kMost));
    return *node->value<int64_t>();
  }

  double Number(const toml::table& table, std::string_view key, double otherwise,
                double least) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) return otherwise;
    const auto value = node->is_number() ? node->value<double>() : std::nullopt;
    if (!value || !(*value >= least))
      FailAt(*node, fmt::format("{} must be a number, at least {}", key, least));
    return *value;
  }

  // Returns the tables of the array of tables `key`, or none if there is no such key.
  std::vector<const toml::table*> Tables(const toml::table& table, std::string_view key) const {
    std::vector<const toml::table*> tables;
    const toml::node* node = table.get(key);
    if (node == nullptr) return tables;
    if (!node->is_array_of_tables())
      FailAt(*node, fmt::format("{} must be an array of tables: [[{}]]", key, key));
    for (const toml::node& item : *node->as_array()) tables.push_back(item.as_table());
    return tables;
  }

  // Returns what to name in place of the baseline, which is no arm.
  static std::string PointOf(const Recipe& recipe) {
    const auto point = std::ranges::find(recipe.arms, recipe.baseline, &Arm::curve);
    if (point != recipe.arms.end())
      return fmt::format(", but of a curve; take one of its arms, such as \"{}\"", point->name);
    std::vector<std::string> names;
    for (const Arm& arm : recipe.arms) names.push_back(arm.name);
    return data::DidYouMean(recipe.baseline, names);
  }

  // Returns the integers of an array that has at least one and none twice.
  std::vector<int64_t> Integers(const toml::node& node, std::string_view key, int64_t least) const {
    if (!node.is_array() || node.as_array()->empty())
      FailAt(node, fmt::format("{} must be an array of integers, at least one of them", key));
    std::vector<int64_t> values;
    for (const toml::node& item : *node.as_array()) {
      if (!item.is_integer() || *item.value<int64_t>() < least)
        FailAt(item, fmt::format("{} must be integers, at least {}", key, least));
      values.push_back(*item.value<int64_t>());
    }
    if (std::set<int64_t>(values.begin(), values.end()).size() < values.size())
      FailAt(node, fmt::format("{} must differ from one another", key));
    return values;
  }

  // Changes the settings that the tables hold under `key`; later tables override earlier ones.
  template <typename Settings>
  void Apply(std::string_view key, const std::vector<const toml::table*>& tables,
             Settings& settings) const {
    for (const toml::table* table : tables) {
      const toml::node* node = table->get(key);
      if (node == nullptr) continue;
      if (!node->is_table()) FailAt(*node, fmt::format("{} must be a table", key));
      ApplySettings(
          SettingsFile::OfTable(*node->as_table(), path_.string(), fmt::format("{}.", key)),
          settings);
    }
  }

  Stage StageOf(const std::vector<const toml::table*>& own, const std::string& where) {
    std::vector<const toml::table*> tables = {&root_};
    tables.insert(tables.end(), own.begin(), own.end());
    Stage stage;
    Apply("run", tables, stage.run);
    for (const toml::table* table : tables) {
      if (const toml::table* model = (*table)["train"]["model"].as_table())
        CheckKeys(*model, "train.model.", {"dtype"});
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
        own.empty() ? std::vector<const toml::table*>() : Tables(*own.back(), "pairs");
    for (const toml::table* part : parts) stage.parts.push_back(PartOf(*part, stage));
    if (!own.empty() && stage.parts.empty()) {
      if (stage.train.UsesAdvantages())
        Fail("{}: {}: train.loss.method = \"ppo\" needs pairs with the source \"{}\"",
             path_.string(), where, fmt::join(kAdvantageKinds, "\" or \""));
      if (stage.run.strategy == "none")
        Fail("{}: {}: run.search.strategy = \"none\" finds no pivotal tokens; choose other pairs",
             path_.string(), where);
      stage.parts.push_back({});
    }
    stage.pairs.gap = stage.run.search.gap;
    if (!own.empty() && stage.run.problems.file.empty())
      Fail("{}: {} has no problem file to search: set run.problems.file", path_.string(), where);
    return stage;
  }

  // Throws Error if a table has settings that arms and seeds have.
  void RefuseSetByArms(const toml::table& table) const {
    const auto refuse = [&](const auto& value, const char* what) {
      if (value) FailAt(*value.node(), what);
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
        Fail("{}: arm \"{}\": {}", path_.string(), arm.name, error.what());
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
            path_.string(), arm.name, shared, problems.size(), set.name);
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
        FailAt(value,
               fmt::format("train.loss.{} has no effect beside train.loss.sft = true", key.str()));
  }

  // Throws Error if a part has a key that its source does not read.
  void RequireReadBySource(const toml::table& table, const std::string& source) const {
    constexpr std::pair<const char*, const char*> kReaders[] = {
        {"refusal", "refusal"},      {"judge", "judged"},  {"judge_responses", "judged"},
        {"judge_timeout", "judged"}, {"margin", "judged"}, {"threshold", "step"}};
    for (const auto& [key, reader] : kReaders)
      if (table.contains(key) && source != reader)
        FailAt(*table.get(key), fmt::format("{} belongs to pairs of source \"{}\"", key, reader));
  }

  PairsPart PartOf(const toml::table& table, const Stage& stage) const {
    const TrainSettings& train = stage.train;
    CheckKeys(table, "pairs.",
              {"source", "count", "share", "refusal", "judge", "judge_responses", "judge_timeout",
               "margin", "threshold"});
    PairsPart part;
    part.source = Text(table, "source", part.source);
    auto known = OtherSources();
    known.insert(known.end(), {"pivotal", "right"});
    known.insert(known.end(), kAdvantageKinds.begin(), kAdvantageKinds.end());
    if (std::ranges::find(known, part.source) == known.end())
      FailAt(table, fmt::format("pairs of \"{}\" are unknown: take one of {}", part.source,
                                fmt::join(known, ", ")));
    const bool has_advantages =
        std::ranges::find(kAdvantageKinds, part.source) != kAdvantageKinds.end();
    if (train.UsesAdvantages() != has_advantages)
      FailAt(table, fmt::format("\"{}\" and train.loss.method = \"ppo\" go together: it trains on "
                                "responses with advantages, and nothing else does",
                                fmt::join(kAdvantageKinds, "\", \"")));
    if (train.sft && part.source != "right" && part.source != "refusal")
      FailAt(table,
             "train.loss.sft = true trains on \"right\" responses, or on the chosen sides of "
             "\"refusal\" pairs");
    if (!train.sft && part.source == "right")
      FailAt(table,
             "\"right\" responses are for train.loss.sft = true: there is nothing to compare them "
             "with");
    if (table.contains("count")) {
      const bool all = table["count"].value<std::string>() == "all";
      part.count = all ? 0 : static_cast<int32_t>(Integer(table, "count", 0, 1));
      if (table.contains("share")) FailAt(table, "a part has either a count or a share, not both");
    }
    if (stage.run.strategy == "none") {
      static constexpr std::string_view kOfSearch[] = {"pivotal", "critical", "step", "curve"};
      if (std::ranges::find(kOfSearch, part.source) != std::end(kOfSearch))
        FailAt(table, fmt::format("\"{}\" needs a search, and run.search.strategy is \"none\"",
                                  part.source));
      if (!part.count)
        FailAt(table,
               "with run.search.strategy = \"none\" a part needs a count: there are no "
               "pivotal pairs to take a share of");
    }
    RequireReadBySource(table, part.source);
    part.share = Number(table, "share", part.share, 0);
    if (!(part.share > 0 && part.share <= kMostShare))
      FailAt(table, fmt::format("share must be above 0 and at most {}", kMostShare));
    part.other.refusal = Text(table, "refusal", part.other.refusal);
    part.other.judge = Text(table, "judge", "");
    part.other.judge_responses =
        static_cast<int32_t>(Integer(table, "judge_responses", part.other.judge_responses, 2));
    part.other.judge_timeout = Number(table, "judge_timeout", part.other.judge_timeout, 0);
    part.other.margin = Number(table, "margin", part.other.margin, 0);
    part.other.threshold = Number(table, "threshold", part.other.threshold, 0);
    if (!(part.other.threshold > 0 && part.other.threshold <= 1))
      FailAt(table, "threshold must be above 0 and at most 1");
    if (part.source == "judged" && part.other.judge.empty())
      FailAt(table, "\"judged\" pairs need judge, a command that scores responses");
    return part;
  }

  // `chosen`: the recipe says how the problems of `usual` are read and judged.
  void ReadSets(Recipe& recipe, const ProblemSettings& usual, bool chosen) {
    for (const toml::table* table : Tables(root_, "eval")) {
      CheckKeys(*table, "eval.", {"name", "file", "dataset", "limit"});
      EvalSet set;
      set.problems = usual;
      set.problems.options.shard.clear();
      if (!chosen) {
        const ProblemSettings plain;
        set.problems.options.dataset = plain.options.dataset;
        set.problems.oracle = plain.oracle;
      }
      set.problems.file = Text(*table, "file", "");
      if (set.problems.file.empty()) FailAt(*table, "[[eval]] needs a problem file");
      const std::string file = set.problems.file;
      FindProblemsOf(set.problems, "test", chosen || table->contains("dataset"));
      if (const std::string dataset = Text(*table, "dataset", ""); !dataset.empty()) {
        try {
          UseDataset(dataset, set.problems);
        } catch (const Error& error) {
          FailAt(*table->get("dataset"), error.what());
        }
      }
      set.problems.options.limit = static_cast<std::size_t>(Integer(*table, "limit", 0, 0));
      try {
        set.problem_count = std::ssize(ProblemsOf(set.problems, recipe.eval.refusal));
      } catch (const Error& error) {
        FailAt(*table, error.what());
      }
      set.name = Text(*table, "name", fs::path(file).stem().string());
      if (set.name.empty()) FailAt(*table, "the name of an [[eval]] set is empty");
      if (std::ranges::find(recipe.sets, set.name, &EvalSet::name) != recipe.sets.end())
        FailAt(*table,
               fmt::format("two [[eval]] sets are named \"{}\"; give one another name", set.name));
      recipe.sets.push_back(std::move(set));
    }
    if (recipe.sets.empty())
      Fail("{}: a recipe needs an [[eval]] set to compare arms on", path_.string());
  }

  void ReadArms(Recipe& recipe, const std::string& weights) {
    std::set<std::string> names;
    for (const toml::table* table : Tables(root_, "arm")) {
      CheckKeys(*table, "arm.", {"name", "after", "stage", "weights", "curve", "problems"});
      Arm arm;
      arm.name = Text(*table, "name", "");
      if (arm.name.empty()) FailAt(*table, "an arm needs a name");
      if (data::Visible(arm.name, "") != arm.name)
        FailAt(*table, "the name of an arm has a character that can't be shown");
      arm.weights = Text(*table, "weights", weights);
      if (arm.weights != "auto" && !kernels::FindWeightType(arm.weights))
        FailAt(*table, fmt::format("weights \"{}\" are unknown: take auto or one of {}",
                                   arm.weights, fmt::join(kernels::WeightTypeNames(), ", ")));
      if (const std::string after = Text(*table, "after", ""); !after.empty()) {
        const auto before = std::ranges::find(recipe.arms, after, &Arm::name);
        if (before == recipe.arms.end())
          FailAt(*table->get("after"), fmt::format("no arm above is named \"{}\"", after));
        arm.stages = before->stages;
      }
      const std::size_t inherited = arm.stages.size();
      for (const toml::table* stage : Tables(*table, "stage")) {
        CheckKeys(*stage, "stage.", {"pairs", "run", "train"});
        if ((*stage)["run"]["model"])
          FailAt(*stage, "a stage has the model of its arm; set run.model for the whole recipe");
        arm.stages.push_back(StageOf({stage}, fmt::format("arm \"{}\"", arm.name)));
      }
      for (Arm& point : PointsOf(std::move(arm), inherited, *table)) {
        if (!names.insert(point.name).second)
          FailAt(*table, fmt::format("two arms are named \"{}\"", point.name));
        CheckStages(point, inherited);
        recipe.arms.push_back(std::move(point));
      }
    }
    if (recipe.arms.size() < 2) Fail("{}: a comparison needs two [[arm]]s or more", path_.string());
  }

  // Returns the arm for each number of `problems`, which the stages from `first` on search, or the
  // arm itself if the table has no such key.
  std::vector<Arm> PointsOf(Arm arm, std::size_t first, const toml::table& table) {
    arm.curve = Text(table, "curve", "");
    const toml::node* problems = table.get("problems");
    if (problems == nullptr) return {std::move(arm)};
    if (arm.stages.size() == first)
      FailAt(*problems, "an arm without stages of its own searches no problems");
    for (const toml::table* stage : Tables(table, "stage"))
      if (const auto limit = (*stage)["run"]["problems"]["limit"])
        FailAt(*limit.node(),
               "problems sets the number of problems of all its stages; "
               "leave run.problems.limit out");
    if (arm.curve.empty()) arm.curve = arm.name;
    std::vector<Arm> points;
    for (const int64_t count : Integers(*problems, "problems", 1)) {
      points.push_back(arm);
      points.back().name = fmt::format("{} ({})", arm.name, count);
      for (Stage& stage : std::span(points.back().stages).subspan(first)) {
        stage.run.problems.options.limit = static_cast<std::size_t>(count);
        if (const auto has = std::ssize(ProblemsOf(stage.run.problems)); has < count)
          FailAt(*problems, fmt::format("{} has {} problems, not {}",
                                        stage.run.problems.file.string(), has, count));
      }
    }
    return points;
  }

  void Absolute(fs::path& path) const {
    if (!path.empty() && path.is_relative())
      path = (data::Absolute(path_).parent_path() / path).lexically_normal();
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

  fs::path path_, model_;
  std::string baseline_;
  toml::table root_;
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
