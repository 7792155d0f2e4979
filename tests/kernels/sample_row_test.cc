// Apache-2.0.
#include "kernels/sample_row.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/philox.h"
#include "pivotal/error.h"

namespace pivotal::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> RandomLogits(int vocab, uint64_t seed) {
  RandomStream random(seed, 0);
  std::vector<float> logits(vocab);
  for (float& x : logits) x = static_cast<float>(8 * random.Uniform() - 4);
  return logits;
}

Draw SampleRow(std::vector<float> logits, const SamplingParams& params, double uniform) {
  RowSampler sampler;
  sampler.Take(logits, params);
  return sampler.Sample(uniform);
}

// Returns the probabilities that the sampler gives to the tokens.
std::vector<double> Policy(std::vector<float> logits, const SamplingParams& params) {
  RowSampler sampler;
  sampler.Take(logits, params);
  std::vector<double> probabilities;
  for (float weight : logits) probabilities.push_back(weight / sampler.sum());
  return probabilities;
}

// Returns the policy by the definitions of the filters, in double precision.
std::vector<double> ReferencePolicy(const std::vector<float>& logits,
                                    const SamplingParams& params) {
  const std::size_t vocab = logits.size();
  std::vector<double> p(vocab);
  for (std::size_t i = 0; i < vocab; ++i) p[i] = std::exp(logits[i] / params.temperature);
  const auto normalise = [&] {
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& x : p) x /= sum;
  };
  const auto rank =
      [&](std::size_t i) {  // number of tokens ahead of token i, the most probable first
        return std::count_if(p.begin(), p.end(), [&](const double& x) {
          return x > p[i] || (x == p[i] && &x < &p[i]);
        });
      };
  normalise();
  if (params.top_k > 0) {
    std::vector<double> kept = p;
    for (std::size_t i = 0; i < vocab; ++i)
      if (rank(i) >= params.top_k) kept[i] = 0;
    p = kept;
    normalise();
  }
  if (params.top_p < 1) {
    std::vector<double> kept = p;
    for (std::size_t i = 0; i < vocab; ++i) {
      double ahead = 0;
      for (std::size_t j = 0; j < vocab; ++j)
        if (p[j] > p[i] || (p[j] == p[i] && j < i)) ahead += p[j];
      if (ahead >= params.top_p) kept[i] = 0;
    }
    p = kept;
    normalise();
  }
  const double top = *std::max_element(p.begin(), p.end());
  for (double& x : p)
    if (x < params.min_p * top) x = 0;
  normalise();
  return p;
}

class SampleRowFilters : public ::testing::TestWithParam<SamplingParams> {};

TEST_P(SampleRowFilters, PolicyMatchesReference) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto logits = RandomLogits(97, seed);
    const auto policy = Policy(logits, GetParam());
    const auto truth = ReferencePolicy(logits, GetParam());
    for (std::size_t i = 0; i < truth.size(); ++i)
      ASSERT_NEAR(policy[i], truth[i], 1e-6) << "seed " << seed << " token " << i;
  }
}

// Compares 200,000 samples with the reference policy by Pearson's chi-squared statistic, and their
// log-probabilities with its own.
TEST_P(SampleRowFilters, DrawsFollowThePolicy) {
  constexpr int kDraws = 200000, kVocab = 23;
  const auto logits = RandomLogits(kVocab, 5);
  const auto truth = ReferencePolicy(logits, GetParam());
  std::vector<int> counts(kVocab);
  for (uint32_t i = 0; i < kDraws; ++i) {
    const Draw draw = SampleRow(logits, GetParam(), Uniform(3, 9, i, 0));
    ASSERT_NEAR(draw.logprob, std::log(truth[draw.token]), 1e-5);
    ++counts[draw.token];
  }
  double chi2 = 0;
  int degrees = -1;
  for (int token = 0; token < kVocab; ++token) {
    if (truth[token] == 0) {
      EXPECT_EQ(counts[token], 0) << "token " << token << " is filtered out";
      continue;
    }
    const double expected = kDraws * truth[token];
    chi2 += std::pow(counts[token] - expected, 2) / expected;
    ++degrees;
  }
  // Mean d, variance 2 d: five standard deviations, plus room for small d.
  EXPECT_LT(chi2, degrees + 5 * std::sqrt(2.0 * degrees) + 10);
}

INSTANTIATE_TEST_SUITE_P(
    Policies, SampleRowFilters,
    ::testing::Values(SamplingParams{}, SamplingParams{.temperature = 0.5},
                      SamplingParams{.temperature = 2}, SamplingParams{.top_k = 5},
                      SamplingParams{.top_p = 0.8}, SamplingParams{.min_p = 0.1},
                      SamplingParams{.temperature = 0.7, .top_k = 12, .top_p = 0.9, .min_p = 0.05},
                      SamplingParams{.top_k = 1000}));

TEST(SampleRow, TemperatureZeroTakesTheFirstMaximum) {
  const std::vector<float> logits = {0, 3, 1, 3};
  const Draw draw = SampleRow(logits, {.temperature = 0}, 0.99);
  EXPECT_EQ(draw.token, 1);
  EXPECT_EQ(draw.logprob, 0);
}

TEST(SampleRow, TiesAtTheCutKeepTheLowerIds) {
  EXPECT_EQ(Policy({1, 1, 1, 1}, {.top_k = 2}), (std::vector<double>{0.5, 0.5, 0, 0}));
}

TEST(SampleRow, NeverDrawsImpossibleTokens) {
  const std::vector<float> logits = {-kInf, 0, -kInf};
  for (double u : {0.0, 0.5, std::nextafter(1.0, 0.0)})
    EXPECT_EQ(SampleRow(logits, {}, u).token, 1);
}

TEST(SampleRow, RefusesBadRowsAndParameters) {
  EXPECT_THROW(SampleRow({NAN, 0}, {}, 0), Error);
  EXPECT_THROW(SampleRow({0, NAN}, {}, 0), Error);
  EXPECT_THROW(SampleRow({kInf, 0}, {}, 0), Error);
  EXPECT_THROW(SampleRow({-kInf, -kInf}, {}, 0), Error);
  EXPECT_THROW(SamplingParams{.temperature = -1}.Validate(), Error);
  EXPECT_THROW(SamplingParams{.temperature = NAN}.Validate(), Error);
  EXPECT_THROW(SamplingParams{.top_k = -1}.Validate(), Error);
  EXPECT_THROW(SamplingParams{.top_p = 0}.Validate(), Error);
  EXPECT_THROW(SamplingParams{.min_p = 1}.Validate(), Error);
  EXPECT_NO_THROW(SamplingParams{}.Validate());
}

}  // namespace
}  // namespace pivotal::kernels
