// Apache-2.0.
#include "dpo/loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "data/base/error.h"

namespace pivotal::dpo {
namespace {

at::Tensor Row(std::vector<double> values) {
  return at::tensor(values, at::TensorOptions(at::kDouble));
}

// Computes the formula of arXiv 2305.18290, eq. 7, in float64, plus the RPO term.
double Textbook(double pc, double pr, double rc, double rr, double beta, double alpha,
                double length) {
  const double margin = beta * ((pc - rc) - (pr - rr));
  return -std::log(1 / (1 + std::exp(-margin))) - alpha * pc / length;
}

PreferenceLoss Compute(const LossOptions& options, std::vector<double> pc, std::vector<double> pr,
                       std::vector<double> rc, std::vector<double> rr, std::vector<double> cl,
                       std::vector<double> rl) {
  return ComputeLoss(options, {Row(pc), Row(rc), Row(cl)}, {Row(pr), Row(rr), Row(rl)});
}

TEST(ComputeLoss, SigmoidMatchesTheTextbook) {
  const std::vector<double> pc = {-1.5, -0.2, -9}, pr = {-2, -0.1, -3}, rc = {-1, -0.7, -8},
                            rr = {-2.5, -0.9, -4}, length = {1, 2, 7};
  for (double beta : {0.05, 0.1, 1.0}) {
    for (double alpha : {0.0, 0.3}) {
      LossOptions options;
      options.beta = beta;
      options.rpo_alpha = alpha;
      const auto result = Compute(options, pc, pr, rc, rr, length, length);
      for (int i = 0; i < 3; ++i) {
        EXPECT_NEAR(result.loss[i].item<double>(),
                    Textbook(pc[i], pr[i], rc[i], rr[i], beta, alpha, length[i]), 1e-12);
        EXPECT_NEAR(result.chosen_rewards[i].item<double>(), beta * (pc[i] - rc[i]), 1e-12);
        EXPECT_NEAR(result.rejected_rewards[i].item<double>(), beta * (pr[i] - rr[i]), 1e-12);
      }
    }
  }
}

// Compares each loss type with its paper's formula, for one pair with log-ratios c = 0.9 and r =
// -0.6 over 3 and 2 tokens, at beta 0.5: s = 0.75.
TEST(ComputeLoss, EveryTypeIsItsFormula) {
  const double c = 0.9, r = -0.6, beta = 0.5, s = 0.75, e = 0.1;
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const auto nls = [&](double x) { return -std::log(sigmoid(x)); };
  const double mix = sigmoid(s / 0.05), norm = beta * (c / 3 - r / 2), q = sigmoid(s);
  struct Case {
    LossType type;
    double smoothing, want;
  };
  const Case cases[] = {
      {LossType::kSigmoid, e, 0.9 * nls(s) + 0.1 * nls(-s)},
      {LossType::kHinge, 0, 0.25},
      {LossType::kIpo, 0, std::pow(c / 3 - r / 2 - 1, 2)},
      {LossType::kRobust, e, (0.9 * nls(s) - 0.1 * nls(-s)) / 0.8},
      {LossType::kExoPair, e, q * std::log(q / 0.9) + (1 - q) * std::log((1 - q) / 0.1)},
      {LossType::kNcaPair, 0, nls(0.45) + 0.5 * nls(-0.45) + 0.5 * nls(0.3)},
      {LossType::kBcoPair, 0, nls(0.45) + nls(0.3)},
      {LossType::kSppoHard, 0, std::pow(c - 1, 2) + std::pow(r + 1, 2)},
      {LossType::kApoZero, 0, 1 - sigmoid(0.45) + sigmoid(-0.3)},
      {LossType::kApoDown, 0, sigmoid(0.45) + 1 - q},
      {LossType::kDiscopop, 0, nls(s) * (1 - mix) + std::exp(-s) * mix},
      {LossType::kSigmoidNorm, e, 0.9 * nls(norm) + 0.1 * nls(-norm)},
      {LossType::kAot, e, 0.9 * nls(s) + 0.1 * nls(-s)},
      {LossType::kAotUnpaired, e, 0.9 * nls(s) + 0.1 * nls(-s)},
      {LossType::kSft, 0, 0},  // the objective adds it
      {LossType::kApoZeroUnpaired, 0, 0},
  };
  ASSERT_EQ(std::size(cases), LossTypeNames().size());
  for (const Case& test : cases) {
    if (test.type == LossType::kApoZeroUnpaired) continue;  // is for single completions
    LossOptions options;
    options.losses = {{test.type}};
    options.beta = beta;
    options.label_smoothing = test.smoothing;
    options.Validate();
    const auto result = Compute(options, {c - 4}, {r - 5}, {-4}, {-5}, {3}, {2});
    EXPECT_NEAR(result.loss[0].item<double>(), test.want, 1e-9) << LossTypeName(test.type);
    EXPECT_EQ(ParseLossType(std::string(LossTypeName(test.type))), test.type);
  }
}

TEST(ComputeLoss, MethodsWithoutReference) {
  const double pc = -1.2, pr = -2.4, beta = 0.5;
  const auto loss = [&](PreferenceMethod method, LossType type) {
    LossOptions options;
    options.method = method;
    options.losses = {{type}};
    options.beta = beta;
    if (method == PreferenceMethod::kSimpo) options.simpo_gamma = 0.3;
    options.Validate();
    return ComputeLoss(options, {Row({pc}), {}, Row({3})}, {Row({pr}), {}, Row({2})})
        .loss[0]
        .item<double>();
  };
  const auto nls = [](double x) { return std::log1p(std::exp(-x)); };
  EXPECT_NEAR(loss(PreferenceMethod::kCpo, LossType::kSigmoid), nls(0.6), 1e-9);
  EXPECT_NEAR(loss(PreferenceMethod::kCpo, LossType::kHinge), 0.4, 1e-9);
  EXPECT_NEAR(loss(PreferenceMethod::kCpo, LossType::kIpo), std::pow(0.8 - 1, 2), 1e-9);
  EXPECT_NEAR(loss(PreferenceMethod::kSimpo, LossType::kSigmoid), nls(0.4 - 0.3), 1e-9);
  const auto odds = [](double mean) { return std::exp(mean) / (1 - std::exp(mean)); };
  EXPECT_NEAR(loss(PreferenceMethod::kOrpo, LossType::kSigmoid),
              beta * nls(std::log(odds(-0.4) / odds(-1.2))), 1e-9);
}

// Shifts both sides' log-probabilities by a constant, as a normaliser does.
TEST(ComputeLoss, ReadsDifferenceOnlyWhereItSays) {
  for (const std::string& name : LossTypeNames()) {
    LossOptions options;
    options.losses = ParseLosses(name);
    if (options.Has(LossType::kSft) || options.Has(LossType::kApoZeroUnpaired)) continue;
    if (options.Has(LossType::kExoPair)) options.label_smoothing = 0.1;
    // The second pair's c is above that of the first one and its r below, so that losses that sort
    // each side compare sides of different pairs.
    const auto at = [&](double shift) {
      return Compute(options, {-1 + shift, -1}, {-2 + shift, -9}, {-1.5, -3}, {-1.8, -2}, {1, 1},
                     {1, 1})
          .loss.sum()
          .item<double>();
    };
    EXPECT_EQ(std::abs(at(0) - at(0.7)) < 1e-9, options.ReadsDifferenceOnly()) << name;
    if (name != "sigmoid") continue;
    options.losses = ParseLosses("sigmoid,bco_pair:0.1");
    EXPECT_FALSE(options.ReadsDifferenceOnly());
    EXPECT_GT(std::abs(at(0) - at(0.7)), 1e-4);
    options.losses = ParseLosses("sigmoid,ipo:0.1");
    EXPECT_TRUE(options.ReadsDifferenceOnly());
    EXPECT_LT(std::abs(at(0) - at(0.7)), 1e-9);
    options.losses = ParseLosses("sigmoid,sft");
    EXPECT_FALSE(options.ReadsDifferenceOnly());
    options.losses = ParseLosses("sigmoid");
    options.divergence = FDivergence::kJs;
    EXPECT_FALSE(options.ReadsDifferenceOnly());
    EXPECT_GT(std::abs(at(0) - at(0.7)), 1e-4);
    options.divergence = FDivergence::kAlpha;
    options.f_alpha = 1;
    EXPECT_TRUE(options.ReadsDifferenceOnly());
    EXPECT_LT(std::abs(at(0) - at(0.7)), 1e-9);
  }
}

// The formulas of arXiv 2406.05882 with vectors that are sorted here by hand.
TEST(ComputeLoss, AotComparesSortedNumbers) {
  const std::vector<double> pc = {-1, -5, -2}, pr = {-4, -3, -9}, rc = {-2, -4, -3},
                            rr = {-2, -6, -3.5}, length = {1, 1, 1};
  // pc - pr = 3, -2, 7 and rc - rr = 0, 2, 0.5; pc - rc = 1, -1, 1 and pr - rr = -2, 3, -5.5.
  const double paired[] = {-2 - 0, 3 - 0.5, 7 - 2}, unpaired[] = {-1 + 5.5, 1 + 2, 1 - 3};
  const auto nls = [](double x) { return std::log1p(std::exp(-x)); };
  for (double e : {0.0, 0.2}) {
    const auto sum = [&](const double(&deltas)[3]) {
      double total = 0;
      for (double d : deltas) total += (1 - e) * nls(0.5 * d) + e * nls(-0.5 * d);
      return total;
    };
    LossOptions options;
    options.beta = 0.5;
    options.label_smoothing = e;
    options.losses = ParseLosses("aot");
    EXPECT_NEAR(Compute(options, pc, pr, rc, rr, length, length).loss.sum().item<double>(),
                sum(paired), 1e-12);
    options.losses = ParseLosses("aot_unpaired");
    EXPECT_NEAR(Compute(options, pc, pr, rc, rr, length, length).loss.sum().item<double>(),
                sum(unpaired), 1e-12);
  }
}

TEST(ComputeLoss, AMixIsTheWeightedSum) {
  LossOptions options;
  options.beta = 0.5;
  const auto loss = [&](const std::string& losses) {
    options.losses = ParseLosses(losses);
    options.Validate();
    return Compute(options, {-3.1, -1}, {-5.6, -2}, {-4, -1.5}, {-5, -1.8}, {3, 1}, {2, 2}).loss;
  };
  const at::Tensor want =
      0.8 * loss("sigmoid") + 0.25 * loss("bco_pair") + loss("ipo") + 3 * loss("aot");
  const at::Tensor got = loss("sigmoid:0.8,bco_pair:0.25,ipo,aot:3");
  EXPECT_LT((got - want).abs().max().item<double>(), 1e-12);
  EXPECT_TRUE(loss("sigmoid:0.8,sft:2").equal(loss("sigmoid:0.8") + 0));
}

// f' of each divergence of arXiv 2309.16240 in u = pi/ref, by its textbook form.
TEST(ComputeLoss, DivergencesReplaceTheLogRatios) {
  const double c = 0.9, r = -0.6, beta = 0.5;
  const double u[] = {std::exp(c), std::exp(r)};
  const auto nls = [](double x) { return std::log1p(std::exp(-x)); };
  const auto expect = [&](FDivergence divergence, double alpha, auto f) {
    LossOptions options;
    options.divergence = divergence;
    options.f_alpha = alpha;
    options.beta = beta;
    const double fc = f(u[0]), fr = f(u[1]);
    const std::pair<const char*, double> wants[] = {
        {"sigmoid", nls(beta * (fc - fr))},
        {"hinge", std::max(0.0, 1 - beta * (fc - fr))},
        {"ipo", std::pow(fc / 3 - fr / 2 - 1, 2)},
        {"sigmoid_norm", nls(beta * (fc / 3 - fr / 2))}};
    for (const auto& [name, want] : wants) {
      options.losses = ParseLosses(name);
      options.Validate();
      const auto result = Compute(options, {c - 4}, {r - 5}, {-4}, {-5}, {3}, {2});
      EXPECT_NEAR(result.loss[0].item<double>(), want, 1e-9)
          << name << " " << FDivergenceName(divergence) << " " << alpha;
      EXPECT_NEAR(result.chosen_rewards[0].item<double>(), beta * c, 1e-12);
    }
  };
  expect(FDivergence::kReverseKl, 0.5, [](double t) { return std::log(t); });
  expect(FDivergence::kForwardKl, 0.5, [](double t) { return 1 - 1 / t; });
  expect(FDivergence::kJs, 0.5, [](double t) { return std::log(2 * t / (1 + t)); });
  for (double alpha : {-1.0, 0.0, 0.5, 2.0})
    expect(FDivergence::kAlpha, alpha,
           [&](double t) { return (std::pow(t, alpha - 1) - 1) / (alpha - 1); });
  expect(FDivergence::kAlpha, 1.0, [](double t) { return std::log(t); });
}

// A ratio of e^-200 would give infinity.
TEST(ComputeLoss, DivergencesStayFinite) {
  for (const auto& name : FDivergenceNames()) {
    LossOptions options;
    options.divergence = ParseFDivergence(name);
    const at::Tensor loss =
        ComputeLoss(options,
                    {Row({-200}).to(at::kFloat), Row({0}).to(at::kFloat), Row({1}).to(at::kFloat)},
                    {Row({0}).to(at::kFloat), Row({-200}).to(at::kFloat), Row({1}).to(at::kFloat)})
            .loss;
    EXPECT_TRUE(std::isfinite(loss[0].item<float>())) << name;
  }
}

TEST(Losses, AreReadFromTheirText) {
  using Sum = std::vector<WeightedLoss>;
  EXPECT_EQ(ParseLosses("ipo"), (Sum{{LossType::kIpo, 1}}));
  const Sum mix = {{LossType::kSigmoid, 0.8}, {LossType::kBcoPair, 1}, {LossType::kSft, 1e-3}};
  EXPECT_EQ(ParseLosses("sigmoid:0.8,bco_pair,sft:0.001"), mix);
  EXPECT_EQ(ParseLosses(LossesText(mix)), mix);
  EXPECT_EQ(LossesText({{}}), "sigmoid");
  for (const char* text : {"", ",", "sigmoid,", "sigmoid:", "sigmoid:x", "sigmoid:1x", "sigmoids",
                           "sigmoid:1:2", "sigmoid bco_pair"})
    EXPECT_THROW(ParseLosses(text), Error) << text;
}

TEST(ComputeLoss, SigmoidIsFiniteForHugeMargins) {
  LossOptions options;
  options.beta = 1;
  const auto result = Compute(options, {-2000}, {0}, {0}, {-2000}, {1}, {1});
  EXPECT_NEAR(result.loss[0].item<double>(), 4000, 1e-9);
}

TEST(LossOptions, RefusesWhatHasNoEffectOrNoMeaning) {
  const auto refused = [](auto change) {
    LossOptions options;
    change(options);
    EXPECT_THROW(options.Validate(), Error);
  };
  refused([](auto& o) { o.beta = 0; });
  refused([](auto& o) { o.label_smoothing = 0.5; });
  refused([](auto& o) { o.losses = {}; });
  refused([](auto& o) { o.losses = ParseLosses("sigmoid:0"); });
  refused([](auto& o) { o.losses = ParseLosses("sigmoid:-1,ipo:2"); });
  refused([](auto& o) { o.losses = ParseLosses("sigmoid:inf"); });
  refused([](auto& o) { o.losses = ParseLosses("sigmoid,ipo,sigmoid:2"); });
  refused([](auto& o) { o.losses = ParseLosses("hinge"), o.label_smoothing = 0.1; });
  refused([](auto& o) { o.losses = ParseLosses("exo_pair"); });
  refused([](auto& o) { o.losses = ParseLosses("sigmoid,exo_pair"); });
  refused([](auto& o) { o.method = PreferenceMethod::kCpo, o.losses = ParseLosses("nca_pair"); });
  refused(
      [](auto& o) { o.method = PreferenceMethod::kCpo, o.losses = ParseLosses("sigmoid,ipo"); });
  refused([](auto& o) { o.method = PreferenceMethod::kSimpo, o.losses = ParseLosses("hinge"); });
  refused([](auto& o) { o.method = PreferenceMethod::kOrpo, o.losses = ParseLosses("sigmoid:2"); });
  refused([](auto& o) { o.divergence = FDivergence::kJs, o.losses = ParseLosses("sigmoid,aot"); });
  refused([](auto& o) { o.divergence = FDivergence::kJs, o.method = PreferenceMethod::kSimpo; });
  refused([](auto& o) { o.f_alpha = NAN; });
  refused([](auto& o) { o.ld_alpha = 1.1; });
  refused([](auto& o) { o.ld_alpha = 0.5, o.rpo_alpha = 0.1; });
  refused([](auto& o) { o.ld_alpha = 0.5, o.losses = ParseLosses("sigmoid,sft"); });
  refused([](auto& o) { o.ld_alpha = 0.5, o.method = PreferenceMethod::kCpo; });
  refused([](auto& o) { o.reference_sync_steps = -1; });
  refused([](auto& o) { o.reference_mixup = 0; });
  refused([](auto& o) { o.reference_mixup = 1.1; });
  refused([](auto& o) { o.reference_sync_steps = 9, o.method = PreferenceMethod::kSimpo; });
  refused([](auto& o) { o.wpo = true, o.losses = ParseLosses("aot"); });
  refused([](auto& o) { o.wpo = true, o.losses = ParseLosses("sigmoid,sft"); });
  refused([](auto& o) { o.wpo = true, o.method = PreferenceMethod::kSimpo; });
  refused([](auto& o) { o.losses = ParseLosses("apo_zero_unpaired"); });
  refused([](auto& o) { o.losses = ParseLosses("sigmoid,apo_zero_unpaired"); });
  const auto kto = [&](auto change) {
    refused([&](auto& o) { o.method = PreferenceMethod::kKto, change(o); });
  };
  kto([](auto& o) { o.losses = ParseLosses("ipo"); });
  kto([](auto& o) { o.losses = ParseLosses("sigmoid,apo_zero_unpaired"); });
  kto([](auto& o) { o.label_smoothing = 0.1; });
  kto([](auto& o) { o.rpo_alpha = 0.1; });
  kto([](auto& o) { o.wpo = true; });
  kto([](auto& o) { o.divergence = FDivergence::kJs; });
  kto([](auto& o) { o.desirable_weight = -1; });
  kto([](auto& o) { o.undesirable_weight = NAN; });
  // These options are read by nothing that is chosen.
  refused([](auto& o) { o.cpo_alpha = 0.5; });
  refused([](auto& o) { o.simpo_gamma = 1; });
  refused([](auto& o) { o.discopop_tau = 0.1; });
  refused([](auto& o) { o.f_alpha = 0.7; });
  refused([](auto& o) { o.reference_mixup = 0.5; });
  refused([](auto& o) { o.desirable_weight = 2; });
  refused([](auto& o) { o.method = PreferenceMethod::kCpo, o.undesirable_weight = 2; });
  refused([](auto& o) { o.method = PreferenceMethod::kSimpo, o.cpo_alpha = 0.5; });
  kto([](auto& o) { o.clip_ratio = 0.1; });
  EXPECT_THROW(ParseLossType("kto"), Error);
}

}  // namespace
}  // namespace pivotal::dpo
