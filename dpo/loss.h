// Apache-2.0. Preference losses on log-probabilities.
#pragma once

#include <ATen/core/Tensor.h>

namespace pivotal::dpo {

// Sums over each side's tokens, natural log, [P] each.
struct SideLogProbs {
  at::Tensor chosen, rejected;
};

struct PreferenceLoss {
  at::Tensor loss;              // [P]
  at::Tensor chosen_rewards;    // [P] beta * (policy - reference), detached
  at::Tensor rejected_rewards;  // [P]
};

// DPO, sigmoid form (Rafailov et al., arXiv 2305.18290, eq. 7):
//   -log sigmoid(beta * ((pi_c - ref_c) - (pi_r - ref_r))) + rpo_alpha * (-pi_c / chosen_length)
// The second term is the chosen side's mean negative log-likelihood (TRL's `rpo_alpha`).
// `chosen_length` [P]: tokens of the chosen side.
PreferenceLoss SigmoidDpoLoss(const SideLogProbs& policy, const SideLogProbs& reference,
                              const at::Tensor& chosen_length, double beta, double rpo_alpha);

}  // namespace pivotal::dpo
