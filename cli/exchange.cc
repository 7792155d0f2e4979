// Apache-2.0. pivotal export, pivotal import
#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>

#include "cli/checks.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "experiments/report/hub_dataset.h"
#include "experiments/search/run_anchors.h"
#include "experiments/search/run_config.h"
#include "experiments/search/run_exports.h"
#include "experiments/search/run_pairs.h"
#include "experiments/search/run_rewards.h"
#include "pivotal/pairs.h"

namespace pivotal::cli {
namespace {

struct ExportFlags {
  std::filesystem::path run, output;
  std::string format;
  double max_false_share = 1;
  double label_threshold = experiments::kLabelThreshold;
  std::string advantages = "curve";
  experiments::AnchorSettings anchors;
  RightCompletionOptions right;
  bool force = false;
};

// Throws Error for flags that say nothing about the format.
void CheckExport(const CLI::App& sub, const std::string& format) {
  const bool keeps_all = format == "prm" || format == "advantages" || format == "critical" ||
                         format == "anchors" || format == "sft";
  if (keeps_all && sub.count("--max-false-share") > 0)
    Fail("--max-false-share chooses findings, and --format {} writes everything; leave it out",
         format);
  if (format != "prm" && sub.count("--label-threshold") > 0)
    Fail("--label-threshold is for --format prm, the one format with labels; leave it out");
  if (format != "advantages" && sub.count("--advantages") > 0)
    Fail("--advantages is for --format advantages; leave it out");
  for (const char* flag : {"--continuations", "--per-problem"})
    if (format != "sft" && sub.count(flag) > 0)
      Fail("{} chooses right completions, which --format sft writes; leave it out", flag);
  for (const char* flag : {"--judge", "--judge-timeout"})
    if (format != "anchors" && sub.count(flag) > 0)
      Fail("{} is for --format anchors, the one format with categories; leave it out", flag);
}

void PrintRewards(const experiments::RewardSummary& summary, const std::filesystem::path& output,
                  bool steps) {
  if (steps)
    fmt::print("{} responses, {} steps, {} of them labelled right; in {}\n", summary.responses,
               summary.units, summary.right, output.string());
  else
    fmt::print("{} responses, {} tokens; in {}\n", summary.responses, summary.units,
               output.string());
  if (summary.empty > 0) fmt::print("{} responses without text were left out\n", summary.empty);
}

void PrintCompletions(const experiments::CompletionSummary& summary,
                      const std::filesystem::path& output) {
  fmt::print("{} right completions of {} problems, {} tokens; in {}\n", summary.completions,
             summary.problems - summary.without, summary.tokens, output.string());
  if (summary.cut > 0)
    fmt::print("{} right ones that the limit of new tokens cut were left out\n", summary.cut);
  if (summary.without > 0)
    fmt::print("{} of {} problems gave none: no whole response to them was right\n",
               summary.without, summary.problems);
}

void RunAnchors(experiments::AnchorSettings settings, const ExportFlags& flags,
                const std::filesystem::path& output) {
  settings.run = flags.run;
  settings.output = output;
  ConsoleProgress progress;
  const auto summary = experiments::ExportAnchors(settings, progress);
  fmt::print(
      "{} sentences of {} responses, {} of them anchors, {} dependencies; {} sentences that too "
      "few rollouts were without; in {}\n",
      summary.sentences, summary.responses, summary.anchors, summary.dependencies,
      summary.unmeasured, output.string());
  if (summary.judged.Failed() > 0) fmt::print("{}\n", summary.judged.Text());
}

void RunExport(const ExportFlags& flags) {
  const bool is_folder = flags.format == "parquet";
  const auto output = flags.output.empty()
                          ? flags.run / (is_folder ? "parquet" : flags.format + ".jsonl")
                          : flags.output;
  if (!is_folder) data::RequireOutput(output, flags.force);
  if (is_folder) {
    const auto summary =
        experiments::ExportHubDataset(flags.run, output, flags.max_false_share, flags.force);
    fmt::print("{} pairs and {} pivotal tokens in {}; its README.md names no license yet\n",
               summary.pairs, summary.tokens, output.string());
  } else if (flags.format == "pts") {
    const auto events = experiments::ExportEvents(flags.run, output, flags.max_false_share);
    fmt::print("{} events in {}\n", events, output.string());
  } else if (flags.format == "trl") {
    PairOptions options;
    options.gap = experiments::LoadRunConfig(flags.run).search.gap;
    options.max_false_share = flags.max_false_share;
    experiments::PairSummary summary;
    const auto pairs = experiments::PairsOfRun(flags.run, options, &summary);
    SavePairTexts(output, pairs);
    fmt::print("{} pairs in {}\n", pairs.size(), output.string());
    if (!summary.without_pairs.empty()) fmt::print("{}\n", summary.without_pairs);
  } else if (flags.format == "prm") {
    PrintRewards(experiments::ExportSteps(flags.run, output, flags.label_threshold), output, true);
  } else if (flags.format == "advantages") {
    PrintRewards(experiments::ExportAdvantages(flags.run, output, flags.advantages), output, false);
  } else if (flags.format == "sft") {
    PrintCompletions(experiments::ExportRightCompletions(flags.run, output, flags.right), output);
  } else if (flags.format == "anchors") {
    RunAnchors(flags.anchors, flags, output);
  } else if (flags.format == "critical") {
    const auto summary = experiments::ExportCritical(flags.run, output);
    fmt::print("{} pairs with weights of {} tokens; in {}\n", summary.responses, summary.units,
               output.string());
    if (summary.alone > 0)
      fmt::print("{} responses without a wrong, or a right, counterpart were left out\n",
                 summary.alone);
  } else {
    ConsoleProgress progress;
    const auto summary =
        experiments::ExportSteering(flags.run, output, progress, flags.max_false_share);
    fmt::print("{} tokens at {} layers, mean differences of {} pairs; in {}\n", summary.tokens,
               summary.layers, summary.pairs, output.string());
  }
}

struct ImportFlags {
  std::filesystem::path events, output;
  ModelSettings model;
};

void RunImport(const ImportFlags& flags) {
  const auto summary = experiments::ImportEvents(flags.events, flags.model, flags.output);
  fmt::print("{} events of {} problems, on {} responses\n", summary.events, summary.problems,
             summary.responses);
  if (summary.skipped > 0) fmt::print("{} events of other types were skipped\n", summary.skipped);
  fmt::print("Next: pivotal show {}\n", flags.output.string());
}

}  // namespace

void AddExport(CLI::App& app) {
  auto* sub = app.add_subcommand("export", "Write a run in the file formats of other programs");
  auto flags = std::make_shared<ExportFlags>();
  sub->add_option("run", flags->run, "run folder of pivotal search")->required();
  sub->add_option(
         "--format", flags->format,
         "pts: events of codelion/pts (schema 1.0); trl: pairs with nothing but prompt, "
         "chosen and rejected; sft: right responses as prompt and completion, which pivotal train "
         "--objective sft and TRL's SFTTrainer take; steering: hidden states at pivotal tokens and "
         "the mean "
         "difference of pairs, for each layer (loads the model); prm: the steps of each "
         "response with labels and p(success), as TRL's PRMTrainer reads them; "
         "advantages: responses with an advantage for each token, which pivotal train "
         "--objective ppo takes; critical: "
         "right against wrong responses, with the share of p(success) that each token "
         "destroys as its weight (cDPO); anchors: sentences with what they change and what "
         "depends on them, as thought anchors of codelion/pts; parquet: a folder for the "
         "Hugging Face Hub, with pairs and pivotal tokens as Parquet and a card (needs Python's "
         "pyarrow)")
      ->required()
      ->check(OneOf({"pts", "trl", "sft", "steering", "prm", "advantages", "critical", "anchors",
                     "parquet"}));
  sub->add_option("--output", flags->output,
                  "file of JSON lines to write (default: RUN/FORMAT.jsonl); for parquet a folder "
                  "to make (default: RUN/parquet)")
      ->type_name("PATH");
  sub->add_option(
         "--max-false-share", flags->max_false_share,
         "largest expected share of false findings over the whole run: of pivotal tokens "
         "that change p(success) by less than the gap (pts, steering, parquet: keeps "
         "the most probable ones), or of pairs whose chosen side is not better (trl, parquet: "
         "keeps those with most evidence); 1: any; sft, prm, advantages, critical and "
         "anchors write everything, and refuse it")
      ->check(Interval("(0, 1]"))
      ->capture_default_str();
  sub->add_flag(
      "--continuations", flags->right.continuations,
      "also take right rollouts that continue a response from within; the prompt then ends "
      "where they begin (sft)");
  sub->add_option("--per-problem", flags->right.per_query,
                  "right completions of a problem at most, drawn at random; 0: all (sft)")
      ->check(Whole(0, std::numeric_limits<int32_t>::max()))
      ->capture_default_str();
  sub->add_option("--label-threshold", flags->label_threshold,
                  "least p(success) after a step that is labelled right (prm); the default is one "
                  "right completion in eight, as in Math-Shepherd")
      ->check(Interval("(0, 1]"))
      ->capture_default_str();
  sub->add_option("--advantages", flags->advantages,
                  "what an advantage is: curve, the change of p(success) at each token of the "
                  "searched responses (VinePPO); outcome, the verdict on a rollout from the prompt "
                  "less the share of right ones, for all its tokens (GRPO), of any run")
      ->check(OneOf({experiments::kAdvantageKinds.begin(), experiments::kAdvantageKinds.end()}))
      ->capture_default_str();
  sub->add_option("--judge", flags->anchors.judge,
                  "command that names the category of each sentence (anchors): for each line "
                  "{\"question\",\"answer\",\"response\",\"sentence\"} on its input it prints "
                  "{\"category\": \"active_computation\"}; \"response\" ends before the sentence. "
                  "Default: by rule");
  sub->add_option("--judge-timeout", flags->anchors.judge_timeout,
                  "seconds that --judge may take for one sentence")
      ->check(Interval("(0, inf)"))
      ->capture_default_str();
  AddForceFlag(*sub, flags->force);
  SetHelp(*sub, {"RUN --format NAME [OPTIONS]",
                 {"--format", "--output", "--max-false-share"},
                 {{"write pairs that TRL reads, run/trl.jsonl", "export run --format trl"},
                  {"write at most four right responses of each problem to train on",
                   "export run --format sft --per-problem 4"},
                  {"write the steps of responses with labels for a process reward model",
                   "export run --format prm --output steps.jsonl"}},
                 "docs/from-codelion-pts.md"});
  sub->callback([sub, flags] {
    CheckExport(*sub, flags->format);
    RunExport(*flags);
  });
}

void AddImport(CLI::App& app) {
  auto* sub = app.add_subcommand(
      "import", "Make a run folder of an event file of codelion/pts or of pivotal export");
  auto flags = std::make_shared<ImportFlags>();
  sub->add_option("events", flags->events, "event file, one JSON object per line")
      ->required()
      ->check(CLI::ExistingFile);
  sub->add_option("--output", flags->output, "run folder to make")->type_name("FOLDER")->required();
  AddModelFlags(*sub, flags->model);
  SetHelp(*sub, {"EVENTS --output RUN --model FOLDER",
                 {"--output", "--model"},
                 {{"make a run of what codelion/pts found",
                   "import pivotal_tokens.jsonl --model phi-4-mini --output run"},
                  {"make a run of events that pivotal export has written",
                   "import run/pts.jsonl --model phi-4-mini --output copy"}},
                 "docs/from-codelion-pts.md"});
  sub->callback([flags] { RunImport(*flags); });
}

}  // namespace pivotal::cli
