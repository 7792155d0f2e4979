// Apache-2.0. pivotal ablate
#include <fmt/format.h>

#include <map>
#include <memory>

#include "cli/console.h"
#include "cli/flags.h"
#include "experiments/ablation.h"

namespace pivotal::cli {
namespace {

struct Flags {
  std::filesystem::path recipe, output, model;
  std::vector<uint64_t> seeds;
  bool dry_run = false;
};

std::string Time(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  return seconds < 5400 ? fmt::format("{:.0f} min", seconds / 60) : fmt::format("{:.1f} h", seconds / 3600);
}

void PrintPlan(const experiments::Recipe& recipe, const std::filesystem::path& output) {
  using Kind = experiments::Step::Kind;
  const auto plan = experiments::PlanAblation(recipe, output);
  std::map<Kind, std::pair<double, int>> done;  // seconds, steps
  for (const auto& step : plan) {
    if (!step.done) continue;
    done[step.kind].first += step.seconds;
    ++done[step.kind].second;
  }
  double left = 0;
  int unknown = 0, open = 0;
  for (const auto& step : plan) {
    const auto& [seconds, steps] = done[step.kind];
    const double expected = steps > 0 ? seconds / steps : 0;
    fmt::print("{}  {:<60} {}\n", step.key, step.what,
               step.done ? "done in " + Time(step.seconds) : steps > 0 ? "about " + Time(expected) : "");
    if (step.done) continue;
    ++open;
    left += expected;
    unknown += steps == 0;
  }
  fmt::print("{} steps, {} to do", plan.size(), open);
  if (open > unknown) fmt::print(", about {} for {} of them", Time(left), open - unknown);
  if (unknown > 0) fmt::print("; how long {} take is known once one of their kind is done", unknown);
  fmt::print("\n");
}

void Run(const Flags& flags) {
  experiments::Recipe recipe = experiments::LoadRecipe(flags.recipe);
  if (!flags.model.empty()) recipe.model.folder = flags.model;
  if (!flags.seeds.empty()) recipe.seeds = flags.seeds;
  if (flags.dry_run) {
    PrintPlan(recipe, flags.output);
    return;
  }
  ConsoleProgress progress;
  const auto result = experiments::RunAblation(recipe, flags.output, progress);
  fmt::print("{}", experiments::AblationTable(recipe, result));
  fmt::print("\n{} steps in {}, {} found done; {}\n", result.steps, Time(result.seconds), result.reused,
             (flags.output / "report.html").string());
}

}  // namespace

void AddAblate(CLI::App& app) {
  auto* sub = app.add_subcommand("ablate", "Run the arms of a recipe, each step once, and compare them");
  auto flags = std::make_shared<Flags>();
  sub->add_option("recipe", flags->recipe, "recipe, a TOML file; see experiments/ablations")
      ->required()->check(CLI::ExistingFile);
  sub->add_option("--output", flags->output, "folder for steps and results; what it holds is not done again")->required();
  sub->add_option("--model", flags->model, "Hugging Face folder, in place of the recipe's")->check(CLI::ExistingDirectory);
  sub->add_option("--seeds", flags->seeds, "in place of the recipe's, e.g. --seeds 1 2 3")->take_all();
  sub->add_flag("--dry-run", flags->dry_run, "print the steps and what is known of their time, and do nothing");
  sub->callback([flags] { Run(*flags); });
}

}  // namespace pivotal::cli
