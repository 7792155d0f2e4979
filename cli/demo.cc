// Apache-2.0. pivotal demo
#include "experiments/demo/demo.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/checks.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"
#include "cli/patient_threads.h"
#include "data/base/folders.h"

namespace pivotal::cli {
namespace {

// Returns "pivotal-demo", or "pivotal-demo-2" and so on if that exists.
std::filesystem::path FreeFolder() {
  std::filesystem::path folder = "pivotal-demo";
  for (int i = 2; data::Exists(folder); ++i) folder = fmt::format("pivotal-demo-{}", i);
  return folder;
}

// Returns the folder of a world: of the installation that the program is in, or else of the source
// tree that it was built from.
std::filesystem::path WorldFolder(std::string_view world) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto installed =
      program.parent_path().parent_path() / PIVOTAL_DATA_FOLDER / "pivotal" / world;
  if (!error && std::filesystem::exists(installed, error)) return installed;
  return std::filesystem::path(PIVOTAL_WORLDS_FOLDER) / world;
}

// Takes the world with this name, and its number of problems unless one is given.
void TakeWorld(const std::string& name, bool has_problems, experiments::DemoSettings& settings) {
  for (const experiments::DemoWorld& world : experiments::kDemoWorlds) {
    if (world.name != name) continue;
    settings.world = world;
    settings.sampling.max_new_tokens = world.max_new_tokens;
    settings.folder = WorldFolder(name);
    if (!has_problems) settings.train_problems = world.train_problems;
  }
}

void RunDemo(experiments::DemoSettings& settings) {
  if (settings.output.empty()) settings.output = FreeFolder();
  ConsoleProgress progress;
  experiments::RunDemo(
      settings, UsesColour(STDOUT_FILENO), [](std::string_view text) { PrintNow(text); }, progress);
}

}  // namespace

void AddDemo(CLI::App& app) {
  auto* sub = app.add_subcommand(
      "demo", "Improve a small model in a minute or so: search, pairs, DPO and evaluation");
  auto settings = std::make_shared<experiments::DemoSettings>();
  auto world = std::make_shared<std::string>(experiments::kDemoWorlds[0].name);
  std::vector<std::string> worlds;
  for (const experiments::DemoWorld& one : experiments::kDemoWorlds) worlds.emplace_back(one.name);
  sub->add_option(
         "--world", *world,
         "model and problems to show: tiny, arithmetic in words, or small, which has the chat "
         "template of an instruct model and takes longer")
      ->check(OneOf(worlds))
      ->type_name("NAME")
      ->capture_default_str();
  sub->add_option("--output", settings->output,
                  "folder to make (default: pivotal-demo, with a number if that exists)")
      ->type_name("FOLDER");
  sub->add_option("--device", settings->device,
                  "device to run on: auto (a GPU if there is one), cpu, cuda or cuda:N")
      ->capture_default_str();
  auto* problems =
      sub->add_option("--problems", settings->train_problems,
                      "number of problems to search; 0: all (default: 150, of small 40)");
  sub->add_option("--heldout", settings->heldout_problems,
                  "number of other problems to evaluate on; 0: all")
      ->capture_default_str();
  sub->add_option("--samples", settings->search.samples, "most rollouts from each prompt")
      ->check(Whole(1, 1 << 20))
      ->capture_default_str();
  sub->add_flag("--control", settings->control,
                "also train a model on as many pairs at random positions, for comparison");
  sub->add_option("--seed", settings->seed, "seed of the rollouts and of the order of the pairs")
      ->capture_default_str();
  SetHelp(*sub, {"[OPTIONS]",
                 {"--output", "--device", "--problems", "--heldout", "--samples", "--control",
                  "--seed", "--world"},
                 {{"make pivotal-demo/", "demo"},
                  {"compare with pairs at random positions", "demo --control"},
                  {"see an instruct model with many kinds of problems", "demo --world small"}},
                 "docs/start.md"});
  sub->callback([settings, world, problems] {
    UsePatientThreads();
    TakeWorld(*world, !problems->empty(), *settings);
    RunDemo(*settings);
  });
}

}  // namespace pivotal::cli
