// Apache-2.0. pivotal import
#include <fmt/format.h>

#include <memory>

#include "cli/flags.h"
#include "experiments/event_run.h"

namespace pivotal::cli {
namespace {

struct Flags {
  std::filesystem::path events, output;
  experiments::ModelSettings model;
};

void Run(const Flags& flags) {
  const auto summary = experiments::ImportEvents(flags.events, flags.model, flags.output);
  fmt::print("{} events of {} problems, on {} responses\n", summary.events, summary.problems, summary.responses);
  if (summary.skipped > 0) fmt::print("{} events of other types were skipped\n", summary.skipped);
  fmt::print("Next: pivotal show {}\n", flags.output.string());
}

}  // namespace

void AddImport(CLI::App& app) {
  auto* sub = app.add_subcommand("import", "Make a run folder of an event file of codelion/pts, or of pivotal export");
  auto flags = std::make_shared<Flags>();
  sub->add_option("events", flags->events, "event file, a JSON object per line")->required()->check(CLI::ExistingFile);
  sub->add_option("--output", flags->output, "run folder to make")->required();
  AddModelFlags(*sub, flags->model);
  sub->callback([flags] { Run(*flags); });
}

}  // namespace pivotal::cli
