// Apache-2.0. Search strategies against exact truth: what share of the pivotal tokens each finds, how
// much of what it reports is false, and what it costs. Prints a Markdown table, or with --json the
// rows, on worlds whose success probabilities follow by dynamic programming
// (tests/support/lane_world.h).
//
//   search_vs_truth [worlds] [--json]
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "kernels/philox.h"
#include "pts/search.h"
#include "tests/support/lane_world.h"

namespace pivotal::pts {
namespace {

using testing::LanePolicy;
using testing::LaneWorld;

constexpr double kGap = 0.2, kTolerance = 0.05;

struct Arm {
  std::string name;
  SearchOptions options;
};

std::vector<Arm> Arms() {
  std::vector<Arm> arms;
  const auto add = [&](StrategyKind kind, int32_t samples, double min_yield) {
    SearchOptions options;
    options.kind = kind;
    options.gap = kGap;
    options.tolerance = kTolerance;
    options.samples = samples;
    options.confirm = 0;  // the search alone, without pairs
    options.max_new_tokens = 1000;
    options.min_success = 0.1;  // worlds are chosen by their truth
    options.max_success = 0.9;
    if (min_yield > 0) options.min_yield = min_yield;
    const std::string setting = kind == StrategyKind::kAnchored
                                    ? fmt::format("min-yield {}", min_yield)
                                    : fmt::format("samples {}", samples);
    arms.push_back({fmt::format("{}, {}", StrategyName(kind), setting), options});
  };
  for (double min_yield : {0.02, 0.01, 0.006, 0.003, 0.0015})
    add(StrategyKind::kAnchored, 32, min_yield);
  for (int32_t samples : {10, 32, 64, 256}) add(StrategyKind::kSubdivide, samples, 0);
  for (int32_t samples : {10, 32, 64, 256}) add(StrategyKind::kSubdivideLength, samples, 0);
  for (int32_t samples : {10, 64}) add(StrategyKind::kExhaustive, samples, 0);
  return arms;
}

// Sums over responses.
struct Score {
  double strong = 0, found = 0;     // tokens with abs(d) >= gap + tolerance; those reported
  double reported = 0, wrong = 0;   // reported; of these with abs(d) < gap - tolerance
  double expected_wrong = 0;        // reported with abs(d) < gap, as the search expects
  double below = 0;                 // reported with abs(d) < gap, in truth
  double covered = 0;               // reported whose interval holds d
  double values = 0, values_covered = 0;  // p of all positions
  double responses = 0, length = 0, tokens = 0;
};

void Grade(const LaneWorld& world, const data::QueryTrace& trace, Score& score) {
  for (const data::ResponseTrace& response : trace.responses) {
    score.responses += 1;
    score.length += static_cast<double>(response.tokens.size());
    std::vector<double> truth = {world.Success(world.start())};
    for (TokenId token : response.tokens) truth.push_back(world.Success(token));
    std::set<int32_t> reported;
    for (const data::PivotalToken& token : response.pivotal) {
      const double delta = truth[token.position] - truth[token.position - 1];
      reported.insert(token.position);
      score.reported += 1;
      score.wrong += std::abs(delta) < kGap - kTolerance;
      score.below += std::abs(delta) < kGap;
      score.expected_wrong += 1 - token.probability;
      score.covered += delta >= token.low - 1e-6 && delta <= token.high + 1e-6;
    }
    for (int32_t k = 1; k < std::ssize(truth); ++k) {
      if (std::abs(truth[k] - truth[k - 1]) < kGap + kTolerance) continue;
      score.strong += 1;
      score.found += reported.contains(k);
    }
    for (const data::PrefixEstimate& estimate : response.estimates) {
      const double p = truth[estimate.position];
      score.values += 1;
      score.values_covered += p >= estimate.low - 1e-6 && p <= estimate.high + 1e-6;
    }
  }
}

testing::LaneWorldOptions WorldOf(int32_t number) {
  kernels::RandomStream random(7, static_cast<uint64_t>(number));
  testing::LaneWorldOptions options;
  options.length = static_cast<int32_t>(40 * std::pow(10.0, random.Uniform()));  // 40 to 400
  options.forks = 0.05 + 0.25 * random.Uniform();
  options.switches = 4 + 6 * random.Uniform();
  options.seed = 1000 + static_cast<uint64_t>(number);
  return options;
}

// Two responses of one query of one world.
void Run(const LaneWorld& world, uint64_t seed, const Arm& arm, Score& score) {
  LanePolicy policy(world, seed);
  const Query query{"q", "", "", {world.start()}};
  const Judge judge = [&](const Query&, std::span<const TokenId> response) {
    return world.Success(response.back()) == 1;
  };
  Progress progress;
  Search({&query, 1}, policy, judge, arm.options,
         [&](std::vector<data::QueryTrace> group) { Grade(world, group[0], score); }, progress);
  score.tokens += static_cast<double>(policy.counters().decoded_tokens);
}

void Print(const std::vector<Arm>& arms, const std::vector<Score>& scores, bool json) {
  if (!json)
    fmt::print("| search | recall | false share | expected below gap | truly below gap | reported a response | generated "
               "tokens a response | found per million tokens | coverage, reported d | coverage, p |\n"
               "|---|---|---|---|---|---|---|---|---|---|\n");
  for (std::size_t i = 0; i < arms.size(); ++i) {
    const Score& s = scores[i];
    const double reported = std::max(1.0, s.reported);
    fmt::print(fmt::runtime(
                   json ? "{{\"search\": \"{}\", \"recall\": {:.4f}, \"false_share\": {:.4f}, "
                          "\"expected_below\": {:.4f}, \"below\": {:.4f}, \"reported\": {:.3f}, "
                          "\"tokens\": {:.0f}, \"found_per_million\": {:.2f}, "
                          "\"coverage_delta\": {:.4f}, \"coverage_p\": {:.4f}}}\n"
                        : "| {} | {:.3f} | {:.3f} | {:.3f} | {:.3f} | {:.2f} | {:.0f} | {:.1f} | {:.3f} | {:.3f} |\n"),
               arms[i].name, s.found / s.strong, s.wrong / reported, s.expected_wrong / reported,
               s.below / reported, s.reported / s.responses, s.tokens / s.responses,
               1e6 * s.found / s.tokens, s.covered / reported, s.values_covered / s.values);
  }
}

}  // namespace
}  // namespace pivotal::pts

int main(int argc, char** argv) {
  using namespace pivotal::pts;
  int worlds = 300;
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--json") json = true;
    else worlds = std::atoi(argv[i]);
  }
  const auto arms = Arms();
  std::vector<Score> scores(arms.size());
  for (int number = 0; number < worlds; ++number) {
    const pivotal::testing::LaneWorld world(WorldOf(number));
    const double p = world.Success(world.start());
    if (p < 0.25 || p > 0.75) continue;
    for (std::size_t i = 0; i < arms.size(); ++i)
      Run(world, static_cast<uint64_t>(number), arms[i], scores[i]);
  }
  if (!json)
    fmt::print("{:.0f} responses of {:.0f} tokens on average, {:.2f} strong tokens each\n\n",
               scores[0].responses, scores[0].length / scores[0].responses,
               scores[0].strong / scores[0].responses);
  Print(arms, scores, json);
}
