// Apache-2.0. Pivotal token search over a set of queries.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/progress.h"
#include "data/trace.h"
#include "model/policy.h"
#include "pts/strategy.h"

namespace pivotal::pts {

// `gap`, `samples` and the strategy's own settings are in StrategyOptions; `samples` rollouts also
// estimate p_0, and the responses are among them.
struct SearchOptions : StrategyOptions {
  int32_t confirm = 32;      // fresh rollouts for each side of a candidate pair; 0: none
  double min_success = 0.2;  // queries with p_0 outside [min_success, max_success] are not searched
  double max_success = 0.8;
  int32_t responses = 2;         // searched per query: in the order drawn, right and wrong in turn
  int32_t max_new_tokens = 256;  // of a whole response: a rollout from P_k may add this minus k
  model::StopRule stop = {};     // what ends a response beside the end of sequence; empty: nothing
  int32_t group = 64;            // queries that share batches and are stored together
  int32_t judge_threads = 2;     // that ask the oracle while rollouts decode
  int64_t budget_tokens = 0;     // generated tokens of the whole run; 0: no limit
  double budget_seconds = 0;     // wall time of the call; 0: no limit
  // Throws Error that names the field and its range.
  void Validate() const;
};

// One problem, as the policy sees it.
struct Query {
  std::string id, question, answer;
  std::vector<TokenId> prompt;
};

// Verdict on a whole response (token ids, EOS included). Called from several threads at once.
using Judge = std::function<bool(const Query& query, std::span<const TokenId> response)>;
// Receives each finished group, in order.
using TraceSink = std::function<void(std::vector<data::QueryTrace> group)>;

struct SearchSummary {
  int64_t queries = 0, searched = 0, responses = 0, pivotal = 0, candidates = 0;
  int64_t cut_short = 0;  // queries that a budget ended early
  int64_t undone = 0;     // queries that a budget left untouched
  double false_share = 0;  // expected among the pivotal tokens: the mean of 1 - probability
  double seconds = 0;          // wall time of the call
  double verdict_seconds = 0;  // of it, waiting for verdicts when all rollouts were done
};

// Adds what finished queries hold to the counts; not the seconds.
void Count(std::span<const data::QueryTrace> traces, SearchSummary& summary);

// Per group of queries: draws `samples` rollouts from every prompt; for queries in the band takes
// responses from these, searches them all in shared batches, and for each pivotal token picks the
// other side of a pair among the tokens that rollouts met in its place, then draws `confirm` fresh
// rollouts for both sides. A side after which nothing can follow (end of sequence, max_new_tokens, `stop`)
// is judged once instead: its successes are 0 or `confirm`.
//
// Every stream of random numbers is keyed by (query id, prefix, purpose): grouping, order and an
// interruption change nothing. On a stop request the group at work is dropped and Interrupted
// thrown; groups already given to `sink` are complete.
//
// With a budget, each group may use what is left in proportion to its queries; where a batch costs
// more, the rollouts with the highest yield go first. budget_tokens is never exceeded: rollouts are
// drawn only if there is room for them at full length, so the last few may stay unused. Queries that
// it ends early are stored with what is known and marked; those that it never reached are not stored.
// `spent_tokens` counts against budget_tokens: what an interrupted run has stored.
//
// Throws Error for bad options, an empty prompt, or a policy that breaks its contract.
SearchSummary Search(std::span<const Query> queries, model::Policy& policy, const Judge& judge,
                     const SearchOptions& options, const TraceSink& sink, Progress& progress,
                     int64_t spent_tokens = 0);

}  // namespace pivotal::pts
