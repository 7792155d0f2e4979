// Apache-2.0. The search of one query as a state machine that asks for rollouts.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "pivotal/policy.h"
#include "pivotal/search.h"
#include "pivotal/trace.h"
#include "pts/pair_test.h"
#include "pts/strategy.h"
#include "pts/verdicts.h"

namespace pivotal::pts {

// A request to the policy with its expected yield.
struct RatedRequest {
  RolloutRequest request;
  double yield = 0;  // expected number of tokens decided per generated token; 0: unknown
};

// The answer to a request; empty if the caller could not afford it.
struct JudgedRollouts {
  std::vector<Rollout> rollouts;
  std::vector<Verdict> verdicts;  // one for each rollout
};

// Searches one query. It draws nothing itself, so that a caller can serve many queries in one
// batch:
//
//   while (!(requests = search.Next()).empty()) search.Supply(their answers, in order);
//   search.Take();
//
// Its stages: rollouts of the prompt; the strategy's rollouts for the chosen responses; rollouts
// for alternatives to the pivotal tokens; fresh rollouts for both sides of each candidate pair.
// `query`, `options` and `judge` must outlive the object.
class QuerySearch {
 public:
  QuerySearch(const Query& query, const SearchOptions& options, CountingJudge& judge);
  QuerySearch(const QuerySearch&) = delete;  // the strategy refers to trie_
  QuerySearch& operator=(const QuerySearch&) = delete;

  // Returns what to draw next; nothing once the query is done. Supply must follow each call.
  std::vector<RatedRequest> Next();
  // Takes the answers to the last Next(): answers[i] belongs to request i.
  void Supply(std::vector<JudgedRollouts> answers);
  // Ends the query with what is known. Marks its trace as incomplete unless it was waiting.
  void CutShort();
  // Returns true for a search for pairs with a budget that draws no more rollouts at its yield. It
  // goes on after LowerYield(), as long as that returns true.
  bool waiting() const { return waiting_; }
  bool LowerYield();
  // Adds to the wall time of the query.
  void AddSeconds(double seconds) { trace_.seconds += seconds; }

  bool started() const { return !trace_.rollouts.empty(); }
  bool done() const { return stage_ == Stage::kDone; }
  int64_t pivotal() const;  // number of pivotal tokens found so far
  int64_t pairs() const;    // number of pairs that fresh rollouts have confirmed so far
  const Query& query() const { return query_; }
  // Moves the trace out. Valid once the query is done.
  QueryTrace Take() { return std::move(trace_); }

 private:
  enum class Stage { kPrompt, kResponses, kAlternatives, kSides, kDone };
  // Rollouts to draw: where they start (after t_1..t_position of a response, then `forced` unless
  // it is -1) and how many.
  struct PlannedRollouts {
    RolloutKind kind = RolloutKind::kQuery;
    int32_t response = -1, position = 0;
    TokenId forced = -1;
    int32_t count = 0;
    double yield = 0;
  };

  // A pair that is tested while the search goes on (StrategyKind::kPairs).
  struct Candidate {
    int32_t node;  // of the response's token
    TokenId chosen, rejected;
    PairTest test;
  };

  // Each adds to planned_ what its stage still needs.
  void PlanPrompt();
  void PlanSearch();
  void PlanAlternatives();
  void PlanSides();
  void PlanTests();
  // Asks for what a side lacks to have `count` fresh rollouts. Returns false if it lacks nothing; a
  // side that ends the response gets its verdict here.
  bool PlanSide(RolloutKind kind, int32_t response, int32_t position, TokenId token, int32_t count);
  RatedRequest RequestFor(const PlannedRollouts& plan) const;

  // Returns true for a right response; counts a failed verdict.
  bool IsRight(Verdict verdict);
  // Adds the answer to the trace and the trie.
  void Record(const PlannedRollouts& plan, JudgedRollouts answer);
  // Decides whether the query is searched, once its prompt has enough rollouts.
  void EndPrompt();
  void ChooseResponses();
  // Begins the search of the responses from number `explored` on.
  void BeginSearch(int32_t explored);
  // Makes candidates of the tokens that the strategy has found since the last call.
  void Propose();
  // Lets a test read what its sides have.
  void ReadTest(Candidate& candidate);
  // Returns true if the query has given enough pairs for its last tokens to be worth more rollouts
  // of its prompt.
  bool Pays() const;
  void FinishAlternatives();
  void FinishTests();
  void Finish();
  bool IsEnd(TokenId forced, const std::vector<TokenId>& path) const;
  // Returns the response tokens that stand before the rollouts.
  std::vector<TokenId> PathOf(const PlannedRollouts& plan) const;
  // Returns the outcomes of the fresh rollouts after a side's token, in the order drawn.
  std::span<const char> SideOutcomes(int32_t response, int32_t position, TokenId token) const;
  bool makes_pairs() const { return options_.kind == StrategyKind::kPairs; }
  uint64_t StrategyStream() const;

  const Query& query_;
  const SearchOptions& options_;
  CountingJudge& judge_;
  Stage stage_ = Stage::kPrompt;
  QueryTrace trace_;
  SuccessTrie trie_;
  std::unique_ptr<Strategy> strategy_;
  // Outcomes of the fresh rollouts of each side, by the response tokens up to it.
  std::map<std::vector<TokenId>, std::vector<char>> sides_;
  std::vector<Candidate> candidates_;
  std::set<int32_t> proposed_;  // nodes whose tokens were found pivotal
  int64_t pairs_ = 0;           // of a query that is done
  double min_yield_;
  bool waiting_ = false;
  // Generated tokens and pairs when the last rollouts of the prompt were asked for.
  int64_t generated_ = 0, wave_generated_ = 0, wave_pairs_ = 0;
  std::set<TokenId> ends_;                // tokens that ended a rollout as the end of sequence
  std::set<std::vector<TokenId>> cut_;    // responses that the policy cut before max_new_tokens
  std::vector<PlannedRollouts> planned_;  // what the last Next() asked for
};

// Adds the counts of finished queries to `summary`; its times stay as they are.
void AddCounts(std::span<const QueryTrace> traces, SearchSummary& summary);

}  // namespace pivotal::pts
