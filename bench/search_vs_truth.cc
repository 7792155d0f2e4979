// Apache-2.0. Compares search strategies with the truth at several budgets: which fraction of the
// pivotal tokens each finds, how many of its reports are false, what it costs, and whether its
// intervals hold the truth.
//
//   search_vs_truth FAMILY SEED [WORLDS [STRATEGY|pairs|border|baselines]]
//
// FAMILY is one of
//   lane          WORLDS (100) worlds in which few tokens matter (tests/support/table_world.h)
//   drift         in which many tokens matter a little
//   rare          in which rare tokens matter much
//   strategy      in which a strategy is chosen early, with slips and recoveries later
//   alternatives  whose forks have 20 to 50 alternatives
//   near          in which many tokens miss the gap by little
//   coin          whose p_0 is 0.03 or 0.97; the band of the searches is wide open
//   tiny          20 responses of the tiny model, measured by rollouts (tests/support/tiny_truth.h)
// Worlds have two responses each, and their p follow by dynamic programming. Those whose p_0 is not
// in [0.25, 0.75] are left out.
//
// The last argument names one strategy, or else other searches than the usual ones:
//   pairs      those that make pairs; the others make none
//   border     those with the default band, on WORLDS short worlds whose p_0 is within 0.05 of one
//              of its ends
//   baselines  other people's methods (bench/baselines.h), with and without pairs
//
// Prints one line of JSON for each search. plot_search.py makes tables and a plot of them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench/baselines.h"
#include "bench/search_arms.h"
#include "bench/search_score.h"
#include "bench/world_families.h"
#include "data/base/error.h"
#include "experiments/settings/loading.h"
#include "pivotal/search.h"
#include "pts/judging.h"
#include "pts/pair_builder.h"
#include "pts/strategy.h"
#include "tests/support/given_search.h"
#include "tests/support/table_world.h"
#include "tests/support/tiny_truth.h"

namespace pivotal::bench {
namespace {

using testing::TableWorld;

// Adds the pairs of a query of a world to a score.
void ScorePairs(const TableWorld& world, const QueryTrace& query, SearchScore& score) {
  const auto reasons = pts::WhyNoPairs(query, {});
  for (std::size_t r = 0; r < reasons.size(); ++r) {
    for (std::size_t i = 0; i < reasons[r].size(); ++i) {
      const PivotalToken& token = query.responses[r].pivotal[i];
      if (reasons[r][i] == pts::NoPair::kNone)
        score.AddPair(world.Success(token.chosen) - world.Success(token.rejected));
    }
  }
}

// Returns p_0..p_n of a response of a world.
std::vector<double> TruthOf(const TableWorld& world, const ResponseTrace& response) {
  std::vector<double> truth = {world.Success(world.start())};
  for (const TokenId token : response.tokens) truth.push_back(world.Success(token));
  return truth;
}

// Lets a baseline report about the responses of a query, and make its pairs.
void RunBaseline(const TableWorld& world, const QueryTrace& query, Policy& policy,
                 const Judge& judge, int32_t max_new_tokens, Arm& arm) {
  RolloutSource source(query, policy, judge, max_new_tokens);
  QueryTrace paired = query;
  for (int32_t r = 0; r < std::ssize(query.responses); ++r) {
    const auto reports = arm.baseline(query, r, source);
    std::vector<int32_t> positions;
    std::vector<SearchScore::Sentence> sentences;
    for (const Report& report : reports) {
      positions.push_back(report.position);
      if (report.sentence.first > 0) sentences.push_back(report.sentence);
    }
    arm.score.AddReported(positions, arm.method == "anchors" ? &sentences : nullptr,
                          TruthOf(world, query.responses[r]));
    if (arm.options.confirm > 0) AddSides(reports, r, 32, arm.options.confirm, source, paired);
  }
  ScorePairs(world, paired, arm.score);
}

// Searches responses of the one query of a world.
void SearchWorld(const TableWorld& world, uint64_t seed, Arm& arm) {
  testing::WorldPolicy policy(world, seed);
  const Query query{"q", "", "", {world.start()}};
  const Judge judge = [&](const Query&, std::span<const TokenId> response) {
    return world.Success(response.back()) == 1;
  };
  SearchOptions options = arm.options;
  options.max_new_tokens = 1000;
  Progress progress;
  std::vector<QueryTrace> found;
  Search(
      {&query, 1}, policy, judge, options,
      [&](std::vector<QueryTrace> group) { found = std::move(group); }, progress);
  arm.score.BeginProblem();
  arm.score.AddShares(found[0]);
  if (arm.baseline) {
    RunBaseline(world, found[0], policy, judge, options.max_new_tokens, arm);
  } else {
    for (const ResponseTrace& response : found[0].responses) {
      const auto truth = TruthOf(world, response);
      arm.score.Add(response, truth, std::vector<double>(truth.size(), 0.0));
      for (const AlternativeToken& other : response.alternatives)
        arm.score.AddAlternative(other.low, other.high, world.Success(other.token));
    }
    ScorePairs(world, found[0], arm.score);
  }
  arm.score.AddTokens(static_cast<double>(policy.counters().decoded_tokens));
}

void SearchWorlds(const WorldFamily& family, uint64_t seed, int32_t worlds,
                  std::vector<Arm>& arms) {
  if (family.skewed) {
    for (Arm& arm : arms) {
      arm.options.min_success = 0;
      arm.options.max_success = 1;
    }
  }
  for (int32_t number = 0; number < worlds; ++number) {
    const TableWorld world = family.make({seed}, number);
    const double p = world.Success(world.start());
    if (!family.skewed && (p < 0.25 || p > 0.75)) continue;
    for (Arm& arm : arms) SearchWorld(world, static_cast<uint64_t>(number), arm);
  }
}

// Searches worlds of 40 to 60 tokens whose p_0 is near an end of the band.
void SearchBorder(const WorldFamily& family, uint64_t seed, int32_t worlds,
                  std::vector<Arm>& arms) {
  constexpr double kNear = 0.05;
  constexpr int32_t kTries = 200;  // worlds that are made for each that is wanted, at most
  const SearchOptions band;
  for (int32_t number = 0, found = 0; found < worlds && number / kTries < worlds; ++number) {
    const TableWorld world = family.make({seed, 60}, number);
    const double p = world.Success(world.start());
    if (std::min(std::abs(p - band.min_success), std::abs(p - band.max_success)) > kNear) continue;
    ++found;
    for (Arm& arm : arms) SearchWorld(world, static_cast<uint64_t>(number), arm);
  }
}

void SearchTiny(uint64_t seed, std::vector<Arm>& arms) {
  const std::filesystem::path tiny = PIVOTAL_SOURCE_DIR "/experiments/tiny";
  const auto truth =
      testing::LoadTinyTruth(PIVOTAL_SOURCE_DIR "/tests/experiments/tiny/tiny_truth.jsonl");
  ModelSettings settings;
  settings.folder = tiny / "model";
  const auto model = experiments::LoadModel(settings);
  const auto oracle = MakeOracle("hash");
  const auto judge = MakeJudge(model.tokenizer(), *oracle);
  const auto queries =
      experiments::MakeQueries(LoadProblems(tiny / "problems" / "train.jsonl"), model);
  const auto given = testing::GivenResponses(truth, queries);
  for (Arm& arm : arms) {
    model::EngineOptions engine_options;
    engine_options.seed = seed;
    model::RolloutEngine engine(model.phi(), engine_options);
    arm.options.max_new_tokens = truth.max_new_tokens;
    const auto found = testing::SearchGiven(given, engine, judge, arm.options);
    for (std::size_t i = 0; i < found.size(); ++i) {
      std::vector<double> slack;
      for (double error : truth.responses[i].p_error) slack.push_back(2 * error);
      arm.score.BeginProblem();
      arm.score.Add(found[i], truth.responses[i].p, slack);
    }
    arm.score.AddTokens(static_cast<double>(engine.counters().decoded_tokens));
  }
}

std::vector<Arm> ArmsFor(const std::string& what, bool tiny) {
  if (what == "pairs") return PairArms();
  if (what == "border") return BorderArms();
  if (what == "baselines") return BaselineArms();
  auto arms = Arms(tiny);
  if (!what.empty())
    std::erase_if(arms, [kind = pts::kStrategyNames.Parse(what)](const Arm& arm) {
      return arm.options.kind != kind;
    });
  return arms;
}

void Run(const std::string& family, uint64_t seed, int32_t worlds, const std::string& what) {
  const bool border = what == "border", tiny = family == "tiny";
  if (tiny && (border || what == "baselines"))
    Fail("search_vs_truth: {} is for worlds, not for the tiny model", what);
  auto arms = ArmsFor(what, tiny);
  if (tiny)
    SearchTiny(seed, arms);
  else if (border)
    SearchBorder(FamilyNamed(family), seed, worlds, arms);
  else
    SearchWorlds(FamilyNamed(family), seed, worlds, arms);
  for (const Arm& arm : arms) {
    const std::string strategy(
        arm.baseline ? arm.method : std::string(pts::kStrategyNames.Name(arm.options.kind)));
    fmt::print(
        "{{\"family\": \"{}\", \"searches\": \"{}\", \"seed\": {}, \"strategy\": \"{}\", "
        "\"setting\": \"{}\", \"confidence\": {}, {}}}\n",
        family, border || what == "baselines" || what == "pairs" ? what : "usual", seed, strategy,
        arm.setting, arm.options.confidence, arm.score.Json());
  }
}

}  // namespace
}  // namespace pivotal::bench

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() < 2 || args.size() > 4) {
    fmt::print(stderr,
               "usage: search_vs_truth FAMILY SEED [WORLDS [STRATEGY|pairs|border|baselines]]\n");
    return 2;
  }
  try {
    pivotal::bench::Run(args[0], std::stoull(args[1]), args.size() > 2 ? std::stoi(args[2]) : 100,
                        args.size() > 3 ? args[3] : "");
  } catch (const std::exception& error) {
    fmt::print(stderr, "search_vs_truth: {}\n", error.what());
    return 1;
  }
}
