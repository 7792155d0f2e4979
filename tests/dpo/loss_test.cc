// Apache-2.0.
#include "dpo/loss.h"

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>

namespace pivotal::dpo {
namespace {

at::Tensor Row(std::vector<double> values) {
  return at::tensor(values, at::TensorOptions(at::kDouble));
}

// The formula of arXiv 2305.18290, eq. 7, in plain doubles.
double Textbook(double pc, double pr, double rc, double rr, double beta, double alpha, double length) {
  const double margin = beta * ((pc - rc) - (pr - rr));
  return -std::log(1 / (1 + std::exp(-margin))) - alpha * pc / length;
}

TEST(SigmoidDpoLoss, MatchesTheTextbook) {
  const std::vector<double> pc = {-1.5, -0.2, -9}, pr = {-2, -0.1, -3}, rc = {-1, -0.7, -8},
                            rr = {-2.5, -0.9, -4}, length = {1, 2, 7};
  for (double beta : {0.05, 0.1, 1.0}) {
    for (double alpha : {0.0, 0.3}) {
      const auto result =
          SigmoidDpoLoss({Row(pc), Row(pr)}, {Row(rc), Row(rr)}, Row(length), beta, alpha);
      for (int i = 0; i < 3; ++i) {
        EXPECT_NEAR(result.loss[i].item<double>(),
                    Textbook(pc[i], pr[i], rc[i], rr[i], beta, alpha, length[i]), 1e-12);
        EXPECT_NEAR(result.chosen_rewards[i].item<double>(), beta * (pc[i] - rc[i]), 1e-12);
        EXPECT_NEAR(result.rejected_rewards[i].item<double>(), beta * (pr[i] - rr[i]), 1e-12);
      }
    }
  }
}

TEST(SigmoidDpoLoss, IsFiniteForHugeMargins) {
  const auto result = SigmoidDpoLoss({Row({-2000}), Row({0})}, {Row({0}), Row({-2000})}, Row({1}), 1, 0);
  EXPECT_NEAR(result.loss[0].item<double>(), 4000, 1e-9);
}

}  // namespace
}  // namespace pivotal::dpo
