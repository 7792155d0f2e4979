// Apache-2.0. What 10,000 rollouts a fork say of the tiny model's responses, and what search finds of it.
#include "tests/support/tiny_truth.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "experiments/run_config.h"
#include "model/checkpoint.h"

namespace pivotal::testing {
namespace {

const std::filesystem::path kTiny = PIVOTAL_SOURCE_DIR "/experiments/tiny";

constexpr double kRounding = 4e-5;  // of 64 log-probabilities to six digits, added up

TinyTruth Load() {
  return LoadTinyTruth(PIVOTAL_SOURCE_DIR "/tests/experiments/tiny_truth.jsonl");
}

TEST(TinyTruth, IsOfTheShippedModelAndAgreesWithItself) {
  const TinyTruth truth = Load();
  EXPECT_EQ(truth.weights_sha256, model::WeightsFingerprint(kTiny / "model"));
  ASSERT_EQ(truth.responses.size(), 20u);
  double square = 0;  // of (free rollouts - p_0) / standard error
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
    const double error = std::hypot(response.p_error[0], std::sqrt(p * (1 - p) / response.free.samples));
    square += std::pow((response.free.Mean() - p) / error, 2);
  }
  EXPECT_LT(square, 45.3);  // chi-square with 20 degrees of freedom: 0.999
}

// One query's search; bench/search_vs_truth.cc measures shares.
TEST(TinyTruth, AnchoredSearchFindsTheLargeJumpsAndNothingFlat) {
  TinyTruth truth = Load();
  truth.responses.resize(6);
  experiments::ModelSettings settings;
  settings.folder = kTiny / "model";
  const auto model = experiments::LoadModel(settings);
  const auto oracle = pts::MakeOracle("hash");
  const auto queries = experiments::MakeQueries(
      data::LoadProblems(kTiny / "problems" / "train.jsonl"), model);
  model::RolloutEngine engine(model.phi(), {});  // another seed than the truth's
  pts::SearchOptions options;
  options.max_new_tokens = truth.max_new_tokens;
  const auto found = SearchGiven(GivenResponses(truth, queries), engine,
                                 experiments::MakeJudge(model.tokenizer(), *oracle), options);
  int32_t large = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const TrueResponse& response = truth.responses[i];
    std::set<int32_t> reported;
    for (const data::PivotalToken& token : found[i].pivotal) {
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
