// Apache-2.0.
#include "dpo/loss.h"

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>

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
  };
  ASSERT_EQ(std::size(cases), LossTypeNames().size());
  for (const Case& test : cases) {
    LossOptions options;
    options.type = test.type;
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
    options.type = type;
    options.beta = beta;
    options.simpo_gamma = 0.3;
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
    options.type = ParseLossType(name);
    if (options.type == LossType::kExoPair) options.label_smoothing = 0.1;
    const auto at = [&](double shift) {
      return Compute(options, {-1 + shift}, {-2 + shift}, {-1.5}, {-1.8}, {1}, {1})
          .loss[0]
          .item<double>();
    };
    EXPECT_EQ(std::abs(at(0) - at(0.7)) < 1e-9, options.ReadsDifferenceOnly()) << name;
  }
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
  refused([](auto& o) { o.type = LossType::kHinge, o.label_smoothing = 0.1; });
  refused([](auto& o) { o.type = LossType::kExoPair; });
  refused([](auto& o) { o.method = PreferenceMethod::kCpo, o.type = LossType::kNcaPair; });
  refused([](auto& o) { o.method = PreferenceMethod::kSimpo, o.type = LossType::kHinge; });
  EXPECT_THROW(ParseLossType("kto"), Error);
}

}  // namespace
}  // namespace pivotal::dpo
