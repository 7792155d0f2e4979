// Apache-2.0. pivotal pairs
#include <fmt/format.h>

#include <memory>

#include "cli/console.h"
#include "cli/flags.h"
#include "data/error.h"
#include "data/file_sink.h"
#include "data/pair_file.h"
#include "experiments/search_run.h"

namespace pivotal::cli {
namespace {

struct Flags {
  std::filesystem::path run, output;
  pts::PairOptions options;
  std::string source = "pivotal";
  int32_t count = 0;
  uint64_t seed = 1;
};

void Run(const Flags& flags) {
  const auto output = flags.output.empty() ? flags.run / "pairs.jsonl" : flags.output;
  data::RequireAbsent(output);
  if (flags.source != "pivotal" && flags.count == 0) Fail("--source {} needs --count, the number of pairs", flags.source);
  const auto pairs = flags.source == "pivotal"
                         ? experiments::PairsOfRun(flags.run, flags.options)
                         : experiments::OtherPairsOfRun(flags.run, {flags.source, flags.count, flags.seed});
  data::SavePairs(output, pairs);
  fmt::print("{} pairs in {}\n", pairs.size(), output.string());
}

}  // namespace

void AddPairs(CLI::App& app) {
  auto* sub = app.add_subcommand("pairs", "Turn a run's pivotal tokens into preference pairs");
  auto flags = std::make_shared<Flags>();
  sub->add_option("run", flags->run, "run folder of pivotal search")->required();
  sub->add_option("--output", flags->output, "pair file to write (default: RUN/pairs.jsonl)");
  sub->add_option("--gap", flags->options.gap,
                  "least difference of the two sides' p(success) on fresh rollouts")
      ->check(kOpenUnitInterval)->capture_default_str();
  sub->add_option("--min-delta", flags->options.min_delta,
                  "least change of p(success) across the pivotal token, above the search's own --gap")
      ->check(CLI::Range(0.0, 0.999999))->capture_default_str();
  sub->add_option("--min-confidence", flags->options.min_confidence,
                  "that chosen is better than rejected on fresh rollouts; 0: none asked for")
      ->check(CLI::Range(0.0, 0.999999))->capture_default_str();
  sub->add_option("--max-pairs-per-response", flags->options.max_pairs_per_response,
                  "keep those with the largest difference; 0: all")
      ->check(CLI::Range(0, 1 << 20))->capture_default_str();
  std::vector<std::string> sources = pts::ControlNames();
  sources.insert(sources.begin(), "pivotal");
  sources.push_back("full");
  sub->add_option("--source", flags->source,
                  "pivotal; controls: tokens at random positions, of highest entropy, of low probability (these load the "
                  "model), or full: whole responses, right against wrong")
      ->check(CLI::IsMember(sources))->capture_default_str();
  sub->add_option("--count", flags->count, "pairs of another source than pivotal")->check(CLI::Range(1, 1 << 24));
  sub->add_option("--seed", flags->seed, "of random positions and full responses")->capture_default_str();
  sub->callback([flags] { Run(*flags); });
}

}  // namespace pivotal::cli
