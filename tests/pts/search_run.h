// Apache-2.0. Runs a search against a Markov chain and keeps what it found.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pivotal/search.h"
#include "pivotal/trace.h"
#include "tests/support/markov_policy.h"

namespace pivotal::pts {

// Returns queries with prompts of two tokens that end in 0.
inline std::vector<Query> Queries(int32_t count) {
  std::vector<Query> queries;
  for (int32_t i = 0; i < count; ++i)
    queries.push_back({fmt::format("q{}", i), fmt::format("question {}", i), "answer", {1, 0}});
  return queries;
}

inline Judge JudgeOf(const testing::MarkovChain& chain) {
  return [chain](const Query& query, std::span<const TokenId> response) {
    return chain.IsRight(query.prompt.back(), response);
  };
}

// The groups that a search gave to its sink, and its summary.
struct Found {
  std::vector<std::vector<QueryTrace>> groups;
  SearchSummary summary;

  std::vector<QueryTrace> All() const {
    std::vector<QueryTrace> all;
    for (const auto& group : groups) all.insert(all.end(), group.begin(), group.end());
    return all;
  }
};

inline void ExploreInto(Found& found, std::span<const Query> queries, testing::MarkovPolicy& policy,
                        const SearchOptions& options, Progress& progress) {
  found.summary = Search(
      queries, policy, JudgeOf(policy.chain()), options,
      [&](std::vector<QueryTrace> group) { found.groups.push_back(std::move(group)); }, progress);
}

inline Found Explore(std::span<const Query> queries, testing::MarkovPolicy& policy,
                     const SearchOptions& options) {
  Found found;
  Progress progress;
  ExploreInto(found, queries, policy, options, progress);
  return found;
}

inline SearchOptions Published() {  // returns options of the published algorithm
  SearchOptions options;
  options.kind = StrategyKind::kSubdivide;
  return options;
}

inline SearchOptions Wide() {  // returns options that search every query
  SearchOptions options = Published();
  options.min_success = 0;
  options.max_success = 1;
  return options;
}

// Returns the first `position` tokens of a response, without the prompt.
inline std::vector<TokenId> Prefix(const QueryTrace& query, int32_t response, int32_t position) {
  const auto& tokens = query.responses[response].tokens;
  return {tokens.begin(), tokens.begin() + position};
}

// Returns a trace as text, for comparison.
inline std::string Describe(const QueryTrace& q) {
  std::string text = fmt::format("{} {} {} {} {}/{} {}\n", q.id, q.question, q.answer,
                                 fmt::join(q.prompt, ","), q.successes, q.samples, q.searched);
  for (const auto& r : q.responses) {
    text += fmt::format("response {} {} {} {}\n", fmt::join(r.tokens, ","),
                        fmt::join(r.logprobs, ","), static_cast<int>(r.finish), r.success);
    for (const auto& e : r.estimates)
      text += fmt::format("  p_{} = {}/{} {}\n", e.position, e.successes, e.samples, e.mean);
    for (const auto& t : r.pivotal)
      text += fmt::format("  t_{} {}->{} {}:{}/{} {}:{}/{} {} {} {}\n", t.position, t.before,
                          t.after, t.chosen, t.chosen_successes, t.chosen_samples, t.rejected,
                          t.rejected_successes, t.rejected_samples, t.evidence, t.gap_evidence,
                          t.sequential);
  }
  for (const auto& r : q.rollouts)
    text += fmt::format("rollout {} {} {} {} {} {} {} {}\n", static_cast<int>(r.kind), r.response,
                        r.position, r.forced, fmt::join(r.tokens, ","), fmt::join(r.logprobs, ","),
                        static_cast<int>(r.finish), r.success);
  return text;
}

inline std::vector<std::string> Describe(std::span<const QueryTrace> queries) {
  std::vector<std::string> texts;
  for (const auto& query : queries) texts.push_back(Describe(query));
  return texts;
}

}  // namespace pivotal::pts
