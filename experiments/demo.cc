// Apache-2.0.
#include "experiments/demo.h"

#include <chrono>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/pair_file.h"
#include "experiments/pair_run.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

Accuracy EvaluateFolder(const fs::path& folder, const DemoSettings& settings, Progress& progress) {
  ModelSettings model = settings.train.model;
  model.folder = folder;
  data::ProblemSetOptions options;
  options.limit = settings.heldout_problems;
  const auto problems = data::LoadProblems(settings.tiny / "problems" / "heldout.jsonl", options);
  SamplingSettings sampling = settings.sampling;
  sampling.seed = settings.seed;
  return Evaluate(LoadModel(model, model::WeightUse::kRollouts), problems, *pts::MakeOracle("hash"), sampling,
                  {.samples = settings.eval_samples}, progress);
}

RunConfig SearchConfig(const DemoSettings& settings) {
  RunConfig config;
  config.model.folder = settings.tiny / "model";
  config.model.device = settings.device;
  config.problems.file = settings.tiny / "problems" / "train.jsonl";
  config.problems.options.limit = settings.train_problems;
  config.sampling = settings.sampling;
  config.sampling.seed = settings.seed;
  config.search = settings.search;
  return config;
}

dpo::StepLog TrainOn(const fs::path& pairs, const fs::path& output, const DemoSettings& settings,
                     Progress& progress) {
  TrainSettings train = settings.train;
  train.model.folder = settings.tiny / "model";
  train.model.device = settings.device;
  train.data = pairs;
  train.options.seed = settings.seed;
  return RunTraining(train, output, progress).last;
}

}  // namespace

DemoSettings::DemoSettings() {
  search.samples = 32;
  search.confirm = 32;
  search.responses = 2;
  sampling.max_new_tokens = 64;
  train.loss.rpo_alpha = 0.3;
  train.options.optimizer.learning_rate = 2e-4;
  train.options.epochs = 6;
  train.options.batch_size = 32;
}

DemoResult RunDemo(const DemoSettings& settings, Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  const fs::path run = settings.output / "run", pairs = run / "pairs.jsonl";
  data::CreateOutputFolder(settings.output);
  DemoResult result;
  result.before = EvaluateFolder(settings.tiny / "model", settings, progress);
  result.search = RunSearch(SearchConfig(settings), run, progress);
  const auto pivotal_pairs = PairsOfRun(run, pts::PairOptions{.gap = settings.search.gap});
  if (pivotal_pairs.empty()) Fail("{}: the search found no pair; search more problems", run.string());
  result.pairs = static_cast<int64_t>(pivotal_pairs.size());
  data::SavePairs(pairs, pivotal_pairs);
  result.training = TrainOn(pairs, settings.output / "model", settings, progress);
  result.after = EvaluateFolder(settings.output / "model", settings, progress);
  if (settings.control) {
    const fs::path random = settings.output / "random-pairs.jsonl";
    data::SavePairs(random, OtherPairsOfRun(run, {"random", static_cast<int32_t>(result.pairs), settings.seed}));
    TrainOn(random, settings.output / "control-model", settings, progress);
    result.control = EvaluateFolder(settings.output / "control-model", settings, progress);
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace pivotal::experiments
