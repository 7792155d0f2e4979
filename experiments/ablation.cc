// Apache-2.0.
#include "experiments/ablation.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <fmt/ranges.h>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/json_input.h"
#include "data/pair_file.h"
#include "data/run_lock.h"
#include "experiments/report_page.h"
#include "experiments/search_run.h"
#include "experiments/train_run.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

std::string KeyOf(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += fmt::format("{}:{}", part.size(), part);
  return data::Sha256OfText(text).substr(0, 16);
}

const char* NameOf(Step::Kind kind) {
  switch (kind) {
    case Step::Kind::kSearch: return "search";
    case Step::Kind::kPairs: return "pairs";
    case Step::Kind::kTrain: return "train";
    case Step::Kind::kEval: return "eval";
  }
  return "";
}

// A model at some point of an arm.
struct ModelAt {
  ModelSettings settings;
  std::string key;
};

// Walks through arms and seeds; what is done at each step is the visitor's business.
class Walk {
 public:
  // Called for every step in order, equal ones too: a visitor keeps what it has.
  struct Visitor {
    virtual ~Visitor() = default;
    virtual void Search(const Step& step, const RunConfig& config) = 0;
    virtual void Pairs(const Step& step, const fs::path& run, const Stage& stage, uint64_t seed) = 0;
    virtual void Train(const Step& step, const TrainSettings& settings) = 0;
    virtual void Eval(const Step& step, const ModelSettings& model, const EvalSet& set, uint64_t seed,
                      const std::string& arm) = 0;
  };

  Walk(const Recipe& recipe, const fs::path& output) : recipe_(recipe), output_(output) {
    base_.settings = recipe.model;
    base_.key = KeyOf({"model", ModelFingerprint(recipe.model), recipe.model.dtype, recipe.model.prompt_format,
                       recipe.model.system});
  }

  fs::path FolderOf(const Step& step) const {
    return output_ / "steps" / fmt::format("{}-{}", NameOf(step.kind), step.key);
  }

  void Run(Visitor& visitor) {
    for (const uint64_t seed : recipe_.seeds) {
      for (const Arm& arm : recipe_.arms) {
        const std::string where = fmt::format("{}, seed {}", arm.name, seed);
        ModelAt model = base_;
        for (const Stage& stage : arm.stages) model = Through(stage, std::move(model), seed, where, visitor);
        for (const EvalSet& set : recipe_.sets) {
          SamplingSettings sampling = recipe_.sampling;
          sampling.seed = seed;
          RunConfig config;
          config.sampling = sampling;
          config.problems = set.problems;
          const Step step = StepOf(Step::Kind::kEval, {model.key, SettingsText(config), FileKey(set.problems.file),
                                                       std::to_string(recipe_.samples)},
                                   fmt::format("{}: eval on {}", where, set.name));
          visitor.Eval(step, model.settings, set, seed, arm.name);
        }
      }
    }
  }

 private:
  ModelAt Through(const Stage& stage, ModelAt model, uint64_t seed, const std::string& where, Visitor& visitor) {
    RunConfig run = stage.run;
    run.model = model.settings;
    run.sampling.seed = seed;
    const Step search = StepOf(Step::Kind::kSearch, {model.key, SettingsText(run), FileKey(run.problems.file)},
                               where + ": search");
    visitor.Search(search, run);
    std::vector<std::string> parts = {search.key, std::to_string(seed), fmt::format("{}", stage.pairs.gap)};
    for (const PairsPart& part : stage.parts) parts.push_back(fmt::format("{} {}", part.source, part.count));
    const Step pairs = StepOf(Step::Kind::kPairs, parts, where + ": pairs");
    visitor.Pairs(pairs, FolderOf(search), stage, seed);
    TrainSettings train = stage.train;
    train.model = model.settings;
    train.data = FolderOf(pairs) / "pairs.jsonl";
    train.options.seed = seed;
    const Step step = StepOf(Step::Kind::kTrain, {model.key, pairs.key, SettingsText(train)}, where + ": train");
    visitor.Train(step, train);
    ModelAt trained = {model.settings, step.key};
    trained.settings.folder = FolderOf(step) / "model";
    return trained;
  }

  Step StepOf(Step::Kind kind, std::vector<std::string> parts, std::string what) {
    parts.insert(parts.begin(), NameOf(kind));
    Step step{kind, KeyOf(parts), std::move(what)};
    std::ifstream done(FolderOf(step) / "done");
    step.done = static_cast<bool>(done >> step.seconds);
    return step;
  }

  // A problem file by its bytes.
  const std::string& FileKey(const fs::path& path) {
    std::string& key = files_[path.string()];
    if (key.empty()) key = data::Sha256OfFile(path);
    return key;
  }

  const Recipe& recipe_;
  fs::path output_;
  ModelAt base_;
  std::map<std::string, std::string> files_;
};

class Planner : public Walk::Visitor {
 public:
  void Search(const Step& step, const RunConfig&) override { Add(step); }
  void Pairs(const Step& step, const fs::path&, const Stage&, uint64_t) override { Add(step); }
  void Train(const Step& step, const TrainSettings&) override { Add(step); }
  void Eval(const Step& step, const ModelSettings&, const EvalSet&, uint64_t, const std::string&) override { Add(step); }
  std::vector<Step> steps;

 private:
  void Add(const Step& step) {
    if (std::ranges::find(steps, step.key, &Step::key) == steps.end()) steps.push_back(step);
  }
};

std::vector<data::PreferencePair> PairsOfPart(const fs::path& run, const PairsPart& part,
                                              const std::vector<data::PreferencePair>& pivotal, uint64_t seed) {
  if (part.source == "pivotal") {
    auto pairs = pivotal;
    if (part.count > 0 && part.count < std::ssize(pairs)) pairs.resize(static_cast<std::size_t>(part.count));
    return pairs;
  }
  const int32_t count = part.count > 0 ? part.count : static_cast<int32_t>(pivotal.size());
  return OtherPairsOfRun(run, {part.source == "right" ? "full" : part.source, count, seed});
}

void SaveCompletions(const fs::path& path, const std::vector<data::PreferencePair>& pairs) {
  data::FileSink file(path);
  for (const data::PreferencePair& pair : pairs)
    file.Write(ordered_json{{"prompt_ids", pair.prompt_ids}, {"completion_ids", pair.chosen_ids}}.dump() + "\n");
  file.Commit();
}

// Of one arm and seed on one set.
struct Measured {
  std::string arm, set;
  uint64_t seed;
  Accuracy accuracy;
  int64_t pairs, tokens;
};

class Runner : public Walk::Visitor {
 public:
  Runner(const Recipe& recipe, const Walk& walk, std::size_t total, Progress& progress)
      : recipe_(recipe), walk_(walk), total_(total), progress_(progress) {}

  void Search(const Step& step, const RunConfig& config) override {
    const fs::path run = walk_.FolderOf(step);
    Do(step, [&] {
      if (fs::exists(run / "run.toml")) {
        ResumeSearch(run, {}, progress_);
      } else {
        fs::remove_all(run);
        RunSearch(config, run, progress_);
      }
    });
    tokens_ += Remembered(step.key, [&] { return GeneratedTokens(data::TraceStore(run)); });
  }

  void Pairs(const Step& step, const fs::path& run, const Stage& stage, uint64_t seed) override {
    const fs::path file = walk_.FolderOf(step) / "pairs.jsonl";
    Do(step, [&] {
      fs::create_directories(file.parent_path());
      const auto pivotal = PairsOfRun(run, stage.pairs);
      std::vector<data::PreferencePair> pairs;
      for (const PairsPart& part : stage.parts) {
        auto more = PairsOfPart(run, part, pivotal, seed);
        std::move(more.begin(), more.end(), std::back_inserter(pairs));
      }
      if (pairs.empty()) Fail("{}: no pair was found in {}; search more problems", step.what, run.string());
      if (stage.train.sft) {
        SaveCompletions(file, pairs);
      } else {
        data::SavePairs(file, pairs);
      }
    });
    pairs_ += Remembered(step.key, [&] { return data::CountJsonLines(file); });
  }

  void Train(const Step& step, const TrainSettings& settings) override {
    const fs::path output = walk_.FolderOf(step) / "model";
    Do(step, [&] {
      TrainSettings resumed;
      if (HoldsResult(output)) return;
      if (fs::exists(output / "train.toml")) {
        ResumeTraining(output, resumed, progress_);
      } else {
        fs::remove_all(output);
        fs::create_directories(output.parent_path());
        RunTraining(settings, output, progress_);
      }
    });
  }

  void Eval(const Step& step, const ModelSettings& model, const EvalSet& set, uint64_t seed,
            const std::string& arm) override {
    const fs::path file = walk_.FolderOf(step) / "scores.jsonl";
    Do(step, [&] {
      fs::create_directories(file.parent_path());
      const auto oracle = pts::MakeOracle(set.problems.oracle, set.problems.oracle_options);
      const auto problems = data::LoadProblems(set.problems.file, set.problems.options);
      CheckAnswers(*oracle, problems, set.problems);
      SamplingSettings sampling = recipe_.sampling;
      sampling.seed = seed;
      SaveScores(Evaluate(LoadModel(model, model::WeightUse::kRollouts), problems, *oracle, sampling, recipe_.samples,
                          progress_),
                 file);
    });
    measured.push_back({arm, set.name, seed, LoadScores(file), pairs_, tokens_});
    if (&set == &recipe_.sets.back()) pairs_ = tokens_ = 0;  // the next arm begins
  }

  std::vector<Measured> measured;
  int64_t steps = 0, reused = 0;

 private:
  // Does a step unless it is done, here or by an earlier call.
  template <typename F>
  void Do(const Step& step, F&& work) {
    if (finished_.contains(step.key)) return;
    if (step.done) {
      ++reused;
    } else {
      spdlog::info("step {} of {}: {}", steps + reused + 1, total_, step.what);
      const auto start = std::chrono::steady_clock::now();
      work();
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      data::FileSink done(walk_.FolderOf(step) / "done");
      done.Write(fmt::format("{:.3f}\n", seconds));
      done.Commit();
      ++steps;
    }
    finished_.insert(step.key);
  }

  template <typename F>
  int64_t Remembered(const std::string& key, F&& count) {
    const auto found = counts_.find(key);
    return found != counts_.end() ? found->second : counts_[key] = count();
  }

  const Recipe& recipe_;
  const Walk& walk_;
  std::size_t total_;
  Progress& progress_;
  std::set<std::string> finished_;
  std::map<std::string, int64_t> counts_;
  int64_t pairs_ = 0, tokens_ = 0;  // of the arm and seed at work
};

// Each problem's score, averaged over the seeds.
struct Scores {
  std::vector<double> sampled, greedy;
};

Scores OverSeeds(const std::vector<const Measured*>& runs) {
  Scores scores;
  const auto seeds = static_cast<double>(runs.size());
  scores.sampled.resize(runs.front()->accuracy.problems.size());
  scores.greedy.resize(scores.sampled.size());
  for (const Measured* run : runs) {
    for (std::size_t i = 0; i < scores.sampled.size(); ++i) {
      scores.sampled[i] += run->accuracy.problems[i].Mean() / seeds;
      scores.greedy[i] += (run->accuracy.problems[i].greedy ? 1.0 : 0.0) / seeds;
    }
  }
  return scores;
}

MeanInterval Difference(const std::vector<double>& from, const std::vector<double>& to) {
  std::vector<double> changes;
  for (std::size_t i = 0; i < from.size(); ++i) changes.push_back(to[i] - from[i]);
  return BootstrapMean(changes);
}

std::vector<ArmScore> Compared(const Recipe& recipe, const std::vector<Measured>& measured) {
  std::vector<ArmScore> all;
  for (const EvalSet& set : recipe.sets) {
    const auto runs_of = [&](const std::string& arm) {
      std::vector<const Measured*> runs;
      for (const Measured& run : measured)
        if (run.arm == arm && run.set == set.name) runs.push_back(&run);
      return runs;
    };
    const Scores baseline = OverSeeds(runs_of(recipe.baseline));
    for (const Arm& arm : recipe.arms) {
      const auto runs = runs_of(arm.name);
      const Scores scores = OverSeeds(runs);
      ArmScore score{arm.name, set.name, BootstrapMean(scores.sampled), BootstrapMean(scores.greedy), {}, {}};
      if (arm.name != recipe.baseline) {
        score.sampled_change = Difference(baseline.sampled, scores.sampled);
        score.greedy_change = Difference(baseline.greedy, scores.greedy);
      }
      for (const Measured* run : runs) {
        score.generated_tokens += static_cast<double>(run->tokens) / static_cast<double>(runs.size());
        score.pairs += static_cast<double>(run->pairs) / static_cast<double>(runs.size());
      }
      all.push_back(std::move(score));
    }
  }
  return all;
}

void SaveResults(const fs::path& path, const std::vector<Measured>& measured) {
  data::FileSink file(path);
  for (const Measured& run : measured)
    file.Write(ordered_json{{"arm", run.arm},
                            {"seed", run.seed},
                            {"set", run.set},
                            {"problems", run.accuracy.problems.size()},
                            {"sampled", run.accuracy.Sampled().mean},
                            {"greedy", run.accuracy.Greedy().mean},
                            {"pairs", run.pairs},
                            {"generated_tokens", run.tokens}}
                   .dump() + "\n");
  file.Commit();
}

// The comparisons as report.html shows them.
std::string Page(const Recipe& recipe, const AblationResult& result) {
  const auto row = [](const std::string& name, const MeanInterval& value) {
    return ordered_json{{"name", name}, {"mean", 100 * value.mean}, {"low", 100 * value.low}, {"high", 100 * value.high}};
  };
  ordered_json comparisons = ordered_json::array();
  for (const EvalSet& set : recipe.sets) {
    ordered_json rows = ordered_json::array(), differences = ordered_json::array();
    for (const ArmScore& score : result.scores) {
      if (score.set != set.name) continue;
      rows.push_back(row(score.arm, score.sampled));
      if (score.arm != recipe.baseline) differences.push_back(row(score.arm, score.sampled_change));
    }
    comparisons.push_back({{"title", set.name},
                           {"unit", "%"},
                           {"note", fmt::format("Sampled accuracy; differences from {} on the same problems, {} seeds, 95% "
                                                "intervals by a paired bootstrap over problems.",
                                                recipe.baseline, recipe.seeds.size())},
                           {"rows", rows},
                           {"differences", differences}});
  }
  const ordered_json facts = ordered_json::array({ordered_json::array({"arms", std::to_string(recipe.arms.size())}),
                                                  ordered_json::array({"seeds", std::to_string(recipe.seeds.size())}),
                                                  ordered_json::array({"comparisons", std::to_string(result.comparisons)})});
  const ordered_json page = {{"title", recipe.title}, {"version", PIVOTAL_VERSION}, {"settings", ordered_json::array()},
                             {"facts", facts}, {"problems", ordered_json::array()}, {"comparisons", comparisons}};
  return ReportPage(page.dump(-1, ' ', false, ordered_json::error_handler_t::replace), {});
}

}  // namespace

std::vector<Step> PlanAblation(const Recipe& recipe, const fs::path& output) {
  Walk walk(recipe, output);
  Planner planner;
  walk.Run(planner);
  return planner.steps;
}

AblationResult RunAblation(const Recipe& recipe, const fs::path& output, Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  const std::size_t total = PlanAblation(recipe, output).size();
  fs::create_directories(output / "steps");
  const data::RunLock lock(output);
  Walk walk(recipe, output);
  Runner runner(recipe, walk, total, progress);
  walk.Run(runner);
  AblationResult result;
  result.scores = Compared(recipe, runner.measured);
  result.comparisons = 2 * std::ssize(recipe.sets) * (std::ssize(recipe.arms) - 1);
  result.steps = runner.steps;
  result.reused = runner.reused;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  SaveResults(output / "results.jsonl", runner.measured);
  for (const auto& [name, text] : {std::pair{"results.md", AblationTable(recipe, result)},
                                   std::pair{"report.html", Page(recipe, result)}}) {
    data::FileSink file(output / name);
    file.Write(text);
    file.Commit();
  }
  return result;
}

std::string AblationTable(const Recipe& recipe, const AblationResult& result) {
  const auto cell = [](const MeanInterval& v) {
    return fmt::format("{:.1f} [{:.1f}, {:.1f}]", 100 * v.mean, 100 * v.low, 100 * v.high);
  };
  const auto change = [](const MeanInterval& v) {
    return fmt::format("{:+.1f} [{:+.1f}, {:+.1f}]", 100 * v.mean, 100 * v.low, 100 * v.high);
  };
  std::string text = fmt::format("# {}\n", recipe.title);
  if (!recipe.question.empty()) text += fmt::format("\n{}\n", recipe.question);
  for (const EvalSet& set : recipe.sets) {
    text += fmt::format("\n**{}**\n\n| arm | sampled, % | temperature 0, % | sampled, change from {} | temperature 0, change | "
                        "pairs | generated tokens |\n|---|---|---|---|---|---|---|\n", set.name, recipe.baseline);
    for (const ArmScore& s : result.scores) {
      if (s.set != set.name) continue;
      const bool base = s.arm == recipe.baseline;
      text += fmt::format("| {} | {} | {} | {} | {} | {:.0f} | {:.0f} |\n", s.arm, cell(s.sampled), cell(s.greedy),
                          base ? "" : change(s.sampled_change), base ? "" : change(s.greedy_change), s.pairs,
                          s.generated_tokens);
    }
  }
  return text + fmt::format("\nSeeds {}; pairs and generated tokens are means over them. 95% intervals: percentile bootstrap over "
                            "problems, paired for changes; {} changes are compared, none corrected for that.\n",
                            fmt::join(recipe.seeds, ", "), result.comparisons);
}

}  // namespace pivotal::experiments
