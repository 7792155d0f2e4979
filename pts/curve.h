// Apache-2.0. What all rollouts of a query say of its responses, for the store.
#pragma once

#include <cstdint>
#include <span>

#include "data/trace.h"
#include "pts/strata.h"
#include "pts/success_trie.h"

namespace pivotal::pts {

// Fills the estimates of response `response`: p_0..p_n with their intervals at `confidence`.
void FillCurve(const SuccessTrie& trie, const Strata& strata, double confidence, int32_t response,
               data::ResponseTrace& trace);

// A pivotal token with what there is in its place: `before` and `after` as the search took them, the
// interval of their difference valid at any time. Its pair's candidate, if any, is chosen too.
void AddPivotal(const SuccessTrie& trie, const Strata& strata, double confidence, int32_t node,
                double before, double after, data::ResponseTrace& trace);

}  // namespace pivotal::pts
