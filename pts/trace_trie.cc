// Apache-2.0.
#include "pts/trace_trie.h"

#include <algorithm>

namespace pivotal::pts {

int32_t ConditionedRollouts(const data::QueryTrace& trace) {
  std::ptrdiff_t count = 0;
  for (const data::ResponseTrace& response : trace.responses) {
    const auto drawn = std::ranges::find_if(trace.rollouts, [&](const data::RolloutTrace& rollout) {
      return rollout.kind == data::RolloutKind::kQuery && rollout.tokens == response.tokens;
    });
    count = std::max(count, drawn - trace.rollouts.begin() + 1);
  }
  return static_cast<int32_t>(count);
}

void AddRollout(const data::RolloutTrace& rollout, bool conditioned, SuccessTrie& trie) {
  const int32_t node =
      rollout.response < 0 ? 0 : trie.Path(rollout.response)[static_cast<std::size_t>(rollout.position)];
  if (rollout.forced >= 0) {
    trie.AddForced(node, rollout.forced, rollout.tokens, rollout.logprobs, rollout.success);
    return;
  }
  const auto start = conditioned ? SuccessTrie::Start::kConditioned
                     : rollout.kind == data::RolloutKind::kLeaving ? SuccessTrie::Start::kStruck
                                                                   : SuccessTrie::Start::kFree;
  trie.AddRollout(node, rollout.tokens, rollout.logprobs, rollout.success, start);
}

SuccessTrie TrieOf(const data::QueryTrace& trace) {
  SuccessTrie trie;
  for (const data::ResponseTrace& response : trace.responses)
    trie.AddResponse(response.tokens, response.logprobs, response.success);
  const int32_t conditioned = ConditionedRollouts(trace);
  int32_t drawn = 0;
  for (const data::RolloutTrace& rollout : trace.rollouts)
    AddRollout(rollout, drawn++ < conditioned, trie);
  return trie;
}

}  // namespace pivotal::pts
