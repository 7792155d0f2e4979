// Apache-2.0. Compares search strategies with the truth at several budgets: which fraction of the
// pivotal tokens each finds, how many of its reports are false, and what it costs.
//
//   search_vs_truth FAMILY SEED [WORLDS [STRATEGY|pairs]]
//
// FAMILY is one of
//   lane          WORLDS (100) worlds in which few tokens matter (tests/support/table_world.h)
//   drift         in which many tokens matter a little
//   rare          in which rare tokens matter much
//   strategy      in which a strategy is chosen early, with slips and recoveries later
//   alternatives  whose forks have 20 to 50 alternatives
//   near          in which many tokens miss the gap by little
//   tiny          20 responses of the tiny model, measured by rollouts (tests/support/tiny_truth.h)
// Worlds have two responses each, and their p follow by dynamic programming.
//
// "pairs" compares searches that make pairs; the others make none.
//
// Prints one line of JSON for each search. plot_search.py makes tables and a plot of them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "bench/search_score.h"
#include "data/base/error.h"
#include "experiments/settings/loading.h"
#include "kernels/philox.h"
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

// One strategy at one budget.
struct Arm {
  std::string setting;
  SearchOptions options;
  SearchScore score;
};

// Returns the strategies and budgets to compare. `modest` leaves out the largest budgets, which
// take too long with a model.
std::vector<Arm> Arms(bool modest) {
  SearchOptions base;
  base.gap = kGap;
  base.tolerance = kTolerance;
  base.confirm = 0;        // searches only, makes no pairs
  base.min_success = 0.1;  // searches all queries: they were chosen by their truth
  base.max_success = 0.9;
  std::vector<Arm> arms;
  for (double min_yield : {0.01, 0.006, 0.003, 0.0015, 0.0007}) {
    base.min_yield = min_yield;
    arms.push_back({fmt::format("min-yield {}", min_yield), base, {}});
  }
  const auto add = [&](StrategyKind kind, std::initializer_list<int32_t> budgets, int32_t most) {
    base.kind = kind;
    for (int32_t samples : budgets) {
      if (modest && samples > most) continue;
      base.samples = samples;
      arms.push_back({fmt::format("samples {}", samples), base, {}});
    }
  };
  add(StrategyKind::kSubdivide, {10, 32, 64, 256}, 64);
  add(StrategyKind::kSubdivideLength, {10, 32, 64, 256}, 64);
  add(StrategyKind::kExhaustive, {10, 64}, 10);
  return arms;
}

// Returns the settings that make pairs.
std::vector<Arm> PairArms() {
  SearchOptions base;
  base.gap = kGap;
  base.min_success = 0.1;
  base.max_success = 0.9;
  std::vector<Arm> arms = {{"default", base, {}}};
  SearchOptions options = base;
  options.kind = StrategyKind::kSubdivide;
  options.samples = 10;
  arms.push_back({"samples 10", options, {}});
  options = base;
  options.samples = 16;
  options.min_yield = 0.015;
  options.confidence = 0.5;
  options.responses = 8;
  arms.push_back({"16 samples, min-yield 0.015, confidence 0.5, 8 responses", options, {}});
  for (const double min_yield : {0.015, 0.03, 0.06}) {
    options = SearchOptions::ForPairs();
    options.gap = kGap;
    options.min_success = 0.1;
    options.max_success = 0.9;
    options.min_yield = min_yield;
    arms.push_back({fmt::format("min-yield {}", min_yield), options, {}});
  }
  return arms;
}

// Returns random options of world `number`: its length and its fraction of forks.
template <typename Options>
Options WorldOptions(uint64_t seed, int32_t number) {
  kernels::RandomStream random(seed, kernels::MixStream(0, static_cast<uint64_t>(number)));
  Options options;
  options.length = static_cast<int32_t>(40 * std::pow(10.0, random.Uniform()));  // 40 to 400
  options.forks = 0.05 + 0.25 * random.Uniform();
  if constexpr (requires { options.switches; }) options.switches = 4 + 6 * random.Uniform();
  options.seed = kernels::MixStream(seed, static_cast<uint64_t>(number));
  return options;
}

// Searches two responses of the one query of a world.
void SearchWorld(const TableWorld& world, uint64_t seed, Arm& arm) {
  testing::WorldPolicy policy(world, seed);
  const Query query{"q", "", "", {world.start()}};
  const auto judge = [&](const Query&, std::span<const TokenId> response) {
    return world.Success(response.back()) == 1;
  };
  SearchOptions options = arm.options;
  options.max_new_tokens = 1000;
  Progress progress;
  const auto grade = [&](std::vector<QueryTrace> group) {
    for (const ResponseTrace& response : group[0].responses) {
      std::vector<double> truth = {world.Success(world.start())};
      for (TokenId token : response.tokens) truth.push_back(world.Success(token));
      arm.score.Add(response, truth, std::vector<double>(truth.size(), 0.0));
    }
    arm.score.AddShares(group[0]);
    const auto reasons = pts::WhyNoPairs(group[0], {});
    for (std::size_t r = 0; r < reasons.size(); ++r) {
      for (std::size_t i = 0; i < reasons[r].size(); ++i) {
        const PivotalToken& token = group[0].responses[r].pivotal[i];
        if (reasons[r][i] == pts::NoPair::kNone)
          arm.score.AddPair(world.Success(token.chosen) - world.Success(token.rejected));
      }
    }
  };
  Search({&query, 1}, policy, judge, options, grade, progress);
  arm.score.AddTokens(static_cast<double>(policy.counters().decoded_tokens));
}

// A family of worlds: its name, and the world of a seed and number.
struct Family {
  const char* name;
  TableWorld (*make)(uint64_t seed, int32_t number);
};

template <typename Options, TableWorld (*make)(const Options&)>
TableWorld MakeWorld(uint64_t seed, int32_t number) {
  return make(WorldOptions<Options>(seed, number));
}

constexpr Family kFamilies[] = {
    {"lane", MakeWorld<testing::LaneWorldOptions, testing::LaneWorld>},
    {"drift", MakeWorld<testing::DriftWorldOptions, testing::DriftWorld>},
    {"rare", MakeWorld<testing::RareWorldOptions, testing::RareWorld>},
    {"strategy", MakeWorld<testing::StrategyWorldOptions, testing::StrategyWorld>},
    {"alternatives", MakeWorld<testing::AlternativesWorldOptions, testing::AlternativesWorld>},
    {"near", MakeWorld<testing::NearWorldOptions, testing::NearWorld>},
};

void SearchWorlds(const Family& family, uint64_t seed, int32_t worlds, std::vector<Arm>& arms) {
  for (int32_t number = 0; number < worlds; ++number) {
    const TableWorld world = family.make(seed, number);
    const double p = world.Success(world.start());
    if (p < 0.25 || p > 0.75) continue;
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
      arm.score.Add(found[i], truth.responses[i].p, slack);
    }
    arm.score.AddTokens(static_cast<double>(engine.counters().decoded_tokens));
  }
}

void Run(const std::string& family, uint64_t seed, int32_t worlds, const std::string& strategy) {
  auto arms = strategy == "pairs" ? PairArms() : Arms(family == "tiny");
  if (!strategy.empty() && strategy != "pairs")
    std::erase_if(arms, [kind = pts::kStrategyNames.Parse(strategy)](const Arm& arm) {
      return arm.options.kind != kind;
    });
  const auto* found = std::ranges::find(kFamilies, family, &Family::name);
  if (found != std::end(kFamilies))
    SearchWorlds(*found, seed, worlds, arms);
  else if (family == "tiny")
    SearchTiny(seed, arms);
  else
    Fail("search_vs_truth: \"{}\" is none of the families", family);
  for (const Arm& arm : arms)
    fmt::print(
        "{{\"family\": \"{}\", \"seed\": {}, \"strategy\": \"{}\", \"setting\": \"{}\", {}}}\n",
        family, seed, pts::kStrategyNames.Name(arm.options.kind), arm.setting, arm.score.Json());
}

}  // namespace
}  // namespace pivotal::bench

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() < 2 || args.size() > 4) {
    fmt::print(stderr,
               "usage: search_vs_truth lane|drift|rare|strategy|alternatives|near|tiny SEED "
               "[WORLDS [STRATEGY|pairs]]\n");
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
