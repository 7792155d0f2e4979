// Apache-2.0. The searches that bench/search_vs_truth.cc compares.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/baselines.h"
#include "bench/search_score.h"
#include "pivotal/search.h"

namespace pivotal::bench {

// A method that is no strategy of ours: what it reports about a response.
using Baseline =
    std::function<std::vector<Report>(const QueryTrace&, int32_t response, RolloutSource&)>;

// One strategy at one budget.
struct Arm {
  std::string setting;
  SearchOptions options;
  SearchScore score = {};
  std::string method = {};  // name of the baseline; "": the strategy of `options`
  Baseline baseline = {};
};

// Returns the strategies and budgets to compare, which make no pairs. `modest` leaves out the
// largest budgets, which take too long with a model, and has smaller min-yields, as responses are
// short.
std::vector<Arm> Arms(bool modest);

// Returns the settings that make pairs.
std::vector<Arm> PairArms();

// Returns searches with the default band. They make no pairs.
std::vector<Arm> BorderArms();

// Returns the baselines, each without and with pairs, and two searches of ours beside them.
std::vector<Arm> BaselineArms();

}  // namespace pivotal::bench
