// Apache-2.0. pivotal pairs
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/console.h"
#include "cli/flags.h"
#include "data/error.h"
#include "data/file_sink.h"
#include "data/pair_file.h"
#include "experiments/pair_run.h"

namespace pivotal::cli {
namespace {

struct Flags {
  std::filesystem::path run, output;
  pts::PairOptions options;
  bool pivotal = true;
  experiments::OtherPairs other;
};

void Run(const Flags& flags) {
  const auto output = flags.output.empty() ? flags.run / "pairs.jsonl" : flags.output;
  data::RequireAbsent(output);
  const auto controls = pts::ControlNames();
  if (!flags.pivotal && flags.other.count == 0 && std::ranges::find(controls, flags.other.source) != controls.end())
    Fail("--source {} needs --count, the number of pairs", flags.other.source);
  if (!flags.pivotal && flags.other.source == "judged" && flags.other.judge.empty())
    Fail("--source judged needs --judge, a command that scores responses");
  const auto pairs = flags.pivotal ? experiments::PairsOfRun(flags.run, flags.options)
                                   : experiments::OtherPairsOfRun(flags.run, flags.other);
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
  std::vector<std::string> sources = experiments::OtherSources();
  sources.insert(sources.begin(), "pivotal");
  auto source = std::make_shared<std::string>("pivotal");
  sub->add_option("--source", *source,
                  "pivotal; controls: tokens at random positions, of highest entropy, of low probability (these load the "
                  "model); whole responses: full, right against wrong; judged, by the scores of --judge; refusal, against "
                  "making answers up")
      ->check(CLI::IsMember(sources))->capture_default_str();
  auto& other = flags->other;
  sub->add_option("--count", other.count, "pairs of another source than pivotal, at most (default: all; of tokens it is needed)")
      ->check(CLI::Range(1, 1 << 24));
  sub->add_option("--seed", other.seed, "of random positions and of whole responses")->capture_default_str();
  sub->add_option("--judge", other.judge,
                  "command that scores responses: for each line {\"question\",\"answer\",\"response\"} on stdin it prints a "
                  "line {\"accuracy\":a,\"style\":b,\"detail\":c}, numbers, the higher the better");
  sub->add_option("--judge-responses", other.judge_responses, "of a problem that are scored")
      ->check(CLI::Range(2, 1 << 20))->capture_default_str();
  sub->add_option("--judge-timeout", other.judge_timeout, "seconds for one score")
      ->check(CLI::PositiveNumber)->capture_default_str();
  sub->add_option("--margin", other.margin, "of the mean scores of a judged pair, at least")
      ->check(CLI::PositiveNumber)->capture_default_str();
  sub->add_option("--refusal", other.refusal, "text of refusal pairs")->capture_default_str();
  sub->callback([flags, source] {
    flags->pivotal = *source == "pivotal";
    if (!flags->pivotal) flags->other.source = *source;
    Run(*flags);
  });
}

}  // namespace pivotal::cli
