// Apache-2.0. Preference losses on log-probabilities, under TRL's names.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>
#include <vector>

namespace pivotal::dpo {

// What the policy is held against. kDpo: a reference model. The others have none: CPO (arXiv
// 2401.08417), SimPO (2405.14734), ORPO (2403.07691).
enum class PreferenceMethod { kDpo, kCpo, kSimpo, kOrpo };

// The function of the two log-ratios c = log pi(chosen)/ref(chosen) and r that is descended, with
// s = beta * (c - r) and label smoothing e (the share of pairs expected to be the wrong way round):
enum class LossType {
  kSigmoid,      // -(1-e) log sigmoid(s) - e log sigmoid(-s)   DPO, 2305.18290; conservative for e > 0
  kHinge,        // max(0, 1 - s)                               SLiC, 2305.10425
  kIpo,          // (c/|chosen| - r/|rejected| - 1/(2 beta))^2  IPO, 2310.12036, a mean over tokens
  kRobust,       // (-(1-e) log sigmoid(s) + e log sigmoid(-s)) / (1-2e)          2403.00409
  kExoPair,      // KL(sigmoid(s) || 1-e)                       2402.00856, e > 0
  kNcaPair,      // -log sigmoid(beta c) - (log sigmoid(-beta c) + log sigmoid(-beta r)) / 2, 2402.05369
  kBcoPair,      // -log sigmoid(beta c) - log sigmoid(-beta r) 2404.04656
  kSppoHard,     // (c - 1/(2 beta))^2 + (r + 1/(2 beta))^2     2405.00675
  kApoZero,      // 1 - sigmoid(beta c) + sigmoid(beta r)       2408.06266
  kApoDown,      // sigmoid(beta c) + 1 - sigmoid(s)
  kDiscopop,     // -log sigmoid(s) and exp(-s), mixed by sigmoid(s/tau)          2406.08414
  kSigmoidNorm,  // sigmoid loss of beta (c/|chosen| - r/|rejected|)              2411.15124
};

// "sigmoid", "hinge", ...
std::vector<std::string> LossTypeNames();
std::string_view LossTypeName(LossType type);
// Throw Error that lists the names.
LossType ParseLossType(const std::string& name);
PreferenceMethod ParsePreferenceMethod(const std::string& name);  // "dpo", "cpo", "simpo", "orpo"
std::string_view PreferenceMethodName(PreferenceMethod method);

struct LossOptions {
  PreferenceMethod method = PreferenceMethod::kDpo;
  LossType type = LossType::kSigmoid;  // kDpo: any; kCpo: sigmoid, hinge, ipo
  double beta = 0.1;
  double label_smoothing = 0.0;
  double rpo_alpha = 0.0;     // weight of -log pi(chosen) / |chosen|, added to any loss
  double cpo_alpha = 1.0;     // kCpo: weight of the mean -log pi over the chosen tokens of a step
  double simpo_gamma = 0.5;   // kSimpo: the margin that is aimed at
  double discopop_tau = 0.05;

  // Throws Error that names the field and its range.
  void Validate() const;
  bool UsesReference() const { return method == PreferenceMethod::kDpo; }
  // True for methods that compare means over tokens; TRL logs means as log-probabilities there.
  bool AveragesTokens() const;
  // True if, between sides of equal length, the loss reads the difference of their log-probabilities
  // and nothing else.
  bool ReadsDifferenceOnly() const;
};

// Of P pairs, [P] each: log-probabilities of each side, summed over its tokens (natural log), and
// their number. The reference is undefined where the method has none.
struct SideTerms {
  at::Tensor logps, reference, length;
};

struct PreferenceLoss {
  at::Tensor loss;              // [P]
  at::Tensor chosen_rewards;    // [P] beta * (policy - reference), detached
  at::Tensor rejected_rewards;  // [P]
};

// Without the negative log-likelihood that CPO and ORPO add: that is a mean over tokens of a step.
PreferenceLoss ComputeLoss(const LossOptions& options, const SideTerms& chosen,
                           const SideTerms& rejected);

}  // namespace pivotal::dpo
