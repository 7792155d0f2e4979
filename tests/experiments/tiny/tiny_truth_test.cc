// Apache-2.0. Compares a search with the truth about the tiny model's responses, which was measured
// with 10,000 rollouts at each fork.
#include "tests/support/tiny_truth.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "experiments/settings/loading.h"
#include "model/checkpoint.h"
#include "pts/judging.h"

namespace pivotal::testing {
namespace {

const std::filesystem::path kTiny = PIVOTAL_SOURCE_DIR "/experiments/tiny";

constexpr double kRounding = 4e-5;  // error of the sum of 64 log-probabilities of six digits

TinyTruth Load() {
  return LoadTinyTruth(PIVOTAL_SOURCE_DIR "/tests/experiments/tiny/tiny_truth.jsonl");
}

TEST(TinyTruth, IsOfTheShippedModelAndAgreesWithItself) {
  const TinyTruth truth = Load();
  EXPECT_EQ(truth.weights_sha256, model::WeightsFingerprint(kTiny / "model"));
  ASSERT_EQ(truth.responses.size(), 20u);
  double square = 0;  // sum of squares of (mean of free rollouts - p_0) / standard error
  for (const TrueResponse& response : truth.responses) {
    TrueResponse again = response;
    DerivePath(again);
    ASSERT_EQ(response.delta.size(), response.tokens.size());
    for (std::size_t k = 0; k < response.tokens.size(); ++k) {
      EXPECT_NEAR(response.p[k], again.p[k], kRounding);
      EXPECT_NEAR(response.delta[k], again.delta[k], kRounding);
      EXPECT_NEAR(response.delta_error[k], again.delta_error[k], kRounding);
      EXPECT_NEAR(response.delta[k], response.p[k + 1] - response.p[k], kRounding);
      EXPECT_LT(response.delta_error[k], 0.01);
      if (-std::expm1(response.logprobs[k]) >= 0.1) {
        EXPECT_EQ(response.aside[k].samples, 10'000);
      }
    }
    const double p = response.p[0];
    const double error =
        std::hypot(response.p_error[0], std::sqrt(p * (1 - p) / response.free.samples));
    square += std::pow((response.free.Mean() - p) / error, 2);
  }
  EXPECT_LT(square, 45.3);  // 0.999 quantile of chi-square with 20 degrees of freedom
}

// Searches six responses. bench/search_vs_truth.cc measures recall and precision over all.
TEST(TinyTruth, AnchoredSearchFindsTheLargeJumpsAndNothingFlat) {
  TinyTruth truth = Load();
  truth.responses.resize(6);
  ModelSettings settings;
  settings.folder = kTiny / "model";
  const auto model = experiments::LoadModel(settings);
  const auto oracle = MakeOracle("hash");
  const auto queries =
      experiments::MakeQueries(LoadProblems(kTiny / "problems" / "train.jsonl"), model);
  model::RolloutEngine engine(model.phi(), {});  // uses another seed than the truth
  SearchOptions options;
  options.max_new_tokens = truth.max_new_tokens;
  const auto found = SearchGiven(GivenResponses(truth, queries), engine,
                                 MakeJudge(model.tokenizer(), *oracle), options);
  int32_t large = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const TrueResponse& response = truth.responses[i];
    std::set<int32_t> reported;
    for (const PivotalToken& token : found[i].pivotal) {
      reported.insert(token.position);
      EXPECT_GT(std::abs(response.delta[token.position - 1]), 0.1) << response.id;
    }
    for (int32_t k = 1; k <= std::ssize(response.tokens); ++k) {
      if (std::abs(response.delta[k - 1]) < 0.37) continue;
      ++large;
      EXPECT_TRUE(reported.contains(k)) << response.id << " token " << k;
    }
  }
  EXPECT_GE(large, 6);
  EXPECT_LT(engine.counters().decoded_tokens, 60'000);
}

}  // namespace
}  // namespace pivotal::testing
