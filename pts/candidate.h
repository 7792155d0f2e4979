// Apache-2.0. The other side of a pair: which token could have stood in place of t_k?
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pts/strata.h"
#include "pts/success_trie.h"

namespace pivotal::pts {

// A token that the policy sampled in place of t_k, and how such rollouts ended.
struct Alternative {
  TokenId token = -1;
  float logprob = 0;  // under the policy
  Estimate estimate;
};

// The alternatives to the token of a node, in ascending order of token: those that rollouts drew
// after its parent, and the next tokens of other responses there, whose p(success) the rollouts
// below them say (as the counts that would say as much).
std::vector<Alternative> AlternativesTo(const SuccessTrie& trie, const Strata& strata, int32_t node);

// The one to set against t_k: of those that the policy samples once in twenty times or more, or of
// all if there are none, that with the lowest smoothed rate (Estimate::Smoothed) where t_k
// raised p (`trunk_accepted`), else that with the highest. A token that is hardly ever sampled has
// little to teach, and smoothing keeps one lucky rollout from outranking many. Ties go to more
// samples, then to the lower id. Nullopt where none lies on the other side of p_k = `after`.
std::optional<Alternative> PickOther(std::span<const Alternative> alternatives, double after,
                                     bool trunk_accepted);

}  // namespace pivotal::pts
