// Apache-2.0. pivotal ablate
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <set>
#include <vector>

#include "cli/checks.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"
#include "cli/patient_threads.h"
#include "data/base/error.h"
#include "data/base/text.h"
#include "experiments/ablation/ablation.h"

namespace pivotal::cli {
namespace {

struct AblateFlags {
  std::filesystem::path recipe, output, steps, model;
  std::string baseline;
  std::vector<uint64_t> seeds;
  bool dry_run = false, json = false;
  int probe = 8;
};

void RunAblate(const AblateFlags& flags) {
  experiments::Recipe recipe = experiments::LoadRecipe(flags.recipe, flags.model, flags.baseline);
  if (!flags.seeds.empty()) recipe.seeds = flags.seeds;
  if (std::set<uint64_t>(recipe.seeds.begin(), recipe.seeds.end()).size() < recipe.seeds.size())
    Fail("--seeds has a seed twice; seeds must differ from one another");
  const auto steps = flags.steps.empty() ? flags.output / "steps" : flags.steps;
  ConsoleProgress progress;
  if (flags.dry_run) {
    PrintVisible(experiments::PlanText(recipe, steps, flags.probe, progress));
    return;
  }
  const auto run = experiments::RunAblation(recipe, steps, flags.output, progress);
  if (flags.json) return PrintResult(run.json);
  PrintResult(data::Visible(experiments::AblationTable(recipe, run.result)));
  fmt::print("\n{} steps in {}, {} found done; {}\n", run.steps, experiments::TimeText(run.seconds),
             run.reused, (flags.output / "report.html").string());
}

}  // namespace

void AddAblate(CLI::App& app) {
  auto* sub = app.add_subcommand(
      "ablate", "Run the arms of a recipe, each step once, and compare their accuracy");
  auto flags = std::make_shared<AblateFlags>();
  sub->add_option("recipe", flags->recipe,
                  "recipe, a TOML file; experiments/ablation/recipes has examples")
      ->required()
      ->check(CLI::ExistingFile);
  sub->add_option("--output", flags->output,
                  "folder for results and steps; steps that it holds are not done again")
      ->type_name("FOLDER")
      ->required();
  sub->add_option("--steps", flags->steps,
                  "folder for steps; recipes that name the same folder do their common steps once, "
                  "and several processes may be at work in it (default: OUTPUT/steps)")
      ->type_name("FOLDER");
  auto* model = sub->add_option("--model", flags->model,
                                "folder of a Phi model or its name on the Hub, in place of the one "
                                "that the recipe names");
  model->type_name("FOLDER")->check(CLI::ExistingDirectory);
  FindOnHub(model, *sub, experiments::ModelPart::kWhole);
  sub->add_option("--seeds", flags->seeds,
                  "seeds, in place of those that the recipe names, e.g. --seeds 1 2 3")
      ->take_all();
  sub->add_option("--baseline", flags->baseline,
                  "name of the arm that all others are compared with, in place of the one that the "
                  "recipe names; with the same --steps nothing is done again")
      ->type_name("ARM");
  sub->add_flag(
      "--dry-run", flags->dry_run,
      "print the steps, about how long they take, and how small a change of accuracy they "
      "can find; do none of them");
  sub->add_option("--probe", flags->probe,
                  "number of problems on which --dry-run times each kind of step that was never "
                  "done, in a temporary folder; 0: times no step")
      ->check(Whole(0, 1 << 20))
      ->capture_default_str();
  AddJsonFlag(*sub, flags->json);
  SetHelp(*sub,
          {"RECIPE --output FOLDER [OPTIONS]",
           {"--output", "--steps", "--model", "--seeds", "--dry-run"},
           {{"say which steps there are, how long they take and what they can find",
             "ablate recipe.toml --output ablation --dry-run"},
            {"run them with three seeds", "ablate recipe.toml --output ablation --seeds 1 2 3"},
            {"compare the same results with another arm",
             "ablate recipe.toml --steps ablation/steps --output beside --baseline \"SFT\""}},
           "docs/recipes.md"});
  sub->get_option("--json")->excludes("--dry-run");
  sub->callback([flags] {
    UsePatientThreads();
    RunAblate(*flags);
  });
}

}  // namespace pivotal::cli
