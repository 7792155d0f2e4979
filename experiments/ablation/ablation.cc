// Apache-2.0.
#include "experiments/ablation/ablation.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/json_input.h"
#include "data/base/run_lock.h"
#include "data/base/temp_folder.h"
#include "data/traces/trace_store.h"
#include "experiments/ablation/plan_power.h"
#include "experiments/search/run_config.h"
#include "experiments/search/run_pairs.h"
#include "experiments/search/run_rewards.h"
#include "experiments/search/search_run.h"
#include "experiments/settings/loading.h"
#include "experiments/train/train_run.h"
#include "kernels/philox.h"
#include "pivotal/pairs.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

// Returns `count` random examples, without replacement, in the order that they had; 0: all.
// `stream` names the draws.
template <typename Example>
std::vector<Example> RandomSubset(std::vector<Example> examples, int32_t count, uint64_t seed,
                                  const char* stream) {
  kernels::RandomStream random(seed, kernels::MixStream(0, stream));
  if (count > 0) kernels::LeaveRandom(examples, static_cast<std::size_t>(count), random);
  return examples;
}

// Returns how many examples a part has at most, 0: as many as there are; nothing if it has none.
std::optional<int32_t> CountOf(const PairsPart& part, std::size_t pivotal) {
  if (part.count) return part.count;
  const auto share = static_cast<int32_t>(std::lround(part.share * static_cast<double>(pivotal)));
  if (share > 0) return share;
  if (pivotal > 0)
    spdlog::warn("the pairs of source {} are none: {} of {} pivotal pairs rounds to 0", part.source,
                 part.share, pivotal);
  return std::nullopt;
}

std::vector<PreferencePair> PairsOfPart(const fs::path& run, const PairsPart& part,
                                        const std::vector<PreferencePair>& pivotal, uint64_t seed) {
  const auto count = CountOf(part, pivotal.size());
  if (!count) return {};
  if (part.source == "pivotal") return RandomSubset(pivotal, *count, seed, "pivotal pairs");
  OtherPairs options = part.other;
  options.source = part.source == "right" ? "full" : part.source;
  options.count = *count;
  options.seed = seed;
  return OtherPairsOfRun(run, options);
}

std::vector<PromptCompletion> CompletionsOfPart(const fs::path& run, const PairsPart& part,
                                                const std::vector<PreferencePair>& pivotal,
                                                uint64_t seed) {
  if (part.source == "continuations") {
    const auto count = CountOf(part, pivotal.size());
    if (!count) return {};
    return RandomSubset(BuildRightCompletions(data::LoadRun(run), {.continuations = true}), *count,
                        seed, "right completions");
  }
  std::vector<PromptCompletion> completions;
  for (PreferencePair& pair : PairsOfPart(run, part, pivotal, seed))
    completions.push_back(
        {std::move(pair.prompt_ids), std::move(pair.chosen_ids), std::move(pair.id)});
  return completions;
}

std::vector<AdvantageExample> AdvantagesOfPart(const fs::path& run, const PairsPart& part,
                                               std::size_t pivotal, uint64_t seed) {
  const auto count = CountOf(part, pivotal);
  if (!count) return {};
  return RandomSubset(AdvantagesOfRun(run, part.source), *count, seed, "advantages");
}

// Returns the tokens that a training read, each epoch counted.
int64_t TrainedTokens(const fs::path& model) {
  int64_t tokens = 0;
  data::JsonLineReader log(model / "log.jsonl");
  nlohmann::json line;
  while (log.Next(line))
    if (line.contains("tokens"))
      tokens = std::max(tokens,
                        data::CheckedInteger(line["tokens"], 0, INT64_MAX, "tokens", log.Where()));
  return tokens;
}

// Holds the lock of a step while it lives. Calls that share a folder of steps wait for one another.
class StepLock {
 public:
  StepLock(const Step& step, fs::path path, const Progress& progress) : path_(std::move(path)) {
    for (bool said = false; !(file_ = data::TryLockFile(path_)); said = true) {
      if (!said) spdlog::info("{}: another process is at work on it; waiting", step.what);
      if (progress.StopRequested())
        throw Interrupted("stopped while another process was at work on a step");
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
  ~StepLock() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  StepLock(const StepLock&) = delete;
  StepLock& operator=(const StepLock&) = delete;

 private:
  fs::path path_;
  data::Descriptor file_;
};

// Does the steps that are not done and collects the scores.
class Runner : public StepVisitor {
 public:
  Runner(const Recipe& recipe, AblationWalk& walk, std::size_t total, Progress& progress)
      : recipe_(recipe), walk_(walk), total_(total), progress_(progress) {}

  void BeginArm(const Arm& arm, uint64_t seed) override {
    arm_ = arm.name;
    seed_ = seed;
    stage_ = 0;
    cost_ = {};
    paid_.clear();
  }

  void Search(const Step& step, const RunConfig& config) override {
    const fs::path run = walk_.FolderOf(step);
    Do(step, [&] {
      SearchResult result;
      if (data::Exists(run / "run.toml")) {
        result = ResumeSearch(run, {}, progress_);
      } else {
        data::RemoveAll(run);
        result = RunSearch(config, run, progress_);
      }
      WarnOfFailures(step, result.summary.verdicts);
    });
    if (!paid_.insert(step.key).second) return;  // an earlier stage has the same search
    cost_.seconds += finished_.at(step.key);
    cost_.generated_tokens += Remembered(step, [&] {
      const int64_t tokens = GeneratedTokens(run);
      if (tokens == 0) Fail("{}: the search has no traces", run.string());
      return tokens;
    });
  }

  void Pairs(const Step& step, const fs::path& run, const Stage& stage, uint64_t seed) override {
    const fs::path file = walk_.FolderOf(step) / "pairs.jsonl";
    Do(step, [&] {
      data::CreateFolders(file.parent_path());
      const auto pivotal = PairsOfRun(run, stage.pairs);
      if (stage.train.UsesAdvantages()) {
        std::vector<AdvantageExample> examples;
        for (const PairsPart& part : stage.parts)
          std::ranges::move(AdvantagesOfPart(run, part, pivotal.size(), seed),
                            std::back_inserter(examples));
        return SaveAdvantages(file, examples);
      }
      if (stage.train.sft) {
        std::vector<PromptCompletion> completions;
        for (const PairsPart& part : stage.parts)
          std::ranges::move(CompletionsOfPart(run, part, pivotal, seed),
                            std::back_inserter(completions));
        const auto tokenizer = LoadTokenizer(LoadRunConfig(run).model.folder);
        return SaveCompletions(file, completions, *tokenizer);
      }
      std::vector<PreferencePair> pairs;
      for (const PairsPart& part : stage.parts)
        std::ranges::move(PairsOfPart(run, part, pivotal, seed), std::back_inserter(pairs));
      SavePairs(file, pairs);
    });
    const double count = Remembered(step, [&] { return data::CountJsonLines(file); });
    if (count == 0) spdlog::warn("{}: there are no pairs; the model stays as it is", step.what);
    ++stage_;
    cost_.seconds += finished_.at(step.key);
    cost_.pairs += count;
  }

  void Train(const Step& step, const TrainSettings& settings) override {
    const fs::path output = walk_.FolderOf(step) / "model";
    Do(step, [&] {
      TrainSettings resumed;
      if (HoldsResult(output)) return;
      if (data::Exists(output / "train.toml")) {
        ResumeTraining(output, resumed, progress_);
      } else {
        data::RemoveAll(output);
        data::CreateFolders(output.parent_path());
        RunTraining(settings, output, progress_);
      }
    });
    cost_.seconds += finished_.at(step.key);
    cost_.trained_tokens += Remembered(step, [&] { return TrainedTokens(output); });
    if (seed_ == recipe_.seeds.front())
      trainings.push_back({stage_ > 1 ? fmt::format("{}, stage {}", arm_, stage_) : arm_, output});
  }

  void Eval(const Step& step, const ModelSettings& model, const EvalSet& set,
            const SamplingSettings& sampling) override {
    const fs::path file = walk_.ScoresFile(step);
    Do(step, [&] {
      data::CreateFolders(file.parent_path());
      data::FileSink scores(file);
      const Accuracy accuracy =
          EvaluateFile(model, set.problems, sampling, recipe_.eval, progress_, &scores);
      WarnOfFailures(step, accuracy.verdicts);
      SaveScores(accuracy, scores);
    });
    runs.push_back({arm_, set.name, seed_, walk_.Scores(step, set), cost_});
  }

  std::vector<ArmRun> runs;
  std::vector<TrainingCurve> trainings;  // curves of the first seed
  int64_t steps = 0, reused = 0;

 private:
  static void WarnOfFailures(const Step& step, const VerdictCounts& verdicts) {
    if (verdicts.Failed() > 0)
      spdlog::warn("{}: {}; these responses count as wrong", step.what, verdicts.Text());
  }

  // Calls `work` unless the step is done, by this call or another one.
  template <typename F>
  void Do(const Step& step, F&& work) {
    if (finished_.contains(step.key)) return;
    auto seconds = step.done ? std::optional(step.seconds) : std::nullopt;
    std::optional<StepLock> lock;
    if (!seconds) {
      lock.emplace(step, walk_.FolderOf(step).string() + ".lock", progress_);
      seconds = walk_.SecondsOf(step);
    }
    if (seconds) {
      ++reused;
    } else {
      spdlog::info("step {} of {}: {}", steps + reused + 1, total_, step.what);
      const auto start = std::chrono::steady_clock::now();
      work();
      const auto took = std::chrono::steady_clock::now() - start;
      // Whole milliseconds: the number that later calls read from the file.
      seconds = std::round(std::chrono::duration<double, std::milli>(took).count()) / 1000;
      data::WriteFile(walk_.FolderOf(step) / "done", fmt::format("{:.3f}\n", *seconds));
      ++steps;
    }
    finished_[step.key] = *seconds;
  }

  // Returns count(), which reads the results of a step; it is called once for each step.
  template <typename F>
  double Remembered(const Step& step, F&& count) {
    const auto found = counts_.find(step.key);
    if (found != counts_.end()) return found->second;
    return counts_[step.key] = static_cast<double>(walk_.ReadOf(step, count));
  }

  const Recipe& recipe_;
  AblationWalk& walk_;
  std::size_t total_;
  Progress& progress_;
  std::map<std::string, double> finished_;  // the seconds that each step took
  std::map<std::string, double> counts_;
  // State of the current arm and seed.
  std::string arm_;
  uint64_t seed_ = 0;
  int stage_ = 0;
  ArmCost cost_;
  std::set<std::string> paid_;  // keys of the searches that cost_ counts
};

// Returns a recipe with one arm for each strategy and sort of training of `recipe`: one stage on
// `problems` problems that trains for an epoch, on random tokens where it takes pairs, evaluated on
// one set.
Recipe SmallCopy(const Recipe& recipe, int problems) {
  const auto limit = [&](ProblemSettings& settings, int64_t& count) {
    count = std::min<int64_t>(count, problems);
    settings.options.limit = static_cast<std::size_t>(count);
  };
  Recipe small = recipe;
  small.seeds.resize(1);
  small.sets.resize(1);
  limit(small.sets[0].problems, small.sets[0].problem_count);
  small.arms.clear();
  std::set<std::pair<std::string, std::string>> tried;
  for (const Arm& arm : recipe.arms) {
    for (const Stage& stage : arm.stages) {
      if (!tried.emplace(stage.run.strategy, SortOfTraining(stage.train)).second) continue;
      Stage only = stage;
      limit(only.run.problems, only.problem_count);
      PairsPart part;
      part.count = 0;  // all
      if (stage.train.sft) {
        part.source = "right";
      } else if (stage.train.UsesAdvantages()) {
        part.source = stage.parts.front().source;
      } else {
        part.source = "random";
        part.count = problems;
      }
      only.parts = {part};
      only.train.options.epochs = 1;
      small.arms.push_back({fmt::format("arm {}", small.arms.size()), {only}});
    }
  }
  if (small.arms.empty()) small.arms.push_back({"as it is", {}});
  small.baseline = small.arms[0].name;
  return small;
}

// Adds, for kinds of steps that `rates` lacks, the seconds that the steps done took for each unit
// of work.
void AddRates(const std::vector<Step>& plan, std::map<std::string, double>& rates) {
  std::map<std::string, std::pair<double, double>> sums;  // seconds, work
  for (const Step& step : plan) {
    if (!step.done) continue;
    sums[step.sort].first += step.seconds;
    sums[step.sort].second += step.work;
  }
  for (const auto& [sort, sum] : sums)
    if (sum.second > 0) rates.emplace(sort, sum.first / sum.second);
}

// Returns the seconds for each unit of Step::work, by Step::sort.
std::map<std::string, double> SecondsPerWork(const Recipe& recipe, const std::vector<Step>& plan,
                                             int problems, Progress& progress) {
  std::map<std::string, double> rates;
  AddRates(plan, rates);
  const bool known = std::ranges::all_of(
      plan, [&](const Step& step) { return step.done || rates.contains(step.sort); });
  if (known || problems <= 0) return rates;
  spdlog::info("trying each kind of step on {} problems, to tell how long they take", problems);
  const data::TempFolder folder;
  const Recipe small = SmallCopy(recipe, problems);
  RunAblation(small, folder.path() / "steps", folder.path() / "output", progress);
  AddRates(PlanAblation(small, folder.path() / "steps"), rates);
  return rates;
}

}  // namespace

AblationRun RunAblation(const Recipe& recipe, const fs::path& steps, const fs::path& output,
                        Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  for (const fs::path& folder : {output, steps}) data::RequireFolderName(folder);
  const std::size_t total = PlanAblation(recipe, steps).size();
  data::CreateFolders(steps);
  data::CreateFolders(output);
  AblationWalk walk(recipe, steps);
  Runner runner(recipe, walk, total, progress);
  walk.Run(runner);
  AblationRun run;
  run.result = CompareArms(recipe, runner.runs);
  run.steps = runner.steps;
  run.reused = runner.reused;
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  run.json = AblationJson(recipe, run.result, runner.runs, runner.trainings);
  data::WriteFile(output / "results.json", run.json);
  data::WriteFile(output / "results.md", AblationTable(recipe, run.result));
  data::WriteFile(output / "report.html", AblationPage(recipe, run.result, runner.trainings));
  return run;
}

std::string PlanText(const Recipe& recipe, const fs::path& steps, int problems,
                     Progress& progress) {
  const auto plan = PlanAblation(recipe, steps);
  const auto rates = SecondsPerWork(recipe, plan, problems, progress);
  std::string text;
  double left = 0;
  int unknown = 0, open = 0;
  for (const Step& step : plan) {
    const auto rate = rates.find(step.sort);
    const double expected = rate != rates.end() ? rate->second * step.work : 0;
    text += fmt::format("{}  {:<60} {}\n", step.key, step.what,
                        step.done             ? "done in " + TimeText(step.seconds)
                        : rate != rates.end() ? "about " + TimeText(expected)
                                              : "");
    if (step.done) continue;
    ++open;
    left += expected;
    unknown += rate == rates.end();
  }
  text += fmt::format("{} steps, {} to do", plan.size(), open);
  if (open > unknown)
    text += fmt::format(", about {} for {} of them", TimeText(left), open - unknown);
  if (unknown > 0)
    text += fmt::format("; how long {} take is known once one of their kind is done", unknown);
  return text + "\n" + PowerText(recipe, steps);
}

std::string TimeText(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  return seconds < 5400 ? fmt::format("{:.0f} min", seconds / 60)
                        : fmt::format("{:.1f} h", seconds / 3600);
}

}  // namespace pivotal::experiments
