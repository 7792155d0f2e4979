// Apache-2.0.
#include "dpo/loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/log.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <fmt/ranges.h>

#include <array>
#include <cmath>
#include <utility>

#include "data/error.h"
#include "dpo/require.h"

namespace pivotal::dpo {
namespace {

constexpr std::array<std::pair<LossType, std::string_view>, 12> kTypes = {{
    {LossType::kSigmoid, "sigmoid"},     {LossType::kHinge, "hinge"},
    {LossType::kIpo, "ipo"},             {LossType::kRobust, "robust"},
    {LossType::kExoPair, "exo_pair"},    {LossType::kNcaPair, "nca_pair"},
    {LossType::kBcoPair, "bco_pair"},    {LossType::kSppoHard, "sppo_hard"},
    {LossType::kApoZero, "apo_zero"},    {LossType::kApoDown, "apo_down"},
    {LossType::kDiscopop, "discopop"},   {LossType::kSigmoidNorm, "sigmoid_norm"},
}};

constexpr std::array<std::pair<PreferenceMethod, std::string_view>, 4> kMethods = {{
    {PreferenceMethod::kDpo, "dpo"},
    {PreferenceMethod::kCpo, "cpo"},
    {PreferenceMethod::kSimpo, "simpo"},
    {PreferenceMethod::kOrpo, "orpo"},
}};

at::Tensor Smoothed(const at::Tensor& score, double smoothing) {
  const at::Tensor right = -at::log_sigmoid(score);
  if (smoothing == 0) return right;
  return right * (1 - smoothing) - at::log_sigmoid(-score) * smoothing;
}

// `c` and `r` as in LossType, their lengths beside them.
at::Tensor OfLogRatios(const LossOptions& o, const at::Tensor& c, const at::Tensor& r,
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

// -log(1 - exp(mean)): what log odds have beside the mean log-probability.
at::Tensor LogOddsRest(const at::Tensor& mean) { return -at::log(-at::expm1(mean)); }

}  // namespace

std::vector<std::string> LossTypeNames() {
  std::vector<std::string> names;
  for (const auto& [type, name] : kTypes) names.emplace_back(name);
  return names;
}

std::string_view LossTypeName(LossType type) {
  return kTypes[static_cast<std::size_t>(type)].second;
}

LossType ParseLossType(const std::string& name) {
  for (const auto& [type, known] : kTypes)
    if (known == name) return type;
  Fail("loss {}: expected one of {}", name, fmt::join(LossTypeNames(), ", "));
}

std::string_view PreferenceMethodName(PreferenceMethod method) {
  return kMethods[static_cast<std::size_t>(method)].second;
}

PreferenceMethod ParsePreferenceMethod(const std::string& name) {
  for (const auto& [method, known] : kMethods)
    if (known == name) return method;
  Fail("objective {}: expected dpo, cpo, simpo or orpo", name);
}

void LossOptions::Validate() const {
  Require(beta > 0 && std::isfinite(beta), "beta", "above 0", beta);
  Require(label_smoothing >= 0 && label_smoothing < 0.5, "label smoothing", "in [0, 0.5)",
          label_smoothing);
  Require(rpo_alpha >= 0 && std::isfinite(rpo_alpha), "rpo alpha", "0 or larger", rpo_alpha);
  Require(cpo_alpha >= 0 && std::isfinite(cpo_alpha), "cpo alpha", "0 or larger", cpo_alpha);
  Require(simpo_gamma >= 0 && std::isfinite(simpo_gamma), "simpo gamma", "0 or larger", simpo_gamma);
  Require(discopop_tau > 0, "discopop tau", "above 0", discopop_tau);
  if (type == LossType::kExoPair)
    Require(label_smoothing > 0, "label smoothing", "above 0 for exo_pair", label_smoothing);
  const bool smooths = type == LossType::kSigmoid || type == LossType::kRobust ||
                       type == LossType::kExoPair || type == LossType::kSigmoidNorm;
  if (label_smoothing > 0 && (!smooths || method == PreferenceMethod::kOrpo))
    Fail("label smoothing has no effect on {}; leave it out",
         method == PreferenceMethod::kOrpo ? "orpo" : LossTypeName(type));
  const bool any_type = method == PreferenceMethod::kDpo;
  const bool of_cpo = type == LossType::kSigmoid || type == LossType::kHinge || type == LossType::kIpo;
  if (!any_type && type != LossType::kSigmoid && !(method == PreferenceMethod::kCpo && of_cpo))
    Fail("loss {} does not go with objective {}", LossTypeName(type), PreferenceMethodName(method));
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
      loss = OfLogRatios(options, c, r, chosen.length, rejected.length);
      break;
    case PreferenceMethod::kCpo: {  // the lengths are divided out above
      const at::Tensor one = c.new_ones({});
      loss = OfLogRatios(options, c, r, one, one);
      break;
    }
    case PreferenceMethod::kSimpo:
      loss = Smoothed(options.beta * (c - r) - options.simpo_gamma, options.label_smoothing);
      break;
    case PreferenceMethod::kOrpo:
      loss = -options.beta * at::log_sigmoid(c - r + LogOddsRest(c) - LogOddsRest(r));
      break;
  }
  if (options.rpo_alpha != 0) loss = loss - options.rpo_alpha * chosen.logps / chosen.length;
  return {loss, options.beta * c.detach(), options.beta * r.detach()};
}

}  // namespace pivotal::dpo
