// Apache-2.0. The search of one query as a state machine that asks for rollouts.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "data/trace.h"
#include "model/policy.h"
#include "pts/estimate_table.h"
#include "pts/search.h"
#include "pts/subdivide.h"

namespace pivotal::pts {

// Draws nothing itself, so that a caller can serve many queries in one batch:
//
//   while (!(requests = search.Next()).empty()) search.Supply(rollouts of requests, in order);
//   search.Take();
//
// Stages: rollouts of the prompt; prefixes of the chosen responses, round by round; both sides of
// each candidate pair. `query`, `options` and `judge` outlive the object.
class QuerySearch {
 public:
  QuerySearch(const Query& query, const SearchOptions& options, const Judge& judge);

  // Rollouts that the next batch should draw; empty once the query is done. Call it again only
  // after Supply.
  std::vector<model::RolloutRequest> Next();
  // results[i] answers request i of the last Next().
  void Supply(std::vector<std::vector<model::Rollout>> results);

  bool done() const { return stage_ == Stage::kDone; }
  int64_t pivotal() const { return pivotal_; }           // pivotal tokens known so far
  data::QueryTrace Take() { return std::move(trace_); }  // once done

 private:
  enum class Stage { kPrompt, kPrefixes, kSides, kDone };
  // Where rollouts start: after t_1..t_position of a response, then `forced` unless it is -1.
  struct Node {
    data::RolloutKind kind = data::RolloutKind::kQuery;
    int32_t response = -1, position = 0;
    TokenId forced = -1;
  };

  void AskPrefixes();
  void AskSides();
  void AskSide(Node node);
  void Ask(const Node& node);

  void Record(const Node& node, std::vector<model::Rollout> rollouts);
  void ChooseResponses();
  void AddResponse(const data::RolloutTrace& rollout);
  void FinishSubdivision();
  void FinishSides();
  bool IsEnd(const Node& node, const std::vector<TokenId>& path) const;
  std::vector<TokenId> PathOf(const Node& node) const;
  Estimate SideEstimate(int32_t response, int32_t position, TokenId token) const;

  const Query& query_;
  const SearchOptions& options_;
  const Judge& judge_;
  Stage stage_ = Stage::kPrompt;
  data::QueryTrace trace_;
  std::vector<Subdivision> subdivisions_;  // of each response
  EstimateTable prefixes_;                 // p_k, for the search
  EstimateTable sides_;                    // prefix + token, fresh
  std::set<TokenId> ends_;                 // tokens that ended a rollout (end of sequence)
  std::set<std::vector<TokenId>> cut_;     // rollouts that the policy cut before max_new_tokens
  std::vector<Node> asked_;                // by the last Next()
  std::set<std::vector<TokenId>> asked_paths_;
  int64_t pivotal_ = 0;
};

}  // namespace pivotal::pts
