// Apache-2.0. pivotal pairs
#include "pivotal/pairs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/checks.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"
#include "data/base/disk_room.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/pairs/pair_file.h"
#include "experiments/search/run_pairs.h"
#include "pts/pair_builder.h"

namespace pivotal::cli {
namespace {

struct PairsFlags {
  std::filesystem::path run, output;
  std::string source = "pivotal";
  PairOptions options;
  experiments::OtherPairs other;
  bool json = false, force = false;
};

// Throws Error if an option was given that the source does not read.
void RequireOptionsOfSource(const CLI::App& sub, const std::string& source) {
  struct Readers {
    const char* option;
    std::string_view source;  // the only one that reads it; "other": all but pivotal
  };
  constexpr std::array<Readers, 11> kReaders = {{{"--gap", "pivotal"},
                                                 {"--min-delta", "pivotal"},
                                                 {"--min-confidence", "pivotal"},
                                                 {"--max-false-share", "pivotal"},
                                                 {"--max-pairs-per-response", "pivotal"},
                                                 {"--count", "other"},
                                                 {"--judge", "judged"},
                                                 {"--judge-responses", "judged"},
                                                 {"--margin", "judged"},
                                                 {"--step-threshold", "step"},
                                                 {"--refusal", "refusal"}}};
  for (const auto& [option, reader] : kReaders) {
    if (sub.count(option) == 0 || source == reader) continue;
    if (reader == "other" && source != "pivotal") continue;
    Fail("{} has no effect with --source {}; leave it out{}", option, source,
         reader == "other" ? ", or choose another source"
                           : fmt::format(", or take --source {}", reader));
  }
}

// Writes the pairs; prints them if that fails.
void Save(const std::filesystem::path& output, const std::vector<PreferencePair>& pairs) {
  try {
    SavePairs(output, pairs);
  } catch (const Error& error) {
    std::string lines;
    for (const PreferencePair& pair : pairs) lines += data::ToLine(pair);
    PrintResult(lines);
    Fail("{}; the pairs are on standard output instead", error.what());
  }
}

void RunPairs(PairsFlags& flags) {
  const auto output = flags.output.empty() ? flags.run / "pairs.jsonl" : flags.output;
  data::RequireOutput(output, flags.force);
  flags.other.source = flags.source;
  const auto controls = pts::kControlNames.Names();
  if (flags.other.count == 0 && std::ranges::find(controls, flags.source) != controls.end())
    Fail("--source {} needs --count, the number of pairs", flags.source);
  if (flags.source == "judged" && flags.other.judge.empty())
    Fail("--source judged needs --judge, a command that scores responses");
  experiments::PairSummary summary;
  data::DiskRoom room;
  const auto begin = [&](int64_t bytes) {
    const auto folder = output.parent_path();
    room = data::DiskRoom(folder.empty() ? "." : folder, bytes);
  };
  const auto pairs = flags.source == "pivotal"
                         ? experiments::PairsOfRun(flags.run, flags.options, &summary)
                         : experiments::OtherPairsOfRun(flags.run, flags.other, &summary, begin);
  room.Release();
  Save(output, pairs);
  if (flags.json) {
    nlohmann::ordered_json object = {{"pairs", pairs.size()},
                                     {"output", output.string()},
                                     {"source", flags.source},
                                     {"problems", summary.problems},
                                     {"problems_with_pairs", summary.with_pairs}};
    if (summary.false_share) object["expected_false_share"] = *summary.false_share;
    if (!flags.other.judge.empty()) object["failed_scores"] = summary.scores.Failed();
    return PrintResult(data::JsonLine(object));
  }
  fmt::print("{} pairs in {}\n", pairs.size(), output.string());
  if (summary.false_share && *summary.false_share < 0.5)
    fmt::print("Of these at most {:.1f}% are expected to have the worse side chosen (e-BH)\n",
               100 * *summary.false_share);
  if (!summary.without_pairs.empty()) fmt::print("{}\n", summary.without_pairs);
  if (summary.scores.Failed() > 0) fmt::print("{}\n", summary.scores.Text());
}

}  // namespace

void AddPairs(CLI::App& app) {
  auto* sub = app.add_subcommand("pairs", "Turn a run's pivotal tokens into preference pairs");
  auto flags = std::make_shared<PairsFlags>();
  auto& other = flags->other;
  sub->add_option("run", flags->run, "run folder of pivotal search")->required();
  Under(*sub, group::kOutput);
  sub->add_option("--output", flags->output, "pair file to write (default: RUN/pairs.jsonl)")
      ->type_name("FILE");
  AddForceFlag(*sub, flags->force);
  AddJsonFlag(*sub, flags->json);
  Under(*sub, group::kPairs);
  sub->add_option("--gap", flags->options.gap,
                  "smallest difference between the p(success) of the two sides, on fresh rollouts")
      ->check(Interval("(0, 1)"))
      ->capture_default_str();
  sub->add_option("--min-delta", flags->options.min_delta,
                  "smallest change of p(success) across the pivotal token; only values above the "
                  "search's --gap have an effect")
      ->check(Interval("[0, 1)"))
      ->capture_default_str();
  sub->add_option("--min-confidence", flags->options.min_confidence,
                  "smallest confidence that the chosen side is better than the rejected one, on "
                  "fresh rollouts; 0: any")
      ->check(Interval("[0, 1)"))
      ->capture_default_str();
  sub->add_option("--max-false-share", flags->options.max_false_share,
                  "largest expected share of pairs whose chosen side is not better, over the whole "
                  "run: keeps the pairs with most evidence (e-BH); 1: any")
      ->check(Interval("(0, 1]"))
      ->capture_default_str();
  sub->add_option("--max-pairs-per-response", flags->options.max_pairs_per_response,
                  "number of pairs that a response gives at most, the largest differences first; "
                  "0: no limit")
      ->check(Whole(0, 1 << 20))
      ->capture_default_str();
  std::vector<std::string> sources = experiments::OtherSources();
  sources.insert(sources.begin(), "pivotal");
  sub->add_option("--source", flags->source,
                  "what the pairs are about: pivotal tokens; control tokens at random positions, "
                  "of highest entropy or of low probability (these load the model); full "
                  "responses, right against wrong; critical: the same, where each rejected token "
                  "weighs as much as it lowers p(success) (cDPO); step: the first wrong step of a "
                  "response against one that went right; judged responses, by the scores of "
                  "--judge; refusal against made-up answers")
      ->check(OneOf(sources))
      ->capture_default_str();
  sub->add_option("--count", other.count,
                  "number of pairs at most, for sources other than pivotal (default: all; control "
                  "tokens need a number)")
      ->check(Whole(1, 1 << 24));
  sub->add_option("--seed", other.seed, "seed of random positions and of the choice of responses")
      ->capture_default_str();
  sub->add_option("--judge", other.judge,
                  "command that scores responses for --source judged: for each line "
                  "{\"question\",\"answer\",\"response\"} on stdin it prints a line "
                  "{\"accuracy\":a,\"style\":b,\"detail\":c} of numbers, where higher is better");
  sub->add_option("--judge-responses", other.judge_responses,
                  "number of responses to each problem that --judge scores")
      ->check(Whole(2, 1 << 20))
      ->capture_default_str();
  sub->add_option("--judge-timeout", other.judge_timeout,
                  "seconds that --judge may take for one response")
      ->check(Interval("(0, inf)"))
      ->capture_default_str();
  sub->add_option("--margin", other.margin,
                  "smallest difference between the mean scores of the two sides of a judged pair")
      ->check(Interval("(0, inf)"))
      ->capture_default_str();
  sub->add_option("--step-threshold", other.threshold,
                  "p(success) below which a wrong step brings its response, for --source step; the "
                  "default is one right completion in eight, as in Math-Shepherd")
      ->check(Interval("(0, 1]"))
      ->capture_default_str();
  sub->add_option("--refusal", other.refusal, "text of the refusing side, for --source refusal")
      ->capture_default_str();
  SetHelp(*sub, {"RUN [OPTIONS]",
                 {"--output", "--gap", "--min-confidence", "--max-false-share",
                  "--max-pairs-per-response", "--source", "--count"},
                 {{"write run/pairs.jsonl", "pairs run"},
                  {"keep the pairs of which at most 1% are expected to be the wrong way round",
                   "pairs run --max-false-share 0.01 --output sure.jsonl"}},
                 "docs/training.md"});
  sub->callback([flags, sub] {
    RequireOptionsOfSource(*sub, flags->source);
    RunPairs(*flags);
  });
}

}  // namespace pivotal::cli
