// Apache-2.0.
#include "dpo/loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/log.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>
#include <tuple>

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
                                           {LossType::kSigmoidNorm, "sigmoid_norm"},
                                           {LossType::kAot, "aot"},
                                           {LossType::kAotUnpaired, "aot_unpaired"},
                                           {LossType::kSft, "sft"},
                                           {LossType::kApoZeroUnpaired, "apo_zero_unpaired"}});

constexpr auto kDivergences =
    data::MakeNameTable<FDivergence>("f-divergence", {{FDivergence::kReverseKl, "reverse_kl"},
                                                      {FDivergence::kForwardKl, "forward_kl"},
                                                      {FDivergence::kJs, "js_divergence"},
                                                      {FDivergence::kAlpha, "alpha_divergence"}});

constexpr auto kMethods =
    data::MakeNameTable<PreferenceMethod>("objective", {{PreferenceMethod::kDpo, "dpo"},
                                                        {PreferenceMethod::kCpo, "cpo"},
                                                        {PreferenceMethod::kSimpo, "simpo"},
                                                        {PreferenceMethod::kOrpo, "orpo"},
                                                        {PreferenceMethod::kKto, "kto"},
                                                        {PreferenceMethod::kPpo, "ppo"}});

// Returns -log sigmoid(score), with label smoothing: the expectation if the pair is the wrong way
// round with probability `smoothing`.
at::Tensor Smoothed(const at::Tensor& score, double smoothing) {
  const at::Tensor loss = -at::log_sigmoid(score);
  if (smoothing == 0) return loss;
  return loss * (1 - smoothing) - at::log_sigmoid(-score) * smoothing;
}

at::Tensor Sorted(const at::Tensor& values) { return std::get<0>(at::sort(values, 0)); }

// Returns whether the divergence leaves log-ratios as they are. An alpha so near to 1 counts as 1,
// as in TRL.
bool KeepsLogRatios(const LossOptions& o) {
  return o.divergence == FDivergence::kReverseKl ||
         (o.divergence == FDivergence::kAlpha && std::abs(o.f_alpha - 1) < 1e-6);
}

// Computes f'(exp(log_ratio)), as FDivergence defines it.
at::Tensor Score(const LossOptions& o, const at::Tensor& log_ratio) {
  constexpr double kLargest = 80;  // exp of it is finite in float32
  if (KeepsLogRatios(o)) return log_ratio;
  switch (o.divergence) {
    case FDivergence::kForwardKl: return -at::expm1((-log_ratio).clamp_max(kLargest));
    case FDivergence::kJs: return std::log(2.0) + at::log_sigmoid(log_ratio);
    default: break;
  }
  const double power = o.f_alpha - 1;
  return at::expm1((power * log_ratio).clamp_max(kLargest)) / power;
}

// Computes the loss `type` of the log-ratios c (chosen) and r (rejected), as LossType defines it.
// `chosen` and `rejected` have the log-probabilities that kAot sorts.
at::Tensor LogRatioLoss(LossType type, const LossOptions& o, const at::Tensor& c,
                        const at::Tensor& r, const SideTerms& chosen, const SideTerms& rejected) {
  const double beta = o.beta, e = o.label_smoothing;
  const auto score = [&] { return beta * (Score(o, c) - Score(o, r)); };
  const auto per_token = [&] {
    return Score(o, c) / chosen.length - Score(o, r) / rejected.length;
  };
  switch (type) {
    case LossType::kSigmoid: return Smoothed(score(), e);
    case LossType::kHinge: return at::relu(1 - score());
    case LossType::kIpo: return (per_token() - 1 / (2 * beta)).square();
    case LossType::kRobust: {
      const at::Tensor s = score();
      return (-(1 - e) * at::log_sigmoid(s) + e * at::log_sigmoid(-s)) / (1 - 2 * e);
    }
    case LossType::kExoPair: {
      const at::Tensor s = score();
      return at::sigmoid(s) * (at::log_sigmoid(s) - std::log1p(-e)) +
             at::sigmoid(-s) * (at::log_sigmoid(-s) - std::log(e));
    }
    case LossType::kNcaPair:
      return -at::log_sigmoid(beta * c) - 0.5 * at::log_sigmoid(-beta * c) -
             0.5 * at::log_sigmoid(-beta * r);
    case LossType::kBcoPair: return -at::log_sigmoid(beta * c) - at::log_sigmoid(-beta * r);
    case LossType::kSppoHard: return (c - 0.5 / beta).square() + (r + 0.5 / beta).square();
    case LossType::kApoZero: return 1 - at::sigmoid(beta * c) + at::sigmoid(beta * r);
    case LossType::kApoDown: return at::sigmoid(beta * c) + 1 - at::sigmoid(score());
    case LossType::kDiscopop: {
      const at::Tensor s = score(), mix = at::sigmoid(s / o.discopop_tau);
      return -at::log_sigmoid(s) * (1 - mix) + at::exp(-s) * mix;
    }
    case LossType::kAot:
      return Smoothed(beta * (Sorted(chosen.logps - rejected.logps) -
                              Sorted(chosen.reference - rejected.reference)),
                      e);
    case LossType::kAotUnpaired: return Smoothed(beta * (Sorted(c) - Sorted(r)), e);
    case LossType::kSft: return at::zeros_like(c);  // a mean over the tokens of a step
    case LossType::kApoZeroUnpaired: Fail("loss apo_zero_unpaired is not one of pairs");
    case LossType::kSigmoidNorm: break;
  }
  return Smoothed(beta * per_token(), e);
}

// Computes the weighted sum of `options.losses`.
at::Tensor LossSum(const LossOptions& options, const at::Tensor& c, const at::Tensor& r,
                   const SideTerms& chosen, const SideTerms& rejected) {
  at::Tensor sum;
  for (const auto& [type, weight] : options.losses) {
    at::Tensor loss = LogRatioLoss(type, options, c, r, chosen, rejected);
    if (weight != 1) loss = loss * weight;
    sum = sum.defined() ? sum + loss : loss;
  }
  return sum;
}

// Returns -log(1 - exp(mean)), which added to a mean log-probability makes the log odds.
at::Tensor LogOddsTerm(const at::Tensor& mean) { return -at::log(-at::expm1(mean)); }

}  // namespace

std::vector<std::string> LossTypeNames() { return kTypes.Names(); }
std::string_view LossTypeName(LossType type) { return kTypes.Name(type); }
LossType ParseLossType(const std::string& name) { return kTypes.Parse(name); }

std::vector<std::string> FDivergenceNames() { return kDivergences.Names(); }
std::string_view FDivergenceName(FDivergence divergence) { return kDivergences.Name(divergence); }
FDivergence ParseFDivergence(const std::string& name) { return kDivergences.Parse(name); }

std::string LossesText(const std::vector<WeightedLoss>& losses) {
  std::string text;
  for (const auto& [type, weight] : losses) {
    if (!text.empty()) text += ',';
    text += LossTypeName(type);
    if (weight != 1) text += fmt::format(":{}", weight);
  }
  return text;
}

std::vector<WeightedLoss> ParseLosses(const std::string& text) {
  std::vector<WeightedLoss> losses;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const std::size_t colon = std::min(part.find(':'), part.size());
    WeightedLoss& loss = losses.emplace_back();
    loss.type = ParseLossType(part.substr(0, colon));
    if (colon < part.size()) {
      const char* const last = part.data() + part.size();
      const auto read = std::from_chars(part.data() + colon + 1, last, loss.weight);
      if (read.ec != std::errc() || read.ptr != last)
        Fail("loss \"{}\": a number must follow the colon, e.g. {}:0.5", part,
             LossTypeName(loss.type));
    }
    begin = end + 1;
  }
  return losses;
}

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
    case PreferenceMethod::kDpo: loss = LossSum(options, c, r, chosen, rejected); break;
    case PreferenceMethod::kCpo: {  // IPO's c and r are already divided by the lengths
      const SideTerms one{{}, {}, c.new_ones({})};
      loss = LossSum(options, c, r, one, one);
      break;
    }
    case PreferenceMethod::kSimpo:
      loss = Smoothed(options.beta * (c - r) - options.simpo_gamma, options.label_smoothing);
      break;
    case PreferenceMethod::kOrpo:
      loss = -options.beta * at::log_sigmoid(c - r + LogOddsTerm(c) - LogOddsTerm(r));
      break;
    case PreferenceMethod::kKto:
    case PreferenceMethod::kPpo:
      Fail("objective {} is not one of pairs", PreferenceMethodName(options.method));
  }
  if (options.rpo_alpha != 0) loss = loss - options.rpo_alpha * chosen.logps / chosen.length;
  return {loss, options.beta * c.detach(), options.beta * r.detach()};
}

at::Tensor ComputeUnpairedLoss(const LossOptions& options, const at::Tensor& ratios,
                               const at::Tensor& good, const at::Tensor& kl) {
  const at::Tensor sign = 2 * good - 1;
  const at::Tensor value = at::sigmoid(options.beta * sign * (ratios - kl));
  return (options.desirable_weight * good + options.undesirable_weight * (1 - good)) * (1 - value);
}

TokenLoss ComputeTokenLoss(const LossOptions& options, const TokenTerms& terms) {
  const double low = 1 - options.clip_ratio, high = 1 + options.clip_ratio;
  const at::Tensor& advantages = terms.advantages;
  const at::Tensor ratio = at::exp(terms.logps - terms.old);
  TokenLoss result;
  result.loss = -at::minimum(ratio * advantages, ratio.clamp(low, high) * advantages);
  result.ratio = ratio.detach();
  const at::Tensor beyond = (advantages < 0).logical_and(result.ratio.lt(low)) +
                            (advantages > 0).logical_and(result.ratio.gt(high));
  result.clipped = beyond.to(ratio.scalar_type());
  if (options.kl_weight > 0) {
    const at::Tensor difference = terms.reference - terms.logps;
    const at::Tensor kl = at::expm1(difference) - difference;
    result.loss = result.loss + options.kl_weight * kl;
    result.kl = kl.detach();
  }
  return result;
}

}  // namespace pivotal::dpo

namespace pivotal {
namespace {

// Returns whether a loss reads s, the difference of two scores. An f-divergence leaves a term in
// the reward that cancels there alone.
bool ReadsScore(LossType type) {
  switch (type) {
    case LossType::kSigmoid:
    case LossType::kHinge:
    case LossType::kIpo:
    case LossType::kRobust:
    case LossType::kExoPair:
    case LossType::kDiscopop:
    case LossType::kSigmoidNorm: return true;
    default: return false;
  }
}

// Returns whether a loss has an e of label smoothing.
bool Smooths(LossType type) {
  switch (type) {
    case LossType::kSigmoid:
    case LossType::kRobust:
    case LossType::kExoPair:
    case LossType::kSigmoidNorm:
    case LossType::kAot:
    case LossType::kAotUnpaired: return true;
    default: return false;
  }
}

// Throws Error if the losses cannot be added up, or are none that the method has.
void ValidateLosses(const LossOptions& o) {
  if (o.losses.empty()) Fail("the list of losses is empty");
  for (const WeightedLoss& loss : o.losses) {
    if (!(loss.weight > 0 && std::isfinite(loss.weight)))
      Fail("the weight of loss {} must be above 0, got {}", dpo::LossTypeName(loss.type),
           loss.weight);
    if (std::ranges::count(o.losses, loss.type, &WeightedLoss::type) > 1)
      Fail("loss {} is given twice; add its weights up", dpo::LossTypeName(loss.type));
  }
  const LossType type = o.losses[0].type;
  const bool alone = o.losses == std::vector{WeightedLoss{type}};
  bool fits = alone && type == LossType::kSigmoid;
  switch (o.method) {
    case PreferenceMethod::kDpo: fits = !o.Has(LossType::kApoZeroUnpaired); break;
    case PreferenceMethod::kCpo:
      fits = fits || (alone && (type == LossType::kHinge || type == LossType::kIpo));
      break;
    case PreferenceMethod::kKto:
      fits = fits || (alone && type == LossType::kApoZeroUnpaired);
      break;
    default: break;
  }
  if (!fits)
    Fail("loss {} cannot be combined with objective {}", dpo::LossesText(o.losses),
         dpo::PreferenceMethodName(o.method));
}

void ValidateDivergence(const LossOptions& o) {
  if (o.divergence == FDivergence::kReverseKl) return;
  for (const auto& [type, weight] : o.losses) {
    if (!ReadsScore(type) && type != LossType::kSft)
      Fail("loss {} cannot be combined with f-divergence {}: it reads more than a difference",
           dpo::LossTypeName(type), dpo::FDivergenceName(o.divergence));
  }
}

void ValidateWpo(const LossOptions& o) {
  if (!o.wpo) return;
  for (const LossType type : {LossType::kAot, LossType::kAotUnpaired, LossType::kSft})
    if (o.Has(type))
      Fail("wpo weights pairs, and {} is not a loss of pairs", dpo::LossTypeName(type));
}

void ValidateTails(const LossOptions& o) {
  if (o.ld_alpha == 1) return;
  if (o.rpo_alpha > 0 || o.Has(LossType::kSft))
    Fail("ld alpha cannot be combined with {}, which would lose the end of the chosen side",
         o.rpo_alpha > 0 ? "rpo alpha" : "loss sft");
}

void ValidateRanges(const LossOptions& o) {
  const auto require = [](bool fits, std::string_view name, std::string_view range, double value) {
    if (!fits || !std::isfinite(value)) Fail("{} must be {}, got {}", name, range, value);
  };
  require(o.beta > 0, "beta", "above 0", o.beta);
  require(o.label_smoothing >= 0 && o.label_smoothing < 0.5, "label smoothing", "in [0, 0.5)",
          o.label_smoothing);
  require(o.discopop_tau > 0, "discopop tau", "above 0", o.discopop_tau);
  require(true, "f alpha", "a number", o.f_alpha);
  require(o.ld_alpha >= 0 && o.ld_alpha <= 1, "ld alpha", "in [0, 1]", o.ld_alpha);
  require(o.reference_mixup > 0 && o.reference_mixup <= 1, "reference mixup", "in (0, 1]",
          o.reference_mixup);
  require(o.clip_ratio > 0 && o.clip_ratio < 1, "clip ratio", "in (0, 1)", o.clip_ratio);
  const std::pair<std::string_view, double> factors[] = {
      {"rpo alpha", o.rpo_alpha},
      {"cpo alpha", o.cpo_alpha},
      {"simpo gamma", o.simpo_gamma},
      {"desirable weight", o.desirable_weight},
      {"undesirable weight", o.undesirable_weight},
      {"kl weight", o.kl_weight}};
  for (const auto& [name, value] : factors) require(value >= 0, name, "0 or larger", value);
  if (o.reference_sync_steps < 0)
    Fail("reference sync steps must be 0 (off) or larger, got {}", o.reference_sync_steps);
}

// An option that has another value than by default.
struct ChosenOption {
  std::string_view name;
  bool read;                // whether the loss of the other options reads it
  std::string_view reader;  // what reads it
};

std::vector<ChosenOption> ChosenOptions(const LossOptions& o) {
  const LossOptions usual;
  const auto is = [&](PreferenceMethod method) { return o.method == method; };
  const bool unpaired = is(PreferenceMethod::kKto) || is(PreferenceMethod::kPpo);
  const bool smooths =
      is(PreferenceMethod::kSimpo) ||
      ((is(PreferenceMethod::kDpo) || is(PreferenceMethod::kCpo)) &&
       std::ranges::any_of(o.losses, [](auto& loss) { return Smooths(loss.type); }));
  std::vector<ChosenOption> chosen;
  const auto add = [&](std::string_view name, bool changed, bool read, std::string_view reader) {
    if (changed) chosen.push_back({name, read, reader});
  };
  add("method", o.method != usual.method, true, "");
  add("loss", o.losses != usual.losses, true, "");
  add("beta", o.beta != usual.beta, !is(PreferenceMethod::kPpo),
      "other objectives (ppo has the kl weight)");
  add("label smoothing", o.label_smoothing != usual.label_smoothing, smooths,
      "objective simpo and the losses sigmoid, robust, exo_pair, sigmoid_norm, aot and "
      "aot_unpaired");
  add("rpo alpha", o.rpo_alpha != usual.rpo_alpha, !unpaired, "pairs");
  add("cpo alpha", o.cpo_alpha != usual.cpo_alpha, is(PreferenceMethod::kCpo), "objective cpo");
  add("simpo gamma", o.simpo_gamma != usual.simpo_gamma, is(PreferenceMethod::kSimpo),
      "objective simpo");
  add("discopop tau", o.discopop_tau != usual.discopop_tau, o.Has(LossType::kDiscopop),
      "loss discopop");
  add("f-divergence", o.divergence != usual.divergence, is(PreferenceMethod::kDpo),
      "objective dpo");
  add("f alpha", o.f_alpha != usual.f_alpha, o.divergence == FDivergence::kAlpha,
      "f-divergence alpha_divergence");
  add("wpo", o.wpo != usual.wpo, is(PreferenceMethod::kDpo), "objective dpo");
  add("ld alpha", o.ld_alpha != usual.ld_alpha, is(PreferenceMethod::kDpo), "objective dpo");
  add("reference sync steps", o.MovesReference(), o.UsesReference() && !is(PreferenceMethod::kPpo),
      "objectives dpo and kto");
  add("reference mixup", o.reference_mixup != usual.reference_mixup, o.MovesReference(),
      "a reference that follows, by reference sync steps");
  add("desirable weight", o.desirable_weight != usual.desirable_weight, is(PreferenceMethod::kKto),
      "objective kto");
  add("undesirable weight", o.undesirable_weight != usual.undesirable_weight,
      is(PreferenceMethod::kKto), "objective kto");
  add("clip ratio", o.clip_ratio != usual.clip_ratio, is(PreferenceMethod::kPpo), "objective ppo");
  add("kl weight", o.kl_weight != usual.kl_weight, is(PreferenceMethod::kPpo), "objective ppo");
  return chosen;
}

}  // namespace

void LossOptions::Validate() const {
  // The names of values that are none of their enums throw.
  dpo::PreferenceMethodName(method);
  dpo::FDivergenceName(divergence);
  for (const WeightedLoss& loss : losses) dpo::LossTypeName(loss.type);
  ValidateRanges(*this);
  ValidateLosses(*this);
  for (const ChosenOption& option : ChosenOptions(*this)) {
    if (option.read) continue;
    std::string where(dpo::PreferenceMethodName(method));
    if (method == PreferenceMethod::kDpo || method == PreferenceMethod::kCpo)
      where += " with loss " + dpo::LossesText(losses);
    Fail("{} would have no effect on {}, but on {}; leave it out", option.name, where,
         option.reader);
  }
  if (Has(LossType::kExoPair) && label_smoothing == 0)
    Fail("label smoothing must be above 0 for exo_pair, got 0");
  ValidateDivergence(*this);
  ValidateWpo(*this);
  ValidateTails(*this);
}

bool LossOptions::Has(LossType type) const {
  return std::ranges::any_of(losses, [&](auto& loss) { return loss.type == type; });
}

bool LossOptions::UsesKl() const {
  return method == PreferenceMethod::kKto && !Has(LossType::kApoZeroUnpaired);
}

bool LossOptions::AveragesTokens() const {
  return method == PreferenceMethod::kSimpo || method == PreferenceMethod::kOrpo ||
         (method == PreferenceMethod::kCpo && Has(LossType::kIpo));
}

bool LossOptions::ReadsDifferenceOnly() const {
  if (rpo_alpha > 0) return false;
  if (method == PreferenceMethod::kOrpo || method == PreferenceMethod::kKto ||
      method == PreferenceMethod::kPpo)
    return false;
  if (method == PreferenceMethod::kCpo) return cpo_alpha == 0;
  return dpo::KeepsLogRatios(*this) && std::ranges::all_of(losses, [](auto& loss) {
           return ReadsScore(loss.type) || loss.type == LossType::kAot;
         });
}

}  // namespace pivotal

std::string pivotal::dpo::FirstChosenOption(const LossOptions& options) {
  const auto chosen = ChosenOptions(options);
  return chosen.empty() ? "" : std::string(chosen.front().name);
}
