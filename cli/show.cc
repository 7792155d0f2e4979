// Apache-2.0. pivotal show
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "cli/console.h"
#include "cli/flags.h"
#include "data/error.h"
#include "data/trace_store.h"
#include "experiments/response_view.h"

namespace pivotal::cli {
namespace {

struct Flags {
  std::filesystem::path run;
  std::vector<std::string> problems;
};

int32_t TerminalWidth() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col : 100;
}

void Run(const Flags& flags) {
  const auto config = experiments::LoadRunConfig(flags.run);
  const auto traces = data::TraceStore(flags.run).ReadAll();
  const experiments::ViewOptions options{config.search.gap, TerminalWidth(), UsesColour(STDOUT_FILENO)};
  if (flags.problems.empty()) {
    fmt::print("{}", experiments::ProblemTable(traces, options));
    return;
  }
  const auto tokenizer = data::LoadTokenizer(config.model.folder);
  bool first = true;
  for (const std::string& id : flags.problems) {
    const auto found = std::ranges::find(traces, id, &data::QueryTrace::id);
    if (found == traces.end())
      Fail("{}: holds no problem {}; pivotal show {} lists them", flags.run.string(), id, flags.run.string());
    fmt::print("{}{}", first ? "" : "\n", experiments::ProblemView(*found, *tokenizer, options));
    first = false;
  }
}

}  // namespace

void AddShow(CLI::App& app) {
  auto* sub = app.add_subcommand("show", "A run's problems, or the tokens of their responses with p(success) above them");
  auto flags = std::make_shared<Flags>();
  sub->add_option("run", flags->run, "run folder of pivotal search")->required();
  sub->add_option("--problem", flags->problems, "id of a problem to show; as often as wanted")
      ->allow_extra_args(false)->take_all();
  sub->callback([flags] { Run(*flags); });
}

}  // namespace pivotal::cli
