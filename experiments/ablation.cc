// Apache-2.0.
#include "experiments/ablation.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <cmath>
#include <map>
#include <numeric>
#include <nlohmann/json.hpp>
#include <set>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/json_input.h"
#include "data/pair_file.h"
#include "data/run_lock.h"
#include "experiments/search_run.h"
#include "experiments/train_run.h"
#include "kernels/shuffle.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

// `count` pairs drawn without replacement, in the order they had.
std::vector<data::PreferencePair> Drawn(const std::vector<data::PreferencePair>& pairs, int32_t count, uint64_t seed) {
  std::vector<std::size_t> order(pairs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  kernels::RandomStream random(seed, kernels::MixStream(0, "pivotal pairs"));
  kernels::Shuffle(order, random);
  order.resize(std::min(order.size(), static_cast<std::size_t>(count)));
  std::ranges::sort(order);
  std::vector<data::PreferencePair> drawn;
  for (const std::size_t i : order) drawn.push_back(pairs[i]);
  return drawn;
}

std::vector<data::PreferencePair> PairsOfPart(const fs::path& run, const PairsPart& part,
                                              const std::vector<data::PreferencePair>& pivotal, uint64_t seed) {
  const auto share = static_cast<int32_t>(std::lround(part.share * static_cast<double>(pivotal.size())));
  const int32_t count = part.count.value_or(share);
  if (!part.count && count == 0) return {};
  if (part.source == "pivotal") return count > 0 ? Drawn(pivotal, count, seed) : pivotal;
  OtherPairs options = part.other;
  options.source = part.source == "right" ? "full" : part.source;
  options.count = count;
  options.seed = seed;
  return OtherPairsOfRun(run, options);
}

void SaveCompletions(const fs::path& path, const std::vector<data::PreferencePair>& pairs) {
  data::FileSink file(path);
  for (const data::PreferencePair& pair : pairs)
    file.Write(nlohmann::ordered_json{{"prompt_ids", pair.prompt_ids}, {"completion_ids", pair.chosen_ids}}.dump() + "\n");
  file.Commit();
}

void WriteText(const fs::path& path, const std::string& text) {
  data::FileSink file(path);
  file.Write(text);
  file.Commit();
}

class Runner : public StepVisitor {
 public:
  Runner(const Recipe& recipe, const AblationWalk& walk, std::size_t total, Progress& progress)
      : recipe_(recipe), walk_(walk), total_(total), progress_(progress) {}

  void BeginArm(const Arm& arm, uint64_t seed) override {
    arm_ = arm.name;
    seed_ = seed;
    stage_ = 0;
    pairs_ = tokens_ = 0;
  }

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
      if (stage.train.sft) {
        SaveCompletions(file, pairs);
      } else {
        data::SavePairs(file, pairs);
      }
    });
    stage_pairs_ = Remembered(step.key, [&] { return data::CountJsonLines(file); });
    if (stage_pairs_ == 0) spdlog::warn("{}: the search found none; the model stays as it is", step.what);
    pairs_ += stage_pairs_;
  }

  bool Train(const Step& step, const TrainSettings& settings) override {
    ++stage_;
    if (stage_pairs_ == 0) return false;
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
    if (seed_ == recipe_.seeds.front())
      trainings.push_back({stage_ > 1 ? fmt::format("{}, stage {}", arm_, stage_) : arm_, output});
    return true;
  }

  void Eval(const Step& step, const ModelSettings& model, const EvalSet& set, uint64_t seed) override {
    const fs::path file = walk_.FolderOf(step) / "scores.jsonl";
    Do(step, [&] {
      fs::create_directories(file.parent_path());
      const auto oracle = pts::MakeOracle(set.problems.oracle, set.problems.oracle_options);
      const auto problems = data::LoadProblems(set.problems.file, set.problems.options);
      CheckAnswers(*oracle, problems, set.problems);
      SamplingSettings sampling = recipe_.sampling;
      sampling.seed = seed;
      SaveScores(Evaluate(LoadModel(model, model::WeightUse::kRollouts), problems, *oracle, sampling, recipe_.eval,
                          progress_),
                 file);
    });
    runs.push_back({arm_, set.name, seed, LoadScores(file), pairs_, tokens_});
  }

  std::vector<ArmRun> runs;
  std::vector<TrainingCurve> trainings;  // of the first seed
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
      WriteText(walk_.FolderOf(step) / "done", fmt::format("{:.3f}\n", seconds));
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
  const AblationWalk& walk_;
  std::size_t total_;
  Progress& progress_;
  std::set<std::string> finished_;
  std::map<std::string, int64_t> counts_;
  // The arm and seed at work.
  std::string arm_;
  uint64_t seed_ = 0;
  int stage_ = 0;
  int64_t pairs_ = 0, tokens_ = 0, stage_pairs_ = 0;
};

}  // namespace

AblationRun RunAblation(const Recipe& recipe, const fs::path& steps, const fs::path& output, Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  const std::size_t total = PlanAblation(recipe, steps).size();
  fs::create_directories(steps);
  fs::create_directories(output);
  const data::RunLock lock(steps);
  AblationWalk walk(recipe, steps);
  Runner runner(recipe, walk, total, progress);
  walk.Run(runner);
  AblationRun run;
  run.result = CompareArms(recipe, runner.runs);
  run.steps = runner.steps;
  run.reused = runner.reused;
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  WriteText(output / "results.json", AblationJson(recipe, run.result, runner.runs));
  WriteText(output / "results.md", AblationTable(recipe, run.result));
  WriteText(output / "report.html", AblationPage(recipe, run.result, runner.trainings));
  return run;
}

}  // namespace pivotal::experiments
