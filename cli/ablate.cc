// Apache-2.0. pivotal ablate
#include <fmt/format.h>

#include <memory>

#include "cli/console.h"
#include "cli/flags.h"
#include "experiments/ablation.h"
#include "experiments/ablation_estimate.h"

namespace pivotal::cli {
namespace {

struct Flags {
  std::filesystem::path recipe, output, steps, model;
  std::vector<uint64_t> seeds;
  bool dry_run = false;
  int probe = 8;

  std::filesystem::path Steps() const { return steps.empty() ? output / "steps" : steps; }
};

std::string Time(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  return seconds < 5400 ? fmt::format("{:.0f} min", seconds / 60) : fmt::format("{:.1f} h", seconds / 3600);
}

void PrintPlan(const experiments::Recipe& recipe, const Flags& flags, Progress& progress) {
  const auto plan = experiments::PlanAblation(recipe, flags.Steps());
  const auto rates = experiments::SecondsPerWork(recipe, plan, flags.probe, progress);
  double left = 0;
  int unknown = 0, open = 0;
  for (const auto& step : plan) {
    const auto rate = rates.find(step.sort);
    const double expected = rate != rates.end() ? rate->second * step.work : 0;
    fmt::print("{}  {:<60} {}\n", step.key, step.what,
               step.done ? "done in " + Time(step.seconds) : rate != rates.end() ? "about " + Time(expected) : "");
    if (step.done) continue;
    ++open;
    left += expected;
    unknown += rate == rates.end();
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
  ConsoleProgress progress;
  if (flags.dry_run) {
    PrintPlan(recipe, flags, progress);
    return;
  }
  const auto run = experiments::RunAblation(recipe, flags.Steps(), flags.output, progress);
  fmt::print("{}", experiments::AblationTable(recipe, run.result));
  fmt::print("\n{} steps in {}, {} found done; {}\n", run.steps, Time(run.seconds), run.reused,
             (flags.output / "report.html").string());
}

}  // namespace

void AddAblate(CLI::App& app) {
  auto* sub = app.add_subcommand("ablate", "Run the arms of a recipe, each step once, and compare them");
  auto flags = std::make_shared<Flags>();
  sub->add_option("recipe", flags->recipe, "recipe, a TOML file; see experiments/ablations")
      ->required()->check(CLI::ExistingFile);
  sub->add_option("--output", flags->output, "folder for results, and for steps; what it holds is not done again")->required();
  sub->add_option("--steps", flags->steps,
                  "folder for steps, which recipes may share: what two have in common is done once (default: OUTPUT/steps)");
  sub->add_option("--model", flags->model, "Hugging Face folder, in place of the recipe's")->check(CLI::ExistingDirectory);
  sub->add_option("--seeds", flags->seeds, "in place of the recipe's, e.g. --seeds 1 2 3")->take_all();
  sub->add_flag("--dry-run", flags->dry_run, "print the steps and about how long they take, and do none of them");
  sub->add_option("--probe", flags->probe,
                  "problems that --dry-run tries each kind of step on, where none is done yet, in a temporary folder; 0: none")
      ->check(CLI::Range(0, 1 << 20))->capture_default_str();
  sub->callback([flags] { Run(*flags); });
}

}  // namespace pivotal::cli
