// Apache-2.0. pivotal export
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <memory>

#include "cli/console.h"
#include "cli/flags.h"
#include "data/event_file.h"
#include "data/file_sink.h"
#include "data/pair_file.h"
#include "experiments/event_run.h"
#include "experiments/pair_run.h"
#include "experiments/steering.h"

namespace pivotal::cli {
namespace {

struct Flags {
  std::filesystem::path run, output;
  std::string format;
};

void Run(const Flags& flags) {
  const auto output = flags.output.empty() ? flags.run / (flags.format + ".jsonl") : flags.output;
  data::RequireAbsent(output);
  if (flags.format == "pts") {
    const auto events = experiments::EventsOfRun(flags.run);
    const std::time_t now = std::time(nullptr);
    data::SaveEvents(output, events, experiments::LoadRunConfig(flags.run).search.gap,
                     fmt::format("{:%Y-%m-%dT%H:%M:%S}", fmt::gmtime(now)));
    fmt::print("{} events in {}\n", events.size(), output.string());
  } else if (flags.format == "trl") {
    pts::PairOptions options;
    options.gap = experiments::LoadRunConfig(flags.run).search.gap;
    const auto pairs = experiments::PairsOfRun(flags.run, options);
    data::SavePairTexts(output, pairs);
    fmt::print("{} pairs in {}\n", pairs.size(), output.string());
  } else {
    ConsoleProgress progress;
    const auto summary = experiments::WriteSteering(flags.run, output, progress);
    fmt::print("{} tokens at {} layers, mean differences of {} pairs; in {}\n", summary.tokens, summary.layers,
               summary.pairs, output.string());
  }
}

}  // namespace

void AddExport(CLI::App& app) {
  auto* sub = app.add_subcommand("export", "Write a run's findings as other programs read them");
  auto flags = std::make_shared<Flags>();
  sub->add_option("run", flags->run, "run folder of pivotal search")->required();
  sub->add_option("--format", flags->format,
                  "pts: events of codelion/pts (schema 1.0); trl: prompt, chosen, rejected alone; steering: hidden "
                  "states at pivotal tokens and the mean difference of pairs, by layer (loads the model)")
      ->required()->check(CLI::IsMember({"pts", "trl", "steering"}));
  sub->add_option("--output", flags->output, "JSON lines to write (default: RUN/FORMAT.jsonl)");
  sub->callback([flags] { Run(*flags); });
}

}  // namespace pivotal::cli
