// Apache-2.0. The success trie of a stored query.
#pragma once

#include "data/trace.h"
#include "pts/success_trie.h"

namespace pivotal::pts {

// Rollouts from the prompt up to the last one that is a response: which of them became responses
// was chosen by their verdicts, so they are no independent samples of what leaves a response.
int32_t ConditionedRollouts(const data::QueryTrace& trace);

// Adds a rollout of `trace` that starts at `rollout.position` of its response.
void AddRollout(const data::RolloutTrace& rollout, bool conditioned, SuccessTrie& trie);

// All responses and rollouts of a query: what the search had at its end.
SuccessTrie TrieOf(const data::QueryTrace& trace);

}  // namespace pivotal::pts
