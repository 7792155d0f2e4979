// Apache-2.0. pivotal merge
#include <fmt/format.h>

#include <memory>

#include "cli/flags.h"
#include "experiments/merge_runs.h"

namespace pivotal::cli {
namespace {

struct Flags {
  std::vector<std::filesystem::path> runs;
  std::filesystem::path output;
};

void Run(const Flags& flags) {
  const auto merged = experiments::MergeRuns(flags.runs, flags.output);
  fmt::print("{} problems of {} runs in {}\n", merged.problems, flags.runs.size(), flags.output.string());
  if (merged.missing > 0)
    fmt::print("{} problems are in none of them; pivotal search --resume {} goes on with those\n", merged.missing,
               flags.output.string());
}

}  // namespace

void AddMerge(CLI::App& app) {
  auto* sub = app.add_subcommand("merge", "Join the runs of searches by --shard into one, as if it were one search");
  auto flags = std::make_shared<Flags>();
  sub->add_option("runs", flags->runs, "run folders with the same model and settings")->required()
      ->check(CLI::ExistingDirectory);
  sub->add_option("--output", flags->output, "run folder to make")->required();
  sub->callback([flags] { Run(*flags); });
}

}  // namespace pivotal::cli
