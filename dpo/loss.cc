// Apache-2.0.
#include "dpo/loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/log.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>

#include <cmath>

#include "data/base/error.h"
#include "data/base/names.h"

namespace pivotal::dpo {
namespace {

constexpr auto kTypes =
    data::MakeNameTable<LossType>("loss", {{LossType::kSigmoid, "sigmoid"},
                                           {LossType::kHinge, "hinge"},
                                           {LossType::kIpo, "ipo"},
                                           {LossType::kRobust, "robust"},
                                           {LossType::kExoPair, "exo_pair"},
                                           {LossType::kNcaPair, "nca_pair"},
                                           {LossType::kBcoPair, "bco_pair"},
                                           {LossType::kSppoHard, "sppo_hard"},
                                           {LossType::kApoZero, "apo_zero"},
                                           {LossType::kApoDown, "apo_down"},
                                           {LossType::kDiscopop, "discopop"},
                                           {LossType::kSigmoidNorm, "sigmoid_norm"}});

constexpr auto kMethods =
    data::MakeNameTable<PreferenceMethod>("objective", {{PreferenceMethod::kDpo, "dpo"},
                                                        {PreferenceMethod::kCpo, "cpo"},
                                                        {PreferenceMethod::kSimpo, "simpo"},
                                                        {PreferenceMethod::kOrpo, "orpo"}});

// Returns -log sigmoid(score), with label smoothing: the expectation if the pair is the wrong way
// round with probability `smoothing`.
at::Tensor Smoothed(const at::Tensor& score, double smoothing) {
  const at::Tensor loss = -at::log_sigmoid(score);
  if (smoothing == 0) return loss;
  return loss * (1 - smoothing) - at::log_sigmoid(-score) * smoothing;
}

// Computes the loss `o.type` of the log-ratios c (chosen) and r (rejected), as LossType defines it.
at::Tensor LogRatioLoss(const LossOptions& o, const at::Tensor& c, const at::Tensor& r,
                        const at::Tensor& chosen_length, const at::Tensor& rejected_length) {
  const double beta = o.beta, e = o.label_smoothing;
  const at::Tensor score = beta * (c - r);
  switch (o.type) {
    case LossType::kSigmoid: return Smoothed(score, e);
    case LossType::kHinge: return at::relu(1 - score);
    case LossType::kIpo: return (c / chosen_length - r / rejected_length - 1 / (2 * beta)).square();
    case LossType::kRobust:
      return (-(1 - e) * at::log_sigmoid(score) + e * at::log_sigmoid(-score)) / (1 - 2 * e);
    case LossType::kExoPair:
      return at::sigmoid(score) * (at::log_sigmoid(score) - std::log1p(-e)) +
             at::sigmoid(-score) * (at::log_sigmoid(-score) - std::log(e));
    case LossType::kNcaPair:
      return -at::log_sigmoid(beta * c) - 0.5 * at::log_sigmoid(-beta * c) -
             0.5 * at::log_sigmoid(-beta * r);
    case LossType::kBcoPair: return -at::log_sigmoid(beta * c) - at::log_sigmoid(-beta * r);
    case LossType::kSppoHard: return (c - 0.5 / beta).square() + (r + 0.5 / beta).square();
    case LossType::kApoZero: return 1 - at::sigmoid(beta * c) + at::sigmoid(beta * r);
    case LossType::kApoDown: return at::sigmoid(beta * c) + 1 - at::sigmoid(score);
    case LossType::kDiscopop: {
      const at::Tensor mix = at::sigmoid(score / o.discopop_tau);
      return -at::log_sigmoid(score) * (1 - mix) + at::exp(-score) * mix;
    }
    case LossType::kSigmoidNorm: break;
  }
  return Smoothed(beta * (c / chosen_length - r / rejected_length), e);
}

// Returns -log(1 - exp(mean)), which added to a mean log-probability makes the log odds.
at::Tensor LogOddsTerm(const at::Tensor& mean) { return -at::log(-at::expm1(mean)); }

}  // namespace

std::vector<std::string> LossTypeNames() { return kTypes.Names(); }
std::string_view LossTypeName(LossType type) { return kTypes.Name(type); }
LossType ParseLossType(const std::string& name) { return kTypes.Parse(name); }

std::string_view PreferenceMethodName(PreferenceMethod method) { return kMethods.Name(method); }
PreferenceMethod ParsePreferenceMethod(const std::string& name) { return kMethods.Parse(name); }

PreferenceLoss ComputeLoss(const LossOptions& options, const SideTerms& chosen,
                           const SideTerms& rejected) {
  at::Tensor c = chosen.logps, r = rejected.logps, loss;
  if (options.UsesReference()) {
    c = c - chosen.reference;
    r = r - rejected.reference;
  } else if (options.AveragesTokens()) {
    c = c / chosen.length;
    r = r / rejected.length;
  }
  switch (options.method) {
    case PreferenceMethod::kDpo:
      loss = LogRatioLoss(options, c, r, chosen.length, rejected.length);
      break;
    case PreferenceMethod::kCpo: {  // IPO's c and r are already divided by the lengths
      const at::Tensor one = c.new_ones({});
      loss = LogRatioLoss(options, c, r, one, one);
      break;
    }
    case PreferenceMethod::kSimpo:
      loss = Smoothed(options.beta * (c - r) - options.simpo_gamma, options.label_smoothing);
      break;
    case PreferenceMethod::kOrpo:
      loss = -options.beta * at::log_sigmoid(c - r + LogOddsTerm(c) - LogOddsTerm(r));
      break;
  }
  if (options.rpo_alpha != 0) loss = loss - options.rpo_alpha * chosen.logps / chosen.length;
  return {loss, options.beta * c.detach(), options.beta * r.detach()};
}

}  // namespace pivotal::dpo

namespace pivotal {

void LossOptions::Validate() const {
  if (!(beta > 0 && std::isfinite(beta))) Fail("beta must be above 0, got {}", beta);
  if (!(label_smoothing >= 0 && label_smoothing < 0.5))
    Fail("label smoothing must be in [0, 0.5), got {}", label_smoothing);
  if (!(rpo_alpha >= 0 && std::isfinite(rpo_alpha)))
    Fail("rpo alpha must be 0 or larger, got {}", rpo_alpha);
  if (!(cpo_alpha >= 0 && std::isfinite(cpo_alpha)))
    Fail("cpo alpha must be 0 or larger, got {}", cpo_alpha);
  if (!(simpo_gamma >= 0 && std::isfinite(simpo_gamma)))
    Fail("simpo gamma must be 0 or larger, got {}", simpo_gamma);
  if (!(discopop_tau > 0)) Fail("discopop tau must be above 0, got {}", discopop_tau);
  if (type == LossType::kExoPair && label_smoothing == 0)
    Fail("label smoothing must be above 0 for exo_pair, got 0");
  const bool smooths = type == LossType::kSigmoid || type == LossType::kRobust ||
                       type == LossType::kExoPair || type == LossType::kSigmoidNorm;
  if (label_smoothing > 0 && (!smooths || method == PreferenceMethod::kOrpo))
    Fail("label smoothing has no effect on {}; leave it out",
         method == PreferenceMethod::kOrpo ? "orpo" : dpo::LossTypeName(type));
  const bool any_type = method == PreferenceMethod::kDpo;
  const bool cpo_type =
      type == LossType::kSigmoid || type == LossType::kHinge || type == LossType::kIpo;
  if (!any_type && type != LossType::kSigmoid && !(method == PreferenceMethod::kCpo && cpo_type))
    Fail("loss {} cannot be combined with objective {}", dpo::LossTypeName(type),
         dpo::PreferenceMethodName(method));
}

bool LossOptions::AveragesTokens() const {
  return method == PreferenceMethod::kSimpo || method == PreferenceMethod::kOrpo ||
         (method == PreferenceMethod::kCpo && type == LossType::kIpo);
}

bool LossOptions::ReadsDifferenceOnly() const {
  if (rpo_alpha > 0) return false;
  if (method == PreferenceMethod::kOrpo) return false;
  if (method == PreferenceMethod::kCpo) return cpo_alpha == 0;
  switch (type) {
    case LossType::kNcaPair:
    case LossType::kBcoPair:
    case LossType::kSppoHard:
    case LossType::kApoZero:
    case LossType::kApoDown: return false;
    default: return true;
  }
}

}  // namespace pivotal
