// Apache-2.0.
#include "experiments/demo/demo.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/base/text.h"
#include "data/traces/trace_store.h"
#include "experiments/evaluate/accuracy.h"
#include "experiments/report/response_view.h"
#include "experiments/search/run_config.h"
#include "experiments/search/run_pairs.h"
#include "experiments/search/search_run.h"
#include "experiments/train/train_run.h"
#include "kernels/cpu_kernels.h"
#include "pivotal/pairs.h"
#include "pivotal/problem.h"
#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"
#include "pts/pair_builder.h"
#include "pts/strategy.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

struct DemoResult {
  SearchResult search;
  int64_t pairs = 0;
  Accuracy before, after;
  std::optional<Accuracy> control;
  StepLog training;
  double seconds = 0;
};

fs::path ModelFolder(const DemoSettings& settings) { return settings.tiny / "model"; }
fs::path TrainProblems(const DemoSettings& settings) {
  return settings.tiny / "problems" / "train.jsonl";
}
fs::path HeldOutProblems(const DemoSettings& settings) {
  return settings.tiny / "problems" / "heldout.jsonl";
}

Accuracy EvaluateFolder(const fs::path& folder, const DemoSettings& settings, Progress& progress) {
  ModelSettings model = settings.train.model;
  model.folder = folder;
  ProblemSettings problems;
  problems.file = HeldOutProblems(settings);
  problems.options.limit = settings.heldout_problems;
  SamplingSettings sampling = settings.sampling;
  sampling.seed = settings.seed;
  return EvaluateFile(model, problems, sampling, {.samples = settings.eval_samples}, progress);
}

RunConfig SearchConfig(const DemoSettings& settings) {
  RunConfig config;
  config.model.folder = ModelFolder(settings);
  config.model.device = settings.device;
  config.problems.file = TrainProblems(settings);
  config.problems.options.limit = settings.train_problems;
  config.sampling = settings.sampling;
  config.sampling.seed = settings.seed;
  config.search = settings.search;
  config.strategy = pts::kStrategyNames.Name(settings.search.kind);
  return config;
}

StepLog TrainOn(const fs::path& pairs, const fs::path& output, const DemoSettings& settings,
                Progress& progress) {
  TrainSettings train = settings.train;
  train.model.folder = ModelFolder(settings);
  train.model.device = settings.device;
  train.data = pairs;
  train.options.seed = settings.seed;
  return RunTraining(train, output, progress).last;
}

std::string AccuracyRow(const char* name, const MeanInterval& sampled, const MeanInterval& greedy,
                        bool difference) {
  const auto cell = [&](const MeanInterval& v) {
    return fmt::format(
        fmt::runtime(difference ? "{:+6.1f} [{:+5.1f}, {:+5.1f}]" : "{:6.1f} [{:5.1f}, {:5.1f}]"),
        100 * v.mean, 100 * v.low, 100 * v.high);
  };
  return fmt::format("{:<26} {:<24} {:<24}\n", name, cell(sampled), cell(greedy));
}

// Returns held-out accuracy before and after with 95% intervals, paired differences, and the costs.
std::string Table(const DemoResult& result) {
  const auto& search = result.search;
  std::string text = fmt::format("\n{:<26} {:<24} {:<24}\n", "held-out accuracy, %",
                                 "  sampled [95% interval]", "  temperature 0");
  text += AccuracyRow("before", result.before.Sampled(), result.before.Greedy(), false);
  text += AccuracyRow("after DPO", result.after.Sampled(), result.after.Greedy(), false);
  const AccuracyChange change = Compare(result.before, result.after);
  text += AccuracyRow("  difference, paired", change.sampled, change.greedy, true);
  if (result.control) {
    const AccuracyChange control = Compare(result.before, *result.control);
    const AccuracyChange gain = Compare(*result.control, result.after);
    text += AccuracyRow("after DPO, random pairs", result.control->Sampled(),
                        result.control->Greedy(), false);
    text += AccuracyRow("  difference, paired", control.sampled, control.greedy, true);
    text += AccuracyRow("  pivotal over random", gain.sampled, gain.greedy, true);
  }
  const auto row = [&](const char* name, const std::string& value) {
    text += fmt::format("{:<26} {}\n", name, value);
  };
  text += "\n";
  row("problems searched", fmt::format("{} of {} have p(success) in the band",
                                       search.summary.searched, search.summary.queries));
  row("responses searched", std::to_string(search.summary.responses));
  row("pivotal tokens found", std::to_string(search.summary.pivotal));
  row("pairs", fmt::format("{} (both sides measured on fresh rollouts)", result.pairs));
  row("rollouts", std::to_string(search.counters.rollouts));
  row("generated tokens", fmt::format("{} ({:.0f} per second)", search.counters.decoded_tokens,
                                      static_cast<double>(search.counters.decoded_tokens) /
                                          std::max(search.counters.seconds, 1e-9)));
  row("DPO", fmt::format("{} steps in {:.0f} s", result.training.step, result.training.seconds));
  row("whole demo", fmt::format("{:.0f} s", result.seconds));
  return text;
}

// Returns the first `count` queries that gave a pair: the question, a response with its pivotal
// tokens marked, and for each pivotal token p(success) before and after it and its pair.
std::string Responses(const std::vector<QueryTrace>& traces, const Tokenizer& tokenizer, double gap,
                      int count, bool colour) {
  std::string text;
  for (const QueryTrace& query : traces) {
    const auto no_pairs = pts::WhyNoPairs(query, {.gap = gap});
    const auto shown = std::ranges::find_if(no_pairs, [](const auto& reasons) {
      return std::ranges::count(reasons, pts::NoPair::kNone) > 0;
    });
    if (shown == no_pairs.end()) continue;
    const ResponseTrace& response =
        query.responses[static_cast<std::size_t>(shown - no_pairs.begin())];
    text +=
        fmt::format("\n{}: {}  (answer {})\n  {} response:{}\n", data::Visible(query.id, ""),
                    data::Visible(query.question), data::Visible(query.answer),
                    response.success ? "right" : "wrong", MarkedText(response, tokenizer, colour));
    text += PivotalLines(response, tokenizer, gap, *shown);
    if (--count == 0) break;
  }
  return text;
}

}  // namespace

DemoSettings::DemoSettings() {
  search = SearchOptions::ForPairs();
  search.min_yield = 0.03;  // 150 problems are few: more of each
  sampling.max_new_tokens = 64;
  train.loss.rpo_alpha = 0.3;
  train.options.optimizer.learning_rate = 2e-4;
  train.options.epochs = 3;
  train.options.batch_size = 32;
}

std::string DemoPlan(const DemoSettings& settings) {
  const auto count = [](const fs::path& file, std::size_t limit) {
    const auto lines = static_cast<std::size_t>(data::CountJsonLines(file));
    return limit > 0 ? std::min(limit, lines) : lines;
  };
  const std::size_t searched = count(TrainProblems(settings), settings.train_problems);
  const std::size_t heldout = count(HeldOutProblems(settings), settings.heldout_problems);
  // Measured on two cores for 150 problems searched and 500 held-out ones: 1 minute with AVX-512, 4
  // minutes without. Search and training take three quarters of it, the two evaluations the rest.
  // The control adds an evaluation.
  const bool fast = kernels::Kernels().isa == kernels::Isa::kAvx512;
  const double work = 0.75 * static_cast<double>(searched) / 150 +
                      0.25 * static_cast<double>(heldout) / 500 * (settings.control ? 1.5 : 1.0);
  const double minutes = (fast ? 1 : 4) * work;
  const std::string time = minutes < 0.75  ? "less than a minute"
                           : minutes < 1.5 ? "about 1 minute"
                                           : fmt::format("about {:.0f} minutes", minutes);
  return fmt::format(
      "This demo improves the small model in {}.\n"
      "It searches {} problems for pivotal tokens, trains on pairs of them (DPO), and measures "
      "the\n"
      "accuracy on {} other problems before and after: {} on two cores.\n"
      "All files go to the folder {}.\n",
      ModelFolder(settings).string(), searched, heldout, time, settings.output.string());
}

std::string RunDemo(const DemoSettings& settings, bool colour, Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  const fs::path run = settings.output / "run", pairs = run / "pairs.jsonl";
  data::CreateOutputFolder(settings.output);
  DemoResult result;
  result.before = EvaluateFolder(ModelFolder(settings), settings, progress);
  result.search = RunSearch(SearchConfig(settings), run, progress);
  const auto pivotal_pairs = PairsOfRun(run, PairOptions{.gap = settings.search.gap});
  if (pivotal_pairs.empty())
    Fail("{}: the search found no pair; search more problems", run.string());
  result.pairs = std::ssize(pivotal_pairs);
  SavePairs(pairs, pivotal_pairs);
  result.training = TrainOn(pairs, settings.output / "model", settings, progress);
  result.after = EvaluateFolder(settings.output / "model", settings, progress);
  if (settings.control) {
    const fs::path random = settings.output / "random-pairs.jsonl";
    OtherPairs options;
    options.source = "random";
    options.count = static_cast<int32_t>(result.pairs);
    options.seed = settings.seed;
    SavePairs(random, OtherPairsOfRun(run, options));
    TrainOn(random, settings.output / "control-model", settings, progress);
    result.control = EvaluateFolder(settings.output / "control-model", settings, progress);
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto tokenizer = LoadTokenizer(ModelFolder(settings));
  return Responses(data::TraceStore(run).ReadAll(), *tokenizer, settings.search.gap, 3, colour) +
         Table(result);
}

}  // namespace pivotal::experiments
