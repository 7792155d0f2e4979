// Apache-2.0. pivotal report
#include <fmt/format.h>

#include <memory>

#include "cli/flags.h"
#include "data/file_sink.h"
#include "experiments/report.h"
#include "model/footprint.h"

namespace pivotal::cli {
namespace {

struct Flags {
  std::filesystem::path run, output;
  std::vector<std::filesystem::path> trainings;
};

void Run(const Flags& flags) {
  const auto output = flags.output.empty() ? flags.run / "report.html" : flags.output;
  data::RequireAbsent(output);
  const auto summary = experiments::WriteReport(flags.run, flags.trainings, output);
  fmt::print("{} problems, {} pivotal tokens, {}; open {}\n", summary.problems, summary.pivotal,
             model::BytesText(summary.bytes), output.string());
}

}  // namespace

void AddReport(CLI::App& app) {
  auto* sub = app.add_subcommand("report", "Write a run as one HTML page: every token with p(success), what was met in "
                                           "its place, and the pairs; needs no model and no network");
  auto flags = std::make_shared<Flags>();
  sub->add_option("run", flags->run, "run folder of pivotal search")->required();
  sub->add_option("--output", flags->output, "page to write (default: RUN/report.html)");
  sub->add_option("--training", flags->trainings, "output folder of pivotal train, whose curves join the page; as often "
                                                  "as wanted")
      ->check(CLI::ExistingDirectory)->allow_extra_args(false)->take_all();
  sub->callback([flags] { Run(*flags); });
}

}  // namespace pivotal::cli
