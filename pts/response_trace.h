// Apache-2.0. Writes what a search found about a response into its trace.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pivotal/trace.h"
#include "pts/strata.h"
#include "pts/success_trie.h"

namespace pivotal::pts {

// A token that the policy may sample in place of a response's token t_k.
struct Alternative {
  TokenId token = -1;
  float logprob = 0;  // natural logarithm under the policy
  Estimate estimate;  // outcomes of rollouts that took the token
};

// Returns the alternatives to the token of a node, ascending by token: the tokens with which
// rollouts left the responses at its parent, and the tokens of other responses there. The estimate
// of the latter is p of their node as counts (LinearEstimate::AsCounts).
std::vector<Alternative> AlternativesTo(const SuccessTrie& trie, const Strata& strata,
                                        int32_t node);

// Picks the other side of the pair with t_k: the alternative with the lowest smoothed success rate
// (Estimate::Smoothed) if t_k raised p (`raised`), else with the highest. Smoothing keeps one lucky
// rollout from outranking many. Alternatives of probability 0.05 or more go before rarer ones,
// which have little to teach. Ties go to more samples, then to the lower id. Returns nullopt if no
// alternative lies on the other side of p_k = `after`.
std::optional<Alternative> PickAlternative(std::span<const Alternative> alternatives, double after,
                                           bool raised);

// Sets `estimates` of response `response` to p_0..p_n with two-sided intervals at `confidence`.
void FillCurve(const SuccessTrie& trie, const Strata& strata, double confidence, int32_t response,
               ResponseTrace& trace);

// Appends the token of `node` to the pivotal tokens of `trace`, and its alternatives. `before` and
// `after` are p_(k-1) and p_k as the search took them; the interval of their difference is valid
// at any time, and so are those of the alternatives: a token is found where their first outcomes
// were far from its own. Picks the candidate pair, if there is one.
void AddPivotal(const SuccessTrie& trie, const Strata& strata, double confidence, int32_t node,
                double before, double after, ResponseTrace& trace);

}  // namespace pivotal::pts
