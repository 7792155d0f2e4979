// Apache-2.0. Preference losses: functions of the log-probabilities of chosen and rejected sides.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>
#include <vector>

#include "pivotal/training.h"

namespace pivotal::dpo {

// Return all names ("sigmoid", "hinge", ...), the name of a value, and the value of a name. Parse
// functions throw Error that lists the names.
std::vector<std::string> LossTypeNames();
std::string_view LossTypeName(LossType type);
LossType ParseLossType(const std::string& name);
PreferenceMethod ParsePreferenceMethod(const std::string& name);  // "dpo", "cpo", "simpo", "orpo"
std::string_view PreferenceMethodName(PreferenceMethod method);

// Holds the terms of one side (chosen or rejected) of P pairs.
struct SideTerms {
  at::Tensor logps;      // [P] log-probability under the policy (natural log), summed over tokens
  at::Tensor reference;  // [P] the same under the reference model; undefined if there is none
  at::Tensor length;     // [P] number of tokens
};

struct PreferenceLoss {
  at::Tensor loss;              // [P]
  at::Tensor chosen_rewards;    // [P] beta * (policy - reference), detached
  at::Tensor rejected_rewards;  // [P]
};

// Computes the loss of each pair. The negative log-likelihood that CPO and ORPO add is left out,
// because it is a mean over the tokens of a step.
PreferenceLoss ComputeLoss(const LossOptions& options, const SideTerms& chosen,
                           const SideTerms& rejected);

}  // namespace pivotal::dpo
