// Apache-2.0. The search of one query as a state machine that asks for rollouts.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "data/trace.h"
#include "model/policy.h"
#include "pts/search.h"
#include "pts/strategy.h"

namespace pivotal::pts {

// Rollouts that the search of a query wants.
struct Wish {
  model::RolloutRequest request;
  double yield = 0;  // tokens that it is expected to settle for each generated token, where known
};

// What was drawn for a wish; nothing where the caller could not afford it.
struct Drawn {
  std::vector<model::Rollout> rollouts;
  std::vector<uint8_t> verdicts;  // of each rollout
};

// Draws nothing itself, so that a caller can serve many queries in one batch:
//
//   while (!(wishes = search.Next()).empty()) search.Supply(what was drawn for them, in order);
//   search.Take();
//
// Stages: rollouts of the prompt; the strategy's rollouts for the chosen responses; what the policy
// does in place of the pivotal tokens; both sides of each candidate pair. `query`, `options` and `judge` outlive the object.
class QuerySearch {
 public:
  QuerySearch(const Query& query, const SearchOptions& options, const Judge& judge);
  QuerySearch(const QuerySearch&) = delete;  // the strategy refers to the trie
  QuerySearch& operator=(const QuerySearch&) = delete;

  // What to draw next; empty once the query is done. Call it again only after Supply.
  std::vector<Wish> Next();
  // drawn[i] answers wish i of the last Next().
  void Supply(std::vector<Drawn> drawn);
  // Ends the query with what it knows; its trace says that it is not complete.
  void CutShort();
  // Adds to the query's wall time.
  void Charge(double seconds) { trace_.seconds += seconds; }

  bool started() const { return !trace_.rollouts.empty(); }
  bool done() const { return stage_ == Stage::kDone; }
  int64_t pivotal() const;                               // pivotal tokens known so far
  const Query& query() const { return query_; }
  data::QueryTrace Take() { return std::move(trace_); }  // once done

 private:
  enum class Stage { kPrompt, kResponses, kAlternatives, kSides, kDone };
  // Where rollouts start: after t_1..t_position of a response, then `forced` unless it is -1.
  struct Start {
    data::RolloutKind kind = data::RolloutKind::kQuery;
    int32_t response = -1, position = 0;
    TokenId forced = -1;
    int32_t count = 0;
    double yield = 0;
  };

  void AskResponses();
  void AskAlternatives();
  void AskSides();
  void AskSide(data::RolloutKind kind, int32_t response, int32_t position, TokenId token);
  Wish WishFor(const Start& start) const;

  void Record(const Start& start, Drawn drawn);
  void ChooseResponses();
  void FinishAlternatives();
  void Finish();
  bool IsEnd(TokenId forced, const std::vector<TokenId>& path) const;
  std::vector<TokenId> PathOf(const Start& start) const;
  Estimate SideEstimate(int32_t response, int32_t position, TokenId token) const;
  uint64_t StrategyStream() const;

  const Query& query_;
  const SearchOptions& options_;
  const Judge& judge_;
  Stage stage_ = Stage::kPrompt;
  data::QueryTrace trace_;
  SuccessTrie trie_;
  std::unique_ptr<Strategy> strategy_;
  std::map<std::vector<TokenId>, Estimate> sides_;  // prefix + token, fresh
  std::set<TokenId> ends_;                 // tokens that ended a rollout (end of sequence)
  std::set<std::vector<TokenId>> cut_;     // rollouts that the policy cut before max_new_tokens
  std::vector<Start> asked_;               // by the last Next()
};

}  // namespace pivotal::pts
