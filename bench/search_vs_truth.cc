// Apache-2.0. Compares search strategies with the truth at several budgets: which fraction of the
// pivotal tokens each finds, how many of its reports are false, what it costs, and whether its
// intervals hold the truth.
//
//   search_vs_truth FAMILY SEED [WORLDS [STRATEGY|pairs|border|baselines|control]]
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
//   baselines  other people's methods (bench/baselines.h), with and without pairs; for the tiny
//              model without cdpo, as its tokens do not name their state (see
//              contrastive_scores.py). 1,000 fresh rollouts of each side tell which pairs of the
//              tiny model are true; they do not count as generated tokens.
//   control    the default search of all worlds as one run, of whose tokens the most probable
//              are kept (pts/found_tokens.h): how many really lie below the gap?
//
// Prints one line of JSON for each search. plot_search.py makes tables and a plot of them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
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
#include "kernels/philox.h"
#include "pivotal/search.h"
#include "pts/found_tokens.h"
#include "pts/judging.h"
#include "pts/pair_builder.h"
#include "pts/strategy.h"
#include "tests/support/given_search.h"
#include "tests/support/table_world.h"
#include "tests/support/tiny_truth.h"

namespace pivotal::bench {
namespace {

using testing::TableWorld;

constexpr int32_t kAside = 32;    // rollouts from which a baseline's other side is picked
constexpr int32_t kCheck = 1000;  // rollouts of each side of a pair of the tiny model

// Adds the pairs of a query to a score. `difference` returns the true p(chosen) - p(rejected) of a
// token of response r.
void ScorePairs(const QueryTrace& query,
                const std::function<double(int32_t r, const PivotalToken& token)>& difference,
                SearchScore& score) {
  const auto reasons = pts::WhyNoPairs(query, {});
  for (std::size_t r = 0; r < reasons.size(); ++r) {
    for (std::size_t i = 0; i < reasons[r].size(); ++i) {
      const PivotalToken& token = query.responses[r].pivotal[i];
      if (reasons[r][i] == pts::NoPair::kNone)
        score.AddPair(difference(static_cast<int32_t>(r), token));
    }
  }
}

// Adds the pairs of a query of a world to a score.
void ScorePairs(const TableWorld& world, const QueryTrace& query, SearchScore& score) {
  ScorePairs(
      query,
      [&](int32_t, const PivotalToken& token) {
        return world.Success(token.chosen) - world.Success(token.rejected);
      },
      score);
}

// Returns p_0..p_n of a response of a world.
std::vector<double> TruthOf(const TableWorld& world, const ResponseTrace& response) {
  std::vector<double> truth = {world.Success(world.start())};
  for (const TokenId token : response.tokens) truth.push_back(world.Success(token));
  return truth;
}

// Lets a baseline report about a response of a query, whose truth is p_0..p_n, and adds the tokens
// of its pairs to the response in `paired`.
void RunBaseline(const QueryTrace& query, int32_t response, std::span<const double> truth,
                 RolloutSource& source, Arm& arm, QueryTrace& paired) {
  const auto reports = arm.baseline(query, response, source);
  std::vector<int32_t> positions;
  std::vector<SearchScore::Sentence> sentences;
  for (const Report& report : reports) {
    positions.push_back(report.position);
    if (report.sentence.first > 0) sentences.push_back(report.sentence);
  }
  arm.score.AddReported(positions, arm.method == "anchors" ? &sentences : nullptr, truth);
  if (arm.options.confirm > 0)
    AddSides(reports, response, kAside, arm.options.confirm, source, paired);
}

constexpr int32_t kMostTokens = 1000;  // of a response

Judge JudgeOf(const TableWorld& world) {
  return [&world](const Query&, std::span<const TokenId> response) {
    return world.Success(response.back()) == 1;
  };
}

// Searches responses of the one query of a world.
QueryTrace Searched(const TableWorld& world, const Judge& judge, const SearchOptions& options,
                    testing::WorldPolicy& policy) {
  const Query query{"q", "", "", {world.start()}};
  Progress progress;
  std::vector<QueryTrace> found;
  Search(
      {&query, 1}, policy, judge, options,
      [&](std::vector<QueryTrace> group) { found = std::move(group); }, progress);
  return std::move(found[0]);
}

// Searches a world and scores what is found.
void SearchWorld(const TableWorld& world, uint64_t seed, Arm& arm) {
  testing::WorldPolicy policy(world, seed);
  const Judge judge = JudgeOf(world);
  SearchOptions options = arm.options;
  options.max_new_tokens = kMostTokens;
  const QueryTrace found = Searched(world, judge, options, policy);
  arm.score.BeginProblem();
  arm.score.AddShares(found);
  if (arm.baseline) {
    RolloutSource source(found, policy, judge, options.max_new_tokens);
    QueryTrace paired = found;
    for (int32_t r = 0; r < std::ssize(paired.responses); ++r)
      RunBaseline(found, r, TruthOf(world, found.responses[r]), source, arm, paired);
    ScorePairs(world, paired, arm.score);
  } else {
    for (const ResponseTrace& response : found.responses) {
      const auto truth = TruthOf(world, response);
      arm.score.Add(response, truth, std::vector<double>(truth.size(), 0.0));
      for (const AlternativeToken& other : response.alternatives)
        arm.score.AddAlternative(other.low, other.high, world.Success(other.token));
    }
    ScorePairs(world, found, arm.score);
  }
  arm.score.AddTokens(static_cast<double>(policy.counters().decoded_tokens));
}

// Calls `search` with the worlds of a family whose p_0 is in [0.25, 0.75], or with all of a skewed
// family.
void EachWorld(const WorldFamily& family, uint64_t seed, int32_t worlds,
               const std::function<void(const TableWorld& world, uint64_t number)>& search) {
  for (int32_t number = 0; number < worlds; ++number) {
    const TableWorld world = family.make({seed}, number);
    const double p = world.Success(world.start());
    if (family.skewed || (p >= 0.25 && p <= 0.75)) search(world, static_cast<uint64_t>(number));
  }
}

void SearchWorlds(const WorldFamily& family, uint64_t seed, int32_t worlds,
                  std::vector<Arm>& arms) {
  if (family.skewed) {
    for (Arm& arm : arms) {
      arm.options.min_success = 0;
      arm.options.max_success = 1;
    }
  }
  EachWorld(family, seed, worlds, [&](const TableWorld& world, uint64_t number) {
    for (Arm& arm : arms) SearchWorld(world, number, arm);
  });
}

// Prints for several shares how many tokens are kept, and how many of them lie below the gap.
void Control(const std::string& family, uint64_t seed, int32_t worlds) {
  SearchOptions options = Arms(true).front().options;
  options.min_yield = SearchOptions().min_yield;
  options.max_new_tokens = kMostTokens;
  std::vector<QueryTrace> run;
  std::vector<std::vector<std::vector<double>>> truth;  // [query][response][k]
  EachWorld(FamilyNamed(family), seed, worlds, [&](const TableWorld& world, uint64_t number) {
    testing::WorldPolicy policy(world, number);
    run.push_back(Searched(world, JudgeOf(world), options, policy));
    auto& responses = truth.emplace_back();
    for (const ResponseTrace& response : run.back().responses)
      responses.push_back(TruthOf(world, response));
  });
  pts::LearnProbabilities(run, kGap);
  for (const double share : {1.0, 0.1, 0.05, 0.02, 0.01}) {  // each keeps part of what is left
    const pts::KeptTokens kept = pts::KeepTokens(run, share);
    int64_t below = 0;
    for (std::size_t q = 0; q < run.size(); ++q)
      for (std::size_t r = 0; r < run[q].responses.size(); ++r)
        for (const PivotalToken& token : run[q].responses[r].pivotal)
          below += std::abs(truth[q][r][token.position] - truth[q][r][token.position - 1]) < kGap;
    fmt::print(R"({{"family": "{}", "searches": "control", "seed": {}, "max_false_share": {}, )"
               R"("kept": {}, "expected_below": {:.4f}, "below": {:.4f}}})"
               "\n",
               family, seed, share, kept.kept, kept.false_share,
               kept.kept > 0 ? static_cast<double>(below) / static_cast<double>(kept.kept) : 0.0);
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

// The tiny model and its responses whose truth is known.
struct Tiny {
  testing::TinyTruth truth;
  experiments::LoadedModel model;
  std::unique_ptr<const Oracle> oracle;
  Judge judge;
  std::vector<testing::GivenResponse> given;

  Tiny()
      : truth(
            testing::LoadTinyTruth(PIVOTAL_SOURCE_DIR "/tests/experiments/tiny/tiny_truth.jsonl")),
        model(experiments::LoadModel(Settings())),
        oracle(MakeOracle("hash")),
        judge(MakeJudge(model.tokenizer(), *oracle)),
        given(testing::GivenResponses(
            truth,
            experiments::MakeQueries(LoadProblems(Folder() / "problems" / "train.jsonl"), model))) {
  }

  model::RolloutEngine Engine(uint64_t seed) const {
    model::EngineOptions options;
    options.seed = seed;
    return {model.phi(), options};
  }

  // Returns a trace of a response, as of a search that has just chosen it.
  QueryTrace TraceOf(const testing::GivenResponse& response) const {
    const auto finish = std::ssize(response.tokens) < truth.max_new_tokens ? FinishReason::kEos
                                                                           : FinishReason::kLength;
    QueryTrace trace;
    trace.id = response.query.id;
    trace.question = response.query.question;
    trace.answer = response.query.answer;
    trace.other_answers = response.query.other_answers;
    trace.prompt = response.query.prompt;
    trace.rollouts.push_back({RolloutKind::kQuery, -1, 0, -1, response.tokens, response.logprobs,
                              finish, response.success});
    ResponseTrace& chosen = trace.responses.emplace_back();
    chosen.tokens = response.tokens;
    chosen.logprobs = response.logprobs;
    chosen.finish = finish;
    chosen.success = response.success;
    return trace;
  }

 private:
  static std::filesystem::path Folder() { return PIVOTAL_SOURCE_DIR "/experiments/tiny"; }
  static ModelSettings Settings() {
    ModelSettings settings;
    settings.folder = Folder() / "model";
    return settings;
  }
};

// Adds `samples` rollouts of each prompt to traces.
void DrawPrompts(const Tiny& tiny, int32_t samples, Policy& policy, std::span<QueryTrace> traces) {
  std::vector<RolloutRequest> requests;
  for (const QueryTrace& trace : traces) {
    RolloutRequest& request = requests.emplace_back();
    request.prefix = trace.prompt;
    request.count = samples;
    request.max_new_tokens = tiny.truth.max_new_tokens;
    request.stream = kernels::MixStream(0, trace.id);
  }
  auto results = policy.Sample(requests, Progress());
  for (std::size_t i = 0; i < traces.size(); ++i) {
    for (Rollout& rollout : results[i]) {
      const bool success = tiny.judge(tiny.given[i].query, rollout.tokens);
      traces[i].samples += 1;
      traces[i].successes += success;
      traces[i].rollouts.push_back({RolloutKind::kQuery, -1, 0, -1, std::move(rollout.tokens),
                                    std::move(rollout.logprobs), rollout.finish, success});
    }
  }
}

// Searches the tiny model's responses and scores what is found. Fresh rollouts of `checks` [number
// of responses] tell what pairs are true.
void SearchTiny(const Tiny& tiny, uint64_t seed, std::span<RolloutSource> checks, Arm& arm) {
  auto engine = tiny.Engine(seed);
  arm.options.max_new_tokens = tiny.truth.max_new_tokens;
  std::vector<QueryTrace> traces;
  for (const auto& response : tiny.given) traces.push_back(tiny.TraceOf(response));
  std::vector<ResponseTrace> found;
  if (arm.baseline)
    DrawPrompts(tiny, arm.options.samples, engine, traces);
  else
    found = testing::SearchGiven(tiny.given, engine, tiny.judge, arm.options);
  for (std::size_t i = 0; i < traces.size(); ++i) {
    const auto& truth = tiny.truth.responses[i];
    RolloutSource source(traces[i], engine, tiny.judge, tiny.truth.max_new_tokens);
    QueryTrace paired = traces[i];
    arm.score.BeginProblem();
    if (arm.baseline) {
      RunBaseline(traces[i], 0, truth.p, source, arm, paired);
    } else {
      std::vector<double> slack;
      for (double error : truth.p_error) slack.push_back(2 * error);
      arm.score.Add(found[i], truth.p, slack);
      std::vector<Report> reports;
      for (const PivotalToken& token : found[i].pivotal)
        reports.push_back({token.position, token.after, token.after > token.before, {}});
      if (arm.options.confirm > 0)
        AddSides(reports, 0, kAside, arm.options.confirm, source, paired);
    }
    ScorePairs(
        paired,
        [&](int32_t, const PivotalToken& token) {
          return checks[i].Fresh(0, token.position, token.chosen, kCheck).Mean() -
                 checks[i].Fresh(0, token.position, token.rejected, kCheck).Mean();
        },
        arm.score);
  }
  arm.score.AddTokens(static_cast<double>(engine.counters().decoded_tokens));
}

void SearchTiny(uint64_t seed, std::vector<Arm>& arms) {
  const Tiny tiny;
  auto check_engine = tiny.Engine(~seed);
  std::vector<QueryTrace> traces;
  for (const auto& response : tiny.given) traces.push_back(tiny.TraceOf(response));
  std::vector<RolloutSource> checks;
  for (const QueryTrace& trace : traces)
    checks.emplace_back(trace, check_engine, tiny.judge, tiny.truth.max_new_tokens);
  for (Arm& arm : arms) SearchTiny(tiny, seed, checks, arm);
}

std::vector<Arm> ArmsFor(const std::string& what, bool tiny) {
  if (what == "pairs") return PairArms();
  if (what == "border") return BorderArms();
  if (what == "baselines") {
    auto arms = BaselineArms();
    if (tiny) std::erase_if(arms, [](const Arm& arm) { return arm.method == "cdpo"; });
    return arms;
  }
  auto arms = Arms(tiny);
  if (!what.empty())
    std::erase_if(arms, [kind = pts::kStrategyNames.Parse(what)](const Arm& arm) {
      return arm.options.kind != kind;
    });
  return arms;
}

void Run(const std::string& family, uint64_t seed, int32_t worlds, const std::string& what) {
  const bool border = what == "border", tiny = family == "tiny";
  if (what == "control" && !tiny) return Control(family, seed, worlds);
  if (tiny && (border || what == "pairs" || what == "control"))
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
    fmt::print(
        stderr,
        "usage: search_vs_truth FAMILY SEED [WORLDS [STRATEGY|pairs|border|baselines|control]]\n");
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
