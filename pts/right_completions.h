// Apache-2.0. Which rollouts are right completions.
#pragma once

#include "pivotal/pairs.h"
#include "pivotal/trace.h"

namespace pivotal::pts {

// Returns whether a rollout went right and begins where `options` want it.
inline bool IsRightCompletion(const RolloutTrace& rollout, const RightCompletionOptions& options) {
  return rollout.success && (options.continuations || rollout.kind == RolloutKind::kQuery);
}
// Returns whether the limit of new tokens cut it, so that there is no end to learn.
inline bool IsCut(FinishReason finish) { return finish == FinishReason::kLength; }

}  // namespace pivotal::pts
