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

namespace pivotal::pts {

struct SearchOptions {
  double gap = 0.2;          // in (0, 1)
  int32_t samples = 32;      // rollouts per estimate, also for p_0
  int32_t confirm = 32;      // fresh rollouts for each side of a candidate pair; 0: none
  double min_success = 0.2;  // queries with p_0 outside [min_success, max_success] are not searched
  double max_success = 0.8;
  int32_t responses = 2;         // searched per query: in the order drawn, right and wrong in turn
  int32_t max_new_tokens = 256;  // of a whole response: a rollout from P_k may add this minus k
  int32_t group = 64;            // queries that share batches and are stored together
  // Throws Error that names the field and its range.
  void Validate() const;
};

// One problem, as the policy sees it.
struct Query {
  std::string id, question, answer;
  std::vector<TokenId> prompt;
};

// Verdict on a whole response (token ids, EOS included).
using Judge = std::function<bool(const Query& query, std::span<const TokenId> response)>;
// Receives each finished group, in order.
using TraceSink = std::function<void(std::vector<data::QueryTrace> group)>;

struct SearchSummary {
  int64_t queries = 0, searched = 0, responses = 0, pivotal = 0, candidates = 0;
};

// Per group of queries: draws `samples` rollouts from every prompt; for queries in the band takes
// responses from these, subdivides them all in shared batches (one memoised estimate per prefix of
// a query), and for each pivotal token picks the other side of a pair among the next tokens of the
// rollouts that pass through P_{k-1}, then draws `confirm` fresh rollouts for both sides. A side
// after which nothing can follow (end of sequence, max_new_tokens) is judged once instead: its
// successes are 0 or `confirm`.
// Every stream of random numbers is keyed by (query id, prefix, purpose): grouping, order and an
// interruption change nothing. On a stop request the group at work is dropped and Interrupted
// thrown; groups already given to `sink` are complete. Throws Error for bad options, an empty
// prompt, or a policy that breaks its contract.
SearchSummary Search(std::span<const Query> queries, model::Policy& policy, const Judge& judge,
                     const SearchOptions& options, const TraceSink& sink, Progress& progress);

}  // namespace pivotal::pts
