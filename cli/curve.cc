// Apache-2.0. pivotal curve
#include <fmt/format.h>

#include <memory>

#include "cli/flags.h"
#include "data/file_sink.h"
#include "experiments/curve_run.h"

namespace pivotal::cli {
namespace {

void Run(experiments::CurveSettings settings) {
  if (settings.output.empty())
    settings.output = settings.run / fmt::format("curve-{}.jsonl", settings.granularity);
  data::RequireAbsent(settings.output);
  const auto summary = experiments::WriteCurves(settings);
  fmt::print("{} responses, {} {}s, {} with a change of the gap or more; in {}\n", summary.responses,
             summary.units, settings.granularity, summary.reaching, settings.output.string());
}

}  // namespace

void AddCurve(CLI::App& app) {
  auto* sub = app.add_subcommand("curve", "p(success) along a run's responses; needs no model");
  auto settings = std::make_shared<experiments::CurveSettings>();
  sub->add_option("run", settings->run, "run folder of pivotal search")->required();
  sub->add_option("--granularity", settings->granularity, "change of p over each token or sentence")
      ->check(CLI::IsMember({"token", "sentence"}))->capture_default_str();
  sub->add_option("--output", settings->output,
                  "a JSON object per token or sentence (default: RUN/curve-GRANULARITY.jsonl)");
  sub->callback([settings] { Run(*settings); });
}

}  // namespace pivotal::cli
