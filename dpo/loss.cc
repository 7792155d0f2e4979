// Apache-2.0.
#include "dpo/loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_sigmoid.h>

namespace pivotal::dpo {

PreferenceLoss SigmoidDpoLoss(const SideLogProbs& policy, const SideLogProbs& reference,
                              const at::Tensor& chosen_length, double beta, double rpo_alpha) {
  const at::Tensor chosen = beta * (policy.chosen - reference.chosen);
  const at::Tensor rejected = beta * (policy.rejected - reference.rejected);
  at::Tensor loss = -at::log_sigmoid(chosen - rejected);
  if (rpo_alpha != 0) loss = loss - rpo_alpha * policy.chosen / chosen_length;
  return {loss, chosen.detach(), rejected.detach()};
}

}  // namespace pivotal::dpo
