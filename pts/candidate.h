// Apache-2.0. The other side of a pair: which token could have stood in place of t_k?
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "data/trace.h"
#include "pts/estimator.h"

namespace pivotal::pts {

// A token that rollouts sampled after P_{k-1} in place of t_k, and how these rollouts ended.
struct Alternative {
  TokenId token = -1;
  Estimate estimate;
};

// The alternatives to t_k of response `response` (k = `position`, from 1), in ascending order of
// token. They come from every kQuery and kPrefix rollout of the query that passes through P_{k-1}
// and whose tokens from the k-th on were all sampled; one that starts further down a sibling
// response did not sample its k-th token and would bias the count.
std::vector<Alternative> AlternativesAt(const data::QueryTrace& trace, int32_t response,
                                        int32_t position);

// The one to set against t_k: where t_k raised p (`trunk_accepted`) that with the lowest smoothed
// rate (successes + 1) / (samples + 2), else that with the highest; ties go to more samples, then
// to the lower id. Smoothing keeps one lucky rollout from outranking many. Nullopt for none.
std::optional<Alternative> PickOther(std::span<const Alternative> alternatives,
                                     bool trunk_accepted);

}  // namespace pivotal::pts
