// Apache-2.0. Losses: functions of the log-probabilities of chosen and rejected sides, of single
// completions, or of tokens.
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
PreferenceMethod ParsePreferenceMethod(const std::string& name);  // "dpo", "cpo", "ppo", ...
std::string_view PreferenceMethodName(PreferenceMethod method);
std::vector<std::string> FDivergenceNames();  // "reverse_kl", "forward_kl", ...
std::string_view FDivergenceName(FDivergence divergence);
FDivergence ParseFDivergence(const std::string& name);

// Return the text of a weighted sum, and the sum of a text: "sigmoid" or "sigmoid:0.8,sft". A
// weight that is left out is 1. ParseLosses throws Error that names the faulty part.
std::string LossesText(const std::vector<WeightedLoss>& losses);
std::vector<WeightedLoss> ParseLosses(const std::string& text);

// Returns the name of an option that has another value than by default, or "" if none has: for what
// is trained without such a loss.
std::string FirstChosenOption(const LossOptions& options);

// Holds the terms of one side (chosen or rejected) of P pairs.
struct SideTerms {
  at::Tensor logps;      // [P] log-probability under the policy (natural log), summed over tokens
  at::Tensor reference;  // [P] the same under the reference model; undefined if there is none
  at::Tensor length;     // [P] number of tokens
};

struct PreferenceLoss {
  // [P]. Where a loss sorts (kAot, kAotUnpaired), a number belongs to no single pair; their sum is
  // that of the pairs all the same.
  at::Tensor loss;
  at::Tensor chosen_rewards;    // [P] beta * (policy - reference), detached
  at::Tensor rejected_rewards;  // [P]
};

// Computes the loss of each pair. What is a mean over the tokens of a step is left out: the
// negative log-likelihood that CPO and ORPO add, and LossType::kSft.
PreferenceLoss ComputeLoss(const LossOptions& options, const SideTerms& chosen,
                           const SideTerms& rejected);

// Computes the loss of kKto for each of N completions: [N]. `ratios` are log pi/ref; `good` has 1
// for desirable ones, else 0; `kl` is the estimate of KL(pi || ref), a scalar without gradient.
at::Tensor ComputeUnpairedLoss(const LossOptions& options, const at::Tensor& ratios,
                               const at::Tensor& good, const at::Tensor& kl);

// Holds what a policy gradient reads of M tokens.
struct TokenTerms {
  at::Tensor logps;       // [M] log-probabilities under the policy (natural log)
  at::Tensor old;         // [M] the same under the policy that sampled the tokens
  at::Tensor reference;   // [M] the same under the reference model; undefined without a KL term
  at::Tensor advantages;  // [M]
};

struct TokenLoss {
  at::Tensor loss;     // [M], with gradients
  at::Tensor ratio;    // [M] pi / old, detached
  at::Tensor clipped;  // [M] 1 where clipping leaves no gradient of the advantage, else 0
  at::Tensor kl;       // [M] estimate of KL(pi || ref), detached; undefined without a KL term
};

// Computes the loss of kPpo for each token:
//
//   -min(r A, clamp(r, 1 - clip_ratio, 1 + clip_ratio) A) + kl_weight * (exp(d) - d - 1)
//
// with r = pi / old and d = log ref - log pi.
TokenLoss ComputeTokenLoss(const LossOptions& options, const TokenTerms& terms);

}  // namespace pivotal::dpo
