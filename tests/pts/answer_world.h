// Apache-2.0. Searches of worlds whose responses end in one of several answers, with the truth.
#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <utility>
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

// Searches one query of a world, whose response is right if `is_right` says so of its last token.
// Returns the trace, if it has responses.
inline std::vector<QueryTrace> SearchWorld(const testing::TableWorld& world, uint64_t seed,
                                           const std::function<bool(TokenId)>& is_right) {
  testing::WorldPolicy policy(world, seed);
  SearchOptions options;
  options.min_success = 0.05;
  options.max_success = 0.95;
  options.max_new_tokens = 1000;
  const Query query = {"q" + std::to_string(seed), "", "", {0}};
  const auto judge = [&](const Query&, std::span<const TokenId> response) {
    return is_right(response.back());
  };
  std::vector<QueryTrace> traces;
  Progress progress;
  Search(
      {&query, 1}, policy, judge, options,
      [&](std::vector<QueryTrace> group) {
        for (QueryTrace& trace : group)
          if (!trace.responses.empty()) traces.push_back(std::move(trace));
      },
      progress);
  return traces;
}

// Searches worlds of the seeds 1 to `count`, one query each.
inline std::vector<AnswerSearch> SearchAnswerWorlds(int32_t count) {
  std::vector<AnswerSearch> searches;
  testing::LaneWorldOptions options;
  for (options.seed = 1; options.seed <= static_cast<uint64_t>(count); ++options.seed) {
    const AnswerWorld world(options);
    const TokenId right = testing::AnswerOfLane(options, 0);
    searches.push_back({world, SearchWorld(world.world(), options.seed,
                                           [=](TokenId last) { return last == right; })});
  }
  return searches;
}

}  // namespace pivotal::pts
