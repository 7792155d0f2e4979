// Apache-2.0. pivotal export, pivotal import
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>

#include "cli/console.h"
#include "cli/flags.h"
#include "data/base/file_sink.h"
#include "experiments/search/run_config.h"
#include "experiments/search/run_exports.h"
#include "experiments/search/run_pairs.h"
#include "pivotal/pairs.h"

namespace pivotal::cli {
namespace {

struct ExportFlags {
  std::filesystem::path run, output;
  std::string format;
  double max_false_share = 1;
};

void RunExport(const ExportFlags& flags) {
  const auto output = flags.output.empty() ? flags.run / (flags.format + ".jsonl") : flags.output;
  data::RequireAbsent(output);
  if (flags.format == "pts") {
    const auto events = experiments::ExportEvents(flags.run, output, flags.max_false_share);
    fmt::print("{} events in {}\n", events, output.string());
  } else if (flags.format == "trl") {
    PairOptions options;
    options.gap = experiments::LoadRunConfig(flags.run).search.gap;
    options.max_false_share = flags.max_false_share;
    const auto pairs = experiments::PairsOfRun(flags.run, options);
    SavePairTexts(output, pairs);
    fmt::print("{} pairs in {}\n", pairs.size(), output.string());
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
  sub->add_option("--format", flags->format,
                  "pts: events of codelion/pts (schema 1.0); trl: pairs with nothing but prompt, "
                  "chosen and rejected; steering: hidden states at pivotal tokens and the mean "
                  "difference of pairs, for each layer (loads the model)")
      ->required()
      ->check(CLI::IsMember({"pts", "trl", "steering"}));
  sub->add_option("--output", flags->output,
                  "file of JSON lines to write (default: RUN/FORMAT.jsonl)");
  sub->add_option("--max-false-share", flags->max_false_share,
                  "largest expected share of false findings over the whole run: of pivotal tokens "
                  "that change p(success) by less than the gap (pts, steering: keeps the most "
                  "probable ones), or of pairs whose chosen side is not better (trl: keeps those "
                  "with most evidence); 1: any")
      ->check(Interval("(0, 1]"))
      ->capture_default_str();
  sub->callback([flags] { RunExport(*flags); });
}

void AddImport(CLI::App& app) {
  auto* sub = app.add_subcommand(
      "import", "Make a run folder of an event file of codelion/pts or of pivotal export");
  auto flags = std::make_shared<ImportFlags>();
  sub->add_option("events", flags->events, "event file, one JSON object per line")
      ->required()
      ->check(CLI::ExistingFile);
  sub->add_option("--output", flags->output, "run folder to make")->required();
  AddModelFlags(*sub, flags->model);
  sub->callback([flags] { RunImport(*flags); });
}

}  // namespace pivotal::cli
