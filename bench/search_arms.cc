// Apache-2.0.
#include "bench/search_arms.h"

#include <fmt/format.h>

namespace pivotal::bench {
namespace {

// Returns options that search all queries of a world, which were chosen by their truth.
SearchOptions Wide(SearchOptions options = {}) {
  options.gap = kGap;
  options.tolerance = kTolerance;
  options.min_success = 0.1;
  options.max_success = 0.9;
  return options;
}

// Adds an arm of `kind` for each number of samples.
void AddSamples(SearchOptions options, StrategyKind kind, std::initializer_list<int32_t> samples,
                std::vector<Arm>& arms) {
  options.kind = kind;
  for (const int32_t count : samples) {
    options.samples = count;
    arms.push_back({fmt::format("samples {}", count), options});
  }
}

}  // namespace

std::vector<Arm> Arms(bool modest) {
  SearchOptions base = Wide();
  base.confirm = 0;  // searches only, makes no pairs
  std::vector<Arm> arms;
  std::vector<double> yields = {0.01, 0.006, 0.003, 0.0015, 0.001, 0.0007};
  if (modest) yields.insert(yields.end(), {0.0003, 0.0001});
  for (const double min_yield : yields) {
    base.min_yield = min_yield;
    arms.push_back({fmt::format("min-yield {}", min_yield), base});
  }
  for (const StrategyKind kind : {StrategyKind::kSubdivide, StrategyKind::kSubdivideLength}) {
    AddSamples(base, kind, {10, 32, 64}, arms);
    if (!modest) AddSamples(base, kind, {256}, arms);
  }
  AddSamples(base, StrategyKind::kExhaustive, {10}, arms);
  if (!modest) AddSamples(base, StrategyKind::kExhaustive, {64}, arms);
  return arms;
}

std::vector<Arm> PairArms() {
  const SearchOptions base = Wide();
  std::vector<Arm> arms = {{"default", base}};
  SearchOptions options = base;
  options.kind = StrategyKind::kSubdivide;
  options.samples = 10;
  arms.push_back({"samples 10", options});
  options = base;
  options.samples = 16;
  options.min_yield = 0.015;
  options.confidence = 0.5;
  options.responses = 8;
  arms.push_back({"16 samples, min-yield 0.015, confidence 0.5, 8 responses", options});
  for (const double min_yield : {0.015, 0.03, 0.06}) {
    options = Wide(SearchOptions::ForPairs());
    options.min_yield = min_yield;
    arms.push_back({fmt::format("min-yield {}", min_yield), options});
  }
  return arms;
}

std::vector<Arm> BorderArms() {
  SearchOptions base;
  base.gap = kGap;
  base.tolerance = kTolerance;
  base.confirm = 0;
  std::vector<Arm> arms;
  AddSamples(base, StrategyKind::kAnchored, {16, 32}, arms);
  AddSamples(base, StrategyKind::kSubdivide, {10, 32}, arms);
  AddSamples(base, StrategyKind::kSubdivideLength, {32}, arms);
  AddSamples(base, StrategyKind::kExhaustive, {10}, arms);
  return arms;
}

std::vector<Arm> BaselineArms() {
  SearchOptions base = Wide();
  std::vector<Arm> arms;
  const auto add = [&](const std::string& method, const std::string& setting,
                       const SearchOptions& options, const Baseline& baseline) {
    for (const int32_t confirm : {0, 32}) {
      Arm arm{setting + (confirm > 0 ? ", pairs" : ""), options, {}, method, baseline};
      arm.options.confirm = confirm;
      arms.push_back(arm);
    }
  };
  for (const double min_yield : {0.006, 0.0015}) {
    SearchOptions options = base;
    options.min_yield = min_yield;
    add("", fmt::format("min-yield {}", min_yield), options, {});
  }
  base.kind = StrategyKind::kNone;
  for (const int32_t rollouts : {8, 32, 128})
    add("omegaprm", fmt::format("{} rollouts", rollouts), base,
        [=](const QueryTrace& trace, int32_t response, RolloutSource& source) {
          return FirstError(trace, response, source, rollouts);
        });
  for (const int32_t stride : {1, 3})
    for (const int32_t most : {30, 100})
      add("anchors", fmt::format("{} rollouts, stride {}", most, stride), base,
          [=](const QueryTrace& trace, int32_t response, RolloutSource& source) {
            return AdaptiveAnchors(trace, response, source, most, stride);
          });
  for (const double least : {0.85, 2.0}) {
    for (const int32_t samples : {32, 128, 512}) {
      base.samples = samples;
      add("cdpo", fmt::format("{} samples, score {}", samples, least), base,
          [=](const QueryTrace& trace, int32_t response, RolloutSource&) {
            return ContrastiveScores(trace, response, least);
          });
    }
  }
  return arms;
}

}  // namespace pivotal::bench
