// Apache-2.0. pivotal search
#include <fmt/format.h>

#include <memory>

#include "cli/console.h"
#include "cli/flags.h"
#include "experiments/search_run.h"

namespace pivotal::cli {
namespace {

struct Flags {
  experiments::RunConfig config;
  std::filesystem::path output, resume;
};

void Run(const Flags& flags) {
  ConsoleProgress progress;
  const bool resume = !flags.resume.empty();
  const auto& run = resume ? flags.resume : flags.output;
  const auto result = resume ? experiments::ResumeSearch(run, progress)
                             : experiments::RunSearch(flags.config, run, progress);
  const auto& s = result.summary;
  if (result.resumed > 0) fmt::print("problems found done  {}\n", result.resumed);
  fmt::print("problems             {}\n", s.queries);
  fmt::print("  in the band        {}\n", s.searched);
  fmt::print("responses searched   {}\n", s.responses);
  fmt::print("pivotal tokens       {}\n", s.pivotal);
  fmt::print("  with another side  {}\n", s.candidates);
  fmt::print("rollouts             {}\n", result.counters.rollouts);
  fmt::print("generated tokens     {} ({:.0f}/s)\n", result.counters.decoded_tokens,
             static_cast<double>(result.counters.decoded_tokens) /
                 std::max(result.counters.seconds, 1e-9));
  fmt::print("Next: pivotal pairs {0} --output {0}/pairs.jsonl\n", run.string());
}

}  // namespace

void AddSearch(CLI::App& app) {
  auto* sub = app.add_subcommand("search", "Find the pivotal tokens of sampled responses");
  auto flags = std::make_shared<Flags>();
  auto& search = flags->config.search;
  AddModelFlags(*sub, flags->config.model);
  AddSystemFlag(*sub, flags->config.model);
  AddProblemFlags(*sub, flags->config.problems);
  auto* output = sub->add_option("--output", flags->output, "run folder to make");
  auto* resume = sub->add_option("--resume", flags->resume,
                                 "go on with this run folder, under its own settings");
  resume->excludes(output);
  sub->add_option("--gap", search.gap, "a token is pivotal if p(success) changes by this much")
      ->check(kOpenUnitInterval)->capture_default_str();
  sub->add_option("--samples", search.samples, "rollouts per estimate")
      ->check(CLI::Range(1, 1 << 20))->capture_default_str();
  sub->add_option("--confirm", search.confirm, "fresh rollouts per side of a candidate pair")
      ->check(CLI::Range(0, 1 << 20))->capture_default_str();
  sub->add_option("--min-success", search.min_success, "leave problems with a lower p(success)")
      ->check(CLI::Range(0.0, 1.0))->capture_default_str();
  sub->add_option("--max-success", search.max_success, "leave problems with a higher p(success)")
      ->check(CLI::Range(0.0, 1.0))->capture_default_str();
  sub->add_option("--responses", search.responses, "responses to search per problem")
      ->check(CLI::Range(1, 1 << 20))->capture_default_str();
  sub->add_option("--group", search.group, "problems that share batches and are stored together")
      ->check(CLI::Range(1, 1 << 20))->capture_default_str();
  AddSamplingFlags(*sub, flags->config.sampling);
  // With --resume, every setting comes from run.toml.
  for (const char* name : {"--model", "--problems"}) sub->get_option(name)->required(false);
  sub->callback([flags, sub] {
    if (flags->resume.empty()) {
      for (const char* name : {"--model", "--problems", "--output"})
        if (sub->get_option(name)->empty()) throw CLI::RequiredError(name);
    }
    Run(*flags);
  });
}

}  // namespace pivotal::cli
