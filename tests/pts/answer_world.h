// Apache-2.0. Searches of worlds whose responses end in one of several answers, with the truth.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "pivotal/search.h"
#include "pts/answers.h"
#include "tests/support/table_world.h"

namespace pivotal::pts {

// A lane world in which each lane has an answer of its own; lane 0 is right.
class AnswerWorld {
 public:
  explicit AnswerWorld(testing::LaneWorldOptions options) : options_(options) {
    for (options.answer = 0; options.answer < options.lanes; ++options.answer)
      worlds_.push_back(testing::LaneWorld(options));
  }

  const testing::TableWorld& world() const { return worlds_[0]; }
  // Returns the probabilities of the lanes' answers after `last`.
  std::vector<double> Lanes(TokenId last) const {
    std::vector<double> lanes;
    for (const testing::TableWorld& world : worlds_) lanes.push_back(world.Success(last));
    return lanes;
  }
  // Returns the probabilities of the answers of `table` after k tokens of a response.
  std::vector<double> Truth(const AnswerTable& table, const QueryTrace& trace, int32_t response,
                            int32_t k) const {
    return OfTable(table, Lanes(k == 0 ? 0 : trace.responses[response].tokens[k - 1]));
  }
  // Returns the probabilities of the answers of `table` from those of the lanes.
  std::vector<double> OfTable(const AnswerTable& table, const std::vector<double>& lanes) const {
    std::vector<double> truth(table.answers.size(), 0.0);
    for (int32_t lane = 0; lane < options_.lanes; ++lane) {
      const std::string text = std::to_string(testing::AnswerOfLane(options_, lane));
      const auto at = std::ranges::find(table.answers, text, &Answer::text);
      const bool named = lane != 0 && at != table.answers.end();
      truth[named ? static_cast<std::size_t>(at - table.answers.begin()) : 0] += lanes[lane];
    }
    return truth;
  }

 private:
  testing::LaneWorldOptions options_;
  std::vector<testing::TableWorld> worlds_;  // one for each lane
};

inline const AnswerReader kAnswerIsLastToken = {
    [](std::span<const TokenId> response) { return std::to_string(response.back()); },
    std::equal_to<>()};

struct AnswerSearch {
  AnswerWorld world;
  std::vector<QueryTrace> traces;
};

// Searches worlds of the seeds 1 to `count`, one query each.
inline std::vector<AnswerSearch> SearchAnswerWorlds(int32_t count, StrategyKind strategy,
                                                    testing::LaneWorldOptions world = {}) {
  std::vector<AnswerSearch> searches;
  for (int32_t seed = 1; seed <= count; ++seed) {
    world.seed = static_cast<uint64_t>(seed);
    AnswerSearch& search = searches.emplace_back(AnswerSearch{AnswerWorld(world), {}});
    testing::WorldPolicy policy(search.world.world(), world.seed);
    SearchOptions options;
    options.kind = strategy;
    options.min_success = 0.05;
    options.max_success = 0.95;
    options.max_new_tokens = 1000;
    const Query query = {"q" + std::to_string(seed), "", "", {0}};
    const auto judge = [&](const Query&, std::span<const TokenId> response) {
      return response.back() == testing::AnswerOfLane(world, 0);
    };
    Progress progress;
    Search(
        {&query, 1}, policy, judge, options,
        [&](std::vector<QueryTrace> group) {
          for (QueryTrace& trace : group) search.traces.push_back(std::move(trace));
        },
        progress);
  }
  return searches;
}

}  // namespace pivotal::pts
