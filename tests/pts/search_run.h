// Apache-2.0. Runs a search against a Markov chain and keeps what it found.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "pts/search.h"
#include "tests/support/markov_policy.h"

namespace pivotal::pts {

// Prompts of two tokens that end in 0.
inline std::vector<Query> Queries(int32_t count) {
  std::vector<Query> queries;
  for (int32_t i = 0; i < count; ++i)
    queries.push_back({fmt::format("q{}", i), fmt::format("question {}", i), "answer", {1, 0}});
  return queries;
}

inline Judge Verdict(const testing::MarkovChain& chain) {
  return [chain](const Query& query, std::span<const TokenId> response) {
    return chain.IsRight(query.prompt.back(), response);
  };
}

// What a search gave to its sink, and its summary.
struct Found {
  std::vector<std::vector<data::QueryTrace>> groups;
  SearchSummary summary;

  std::vector<data::QueryTrace> All() const {
    std::vector<data::QueryTrace> all;
    for (const auto& group : groups) all.insert(all.end(), group.begin(), group.end());
    return all;
  }
};

inline void ExploreInto(Found& found, std::span<const Query> queries, testing::MarkovPolicy& policy,
                        const SearchOptions& options, Progress& progress) {
  found.summary = Search(
      queries, policy, Verdict(policy.chain()), options,
      [&](std::vector<data::QueryTrace> group) { found.groups.push_back(std::move(group)); },
      progress);
}

inline Found Explore(std::span<const Query> queries, testing::MarkovPolicy& policy,
                     const SearchOptions& options) {
  Found found;
  Progress progress;
  ExploreInto(found, queries, policy, options, progress);
  return found;
}

inline SearchOptions Published() {  // the published algorithm
  SearchOptions options;
  options.kind = StrategyKind::kSubdivide;
  return options;
}

inline SearchOptions Wide() {  // searches every query
  SearchOptions options = Published();
  options.min_success = 0;
  options.max_success = 1;
  return options;
}

// Tokens of a response before `position`, after the prompt.
inline std::vector<TokenId> Prefix(const data::QueryTrace& query, int32_t response,
                                   int32_t position) {
  const auto& tokens = query.responses[response].tokens;
  return {tokens.begin(), tokens.begin() + position};
}

}  // namespace pivotal::pts
