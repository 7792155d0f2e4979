// Apache-2.0. The tokens that may stand at one place of a response, grouped by what they mean for
// the answer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pts/answer_strata.h"

namespace pivotal::pts {

// Returns the most probable partition of items into groups: the group of each item, numbered by
// their first items. Items of a group draw their answers from one distribution, and each group has
// a Dirichlet prior (2 AnswerGuess()), so that a partition is as probable as the product of its
// groups' marginal likelihoods times its prior, in which every item joins one of the groups before
// it in proportion to their sizes, or begins one as if that had size 1 (Chinese restaurant process;
// Heller and Ghahramani, ICML 2005, merge by the same likelihoods). Exact for up to 12 items; of
// more, those that are most probably one group are merged first, until 12 are left.
//
// Sets `with_first[i]`, if it is not null, to the posterior probability that item i is in the group
// of item 0.
std::vector<int32_t> GroupByAnswer(std::span<const AnswerCounts> items,
                                   std::vector<double>* with_first = nullptr);

inline constexpr TokenId kRareTokens = -1;  // stands for several tokens, see GroupedToken

// A token at one place of a response; or, as kRareTokens, all tokens that fewer than four rollouts
// took. They are grouped as one: a token that went by its two outcomes to those that it agrees with
// would make the difference between groups look larger than it is.
struct GroupedToken {
  TokenId token = -1;
  double probability = 0;  // under the policy; of kRareTokens also that of tokens never taken
  AnswerCounts counts;     // rollouts that took the token
  double same = 1;         // posterior probability that it means the same as the response's own
};

// Tokens that mean the same for the answer, as far as rollouts tell.
struct AnswerGroup {
  std::vector<GroupedToken> tokens;  // most probable first
  double probability = 0;            // of all tokens together
  AnswerCounts counts;               // of all tokens together

  // Returns the interval of p(success) at the two-sided normal quantile `z`.
  Interval Bounds(double z) const;
};

// What may stand at the place of a token t_k of a response.
struct AnswerForks {
  TokenId own = -1;                 // t_k
  std::vector<AnswerGroup> groups;  // the group of t_k first, the others by probability
  AnswerEstimate without;           // q_k: another token than t_k; no terms if pi_k is 1
  // q_k without paraphrases: a token that is not in the group of t_k. No terms and no probability
  // where rollouts met no such token.
  AnswerEstimate other;
  double other_probability = 0;  // of such a token

  // Returns the probability of the other tokens that mean the same as t_k, its paraphrases.
  double ParaphraseProbability() const;
  // Returns true if paraphrases are worth telling: one token in a hundred or more.
  bool HasParaphrases() const { return ParaphraseProbability() >= 0.01; }
};

// Groups t_k of a node with the tokens that rollouts took in its place and those of other responses
// there. The counts of tokens on responses are what is known after them (AnswerEstimate::AsCounts).
// The fresh rollouts of pairs, which estimates leave out, count here for their tokens: they say
// most about what a token means. `trace` and `table` are those of `strata`.
AnswerForks GroupAlternatives(const QueryTrace& trace, const AnswerTable& table,
                              const AnswerStrata& strata, int32_t node);

}  // namespace pivotal::pts
