// Apache-2.0.
#include "experiments/demo/demo.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "data/base/answers.h"
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
#include "experiments/settings/loading.h"
#include "experiments/train/train_run.h"
#include "pivotal/pairs.h"
#include "pivotal/problem.h"
#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"
#include "pts/pair_builder.h"
#include "pts/strategy.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kProbe = 64;  // problems that tell how fast the machine is

struct DemoResult {
  SearchResult search;
  int64_t pairs = 0;
  Accuracy before, after;
  std::optional<Accuracy> control;
  StepLog training;
  double seconds = 0;
};

fs::path ModelFolder(const DemoSettings& settings) { return settings.folder / "model"; }
fs::path TrainProblems(const DemoSettings& settings) {
  return settings.folder / "problems" / "train.jsonl";
}
fs::path HeldOutProblems(const DemoSettings& settings) {
  return settings.folder / "problems" / "heldout.jsonl";
}

// Evaluates on the first `limit` held-out problems; 0: all.
Accuracy EvaluateFolder(const fs::path& folder, const DemoSettings& settings, std::size_t limit,
                        Progress& progress) {
  ModelSettings model = settings.train.model;
  model.folder = folder;
  model.device = settings.device;
  ProblemSettings problems;
  problems.file = HeldOutProblems(settings);
  problems.options.limit = limit;
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
                    data::Visible(query.question),
                    data::Visible(data::AnswersText(query.answer, query.other_answers)),
                    response.success ? "right" : "wrong", MarkedText(response, tokenizer, colour));
    text += PivotalLines(response, tokenizer, gap, *shown);
    if (--count == 0) break;
  }
  return text;
}

// One part of the demo: what it does, and about how many seconds it takes.
struct DemoPart {
  std::string name, text;
  double seconds = 0;
};

std::string About(double seconds) {
  if (seconds < 90) return fmt::format("about {:.0f} s", std::max(1.0, seconds));
  return fmt::format("about {:.0f} minutes", seconds / 60);
}

std::size_t CountProblems(const fs::path& file, std::size_t limit) {
  const auto lines = static_cast<std::size_t>(data::CountJsonLines(file));
  return limit > 0 ? std::min(limit, lines) : lines;
}

// Samples some responses to see how fast the machine is, and returns the parts.
std::vector<DemoPart> PlanOf(const DemoSettings& settings, const Progress& progress) {
  class Quiet : public Progress {
   public:
    explicit Quiet(const Progress& outer) : outer_(outer) {}
    bool StopRequested() const override { return outer_.StopRequested(); }

   private:
    const Progress& outer_;
  } quiet(progress);
  const std::size_t searched = CountProblems(TrainProblems(settings), settings.train_problems);
  const std::size_t heldout = CountProblems(HeldOutProblems(settings), settings.heldout_problems);
  const std::size_t probed = std::min(kProbe, heldout);
  const RolloutCounters look =
      EvaluateFolder(ModelFolder(settings), settings, probed, quiet).counters;
  const double second =
      look.seconds / static_cast<double>(std::max<int64_t>(1, look.decoded_tokens));
  const double evaluation =
      look.seconds * static_cast<double>(heldout) / static_cast<double>(probed);
  const double search = second * settings.world.search_tokens * static_cast<double>(searched);
  const double training = second * settings.world.train_tokens * settings.world.pairs *
                          static_cast<double>(searched) *
                          static_cast<double>(settings.train.options.epochs);
  std::vector<DemoPart> parts = {
      {"measure", fmt::format("how often the model solves {} problems", heldout), evaluation},
      {"search",
       fmt::format("for the tokens that decide whether it solves {} {}", searched,
                   searched == 1 ? "other problem" : "others"),
       search},
      {"train", "it on pairs of these tokens (DPO)", training},
      {"measure", fmt::format("the {} problems again", heldout), evaluation}};
  if (settings.control) {
    parts.push_back({"train", "another one on pairs at random positions", training});
    parts.push_back({"measure", fmt::format("the {} problems with that one", heldout), evaluation});
  }
  return parts;
}

std::string PlanText(const DemoSettings& settings, const std::vector<DemoPart>& parts) {
  std::string text = fmt::format(
      "This demo improves a small model, {} in\n{}.\n"
      "About how long its parts take on this machine:\n\n",
      settings.world.model, ModelFolder(settings).string());
  double sum = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    text += fmt::format("  {}  {:<8} {:<62} {}\n", i + 1, parts[i].name, parts[i].text,
                        About(parts[i].seconds));
    sum += parts[i].seconds;
  }
  return text + fmt::format("\nThat is {} in all. All files go to the folder {}.\n", About(sum),
                            settings.output.string());
}

// Says when parts begin and end.
class Story {
 public:
  Story(const std::vector<DemoPart>& parts, const Say& say) : parts_(parts), say_(say) {}

  // Runs the next part; `run` returns what it came to.
  template <typename Run>
  void Part(Run&& run) {
    const DemoPart& part = parts_.at(next_++);
    say_(fmt::format("\n[{}/{}] {} {}\n", next_, parts_.size(), part.name, part.text));
    const auto start = std::chrono::steady_clock::now();
    const std::string outcome = run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    say_(fmt::format("      {}; it took {:.1f} s\n", outcome, took.count()));
  }

 private:
  const std::vector<DemoPart>& parts_;
  const Say& say_;
  std::size_t next_ = 0;
};

std::string OutcomeOf(const Accuracy& accuracy) {
  return fmt::format("{:.1f}% of its sampled responses are right, {:.1f}% at temperature 0",
                     100 * accuracy.Sampled().mean, 100 * accuracy.Greedy().mean);
}

std::string OutcomeOf(const StepLog& last) {
  return fmt::format("{} steps, the last loss is {:.3f}", last.step, last.loss);
}

// What does the same with a model of the reader's.
constexpr std::string_view kCommands =
    "\nThe same with a model of your own:\n\n"
    "  pivotal search --for pairs --model MODEL --problems PROBLEMS.jsonl --output run\n"
    "  pivotal pairs run\n"
    "  pivotal train --model MODEL --data run/pairs.jsonl --rpo-alpha 0.3 --output tuned\n\n"
    "MODEL is the folder of a Phi model in Hugging Face format, and PROBLEMS.jsonl has lines like\n"
    "{\"question\": \"What is 6*7?\", \"answer\": \"42\"}. pivotal watch run shows how a search "
    "gets on.\n";

}  // namespace

DemoSettings::DemoSettings() {
  search = SearchOptions::ForPairs();
  search.min_yield = 0.03;  // the problems are few: more of each
  sampling.max_new_tokens = world.max_new_tokens;
  train.loss.rpo_alpha = 0.3;
  train.options.optimizer.learning_rate = 2e-4;
  train.options.epochs = 3;
  train.options.batch_size = 32;
}

void RunDemo(const DemoSettings& settings, bool colour, const Say& say, Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  const fs::path run = settings.output / "run", pairs = run / "pairs.jsonl";
  RequireDevice(SearchConfig(settings).model);  // a wrong one leaves no folder
  data::CreateOutputFolder(settings.output);
  const auto parts = PlanOf(settings, progress);
  say(PlanText(settings, parts));
  Story story(parts, say);
  DemoResult result;
  const auto measure = [&](const fs::path& model) {
    Accuracy accuracy;
    story.Part([&] {
      accuracy = EvaluateFolder(model, settings, settings.heldout_problems, progress);
      return OutcomeOf(accuracy);
    });
    return accuracy;
  };
  result.before = measure(ModelFolder(settings));
  story.Part([&] {
    result.search = RunSearch(SearchConfig(settings), run, progress);
    const auto pivotal_pairs = PairsOfRun(run, PairOptions{.gap = settings.search.gap});
    if (pivotal_pairs.empty())
      Fail(
          "{}: the search found no pair; search more problems (--problems) with more samples "
          "(--samples)",
          run.string());
    result.pairs = std::ssize(pivotal_pairs);
    SavePairs(pairs, pivotal_pairs);
    return fmt::format("{} pivotal tokens, {} pairs of them", result.search.summary.pivotal,
                       result.pairs);
  });
  story.Part([&] {
    result.training = TrainOn(pairs, settings.output / "model", settings, progress);
    return OutcomeOf(result.training);
  });
  result.after = measure(settings.output / "model");
  if (settings.control) {
    const fs::path random = settings.output / "random-pairs.jsonl";
    story.Part([&] {
      OtherPairs options;
      options.source = "random";
      options.count = static_cast<int32_t>(result.pairs);
      options.seed = settings.seed;
      SavePairs(random, OtherPairsOfRun(run, options));
      return OutcomeOf(TrainOn(random, settings.output / "control-model", settings, progress));
    });
    result.control = measure(settings.output / "control-model");
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto tokenizer = LoadTokenizer(ModelFolder(settings));
  say(fmt::format("\nSome of the responses that were searched, with their pivotal tokens {}:\n",
                  colour ? "in colour" : "in brackets"));
  say(Responses(data::TraceStore(run).ReadAll(), *tokenizer, settings.search.gap, 3, colour));
  say(Table(result));
  say(kCommands);
}

}  // namespace pivotal::experiments
