// Apache-2.0. pivotal demo
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "cli/console.h"
#include "cli/flags.h"
#include "data/trace_store.h"
#include "experiments/demo.h"
#include "experiments/demo_report.h"

namespace pivotal::cli {
namespace {

// "pivotal-demo", or with the first free number behind it.
std::filesystem::path FreeFolder() {
  std::filesystem::path folder = "pivotal-demo";
  for (int i = 2; std::filesystem::exists(folder); ++i) folder = fmt::format("pivotal-demo-{}", i);
  return folder;
}

// Of an install, beside the program; else that of the tree that it was built in.
std::filesystem::path TinyFolder() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto installed = program.parent_path().parent_path() / PIVOTAL_DATA_FOLDER / "pivotal" / "tiny";
  return !error && std::filesystem::exists(installed, error) ? installed : PIVOTAL_TINY_FOLDER;
}

void Run(experiments::DemoSettings& settings) {
  if (settings.output.empty()) settings.output = FreeFolder();
  fmt::print("Searching {} problems with the model in {}; everything goes to {}\n",
             settings.train_problems, (settings.tiny / "model").string(), settings.output.string());
  std::fflush(stdout);
  ConsoleProgress progress;
  const auto result = experiments::RunDemo(settings, progress);
  const auto tokenizer = data::LoadTokenizer(settings.tiny / "model");
  const auto traces = data::TraceStore(settings.output / "run").ReadAll();
  fmt::print("{}", experiments::DemoResponses(traces, *tokenizer, settings.search.gap, 3,
                                              UsesColour(STDOUT_FILENO)));
  fmt::print("{}", experiments::DemoTable(result));
}

}  // namespace

void AddDemo(CLI::App& app) {
  auto* sub = app.add_subcommand("demo", "Search, pairs, DPO and evaluation on the tiny model");
  auto settings = std::make_shared<experiments::DemoSettings>();
  settings->tiny = TinyFolder();
  sub->add_option("--tiny", settings->tiny, "folder that holds model/ and problems/")
      ->capture_default_str();
  sub->add_option("--output", settings->output, "folder to make (default: pivotal-demo)");
  sub->add_option("--device", settings->device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  sub->add_option("--problems", settings->train_problems, "train problems to search; 0: all")
      ->capture_default_str();
  sub->add_option("--heldout", settings->heldout_problems, "held-out problems to evaluate; 0: all")
      ->capture_default_str();
  sub->add_option("--samples", settings->search.samples, "rollouts per estimate")
      ->check(CLI::Range(1, 1 << 20))->capture_default_str();
  sub->add_flag("--control", settings->control,
                "also train on as many pairs at random positions, for comparison");
  sub->add_option("--seed", settings->seed, "of rollouts and of the data order")
      ->capture_default_str();
  sub->callback([settings] { Run(*settings); });
}

}  // namespace pivotal::cli
