// Apache-2.0. Tests the counts by which searches are compared, by hand.
#include "bench/search_score.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace pivotal::bench {
namespace {

using testing::DoubleNear;

nlohmann::json Parsed(const SearchScore& score) {
  return nlohmann::json::parse("{" + score.Json() + "}");
}

PivotalToken Found(int32_t position, double low, double high, double probability) {
  PivotalToken token;
  token.position = position;
  token.low = low;
  token.high = high;
  token.probability = probability;
  return token;
}

TEST(SearchScore, CountsByHand) {
  // d is 0.3 at position 1, -0.18 at 2, -0.6 at 3.
  const std::vector<double> truth = {0.5, 0.8, 0.62, 0.02}, none(4, 0.0);
  ResponseTrace response;
  response.tokens = {1, 2, 3};
  response.pivotal = {Found(1, 0.1, 0.4, 0.9), Found(2, -0.1, 0.1, 0.35)};
  response.estimates = {{0, 0, 0, 0.6, 0.4, 0.7}, {1, 0, 0, 0.7, 0.5, 0.75}, {3, 0, 0, 0, 0, 0}};
  SearchScore score;
  score.BeginProblem();
  score.Add(response, truth, none);
  score.BeginProblem();
  score.AddTokens(1e5);
  score.AddPair(0.2);
  score.AddPair(0.1);
  score.AddPair(-0.1);
  const auto seen = Parsed(score);
  EXPECT_EQ(seen["problems"], 2);
  EXPECT_EQ(seen["searched"], 1);
  EXPECT_EQ(seen["strong"], 2.0);
  EXPECT_EQ(seen["recall"], 0.5);
  EXPECT_EQ(seen["false_share"], 0.0);
  EXPECT_EQ(seen["below"], 0.5);
  EXPECT_EQ(seen["expected_below"], 0.375);
  EXPECT_EQ(seen["found_per_million"], 10.0);
  EXPECT_EQ(seen["coverage_delta"], 0.5);
  EXPECT_THAT(seen["coverage_p"].get<double>(), DoubleNear(1 / 3.0, 1e-4));
  EXPECT_EQ(seen["coverage_p0"], 1.0);
  EXPECT_EQ(seen["error_p0"], 0.1);
  EXPECT_EQ(seen["inward_p0"], -0.1);  // p_0 is 1/2
  EXPECT_EQ(seen["mse_p"], 0.01);      // of positions 0 and 1
  EXPECT_TRUE(seen["coverage_alternatives"].is_null());
  EXPECT_EQ(seen["true_pairs_per_million"], 10.0);
  EXPECT_THAT(seen["pairs_below"].get<double>(), DoubleNear(2 / 3.0, 1e-4));
  EXPECT_THAT(seen["pairs_wrong"].get<double>(), DoubleNear(1 / 3.0, 1e-4));
  EXPECT_EQ(seen["calibration"][3], nlohmann::json({1, 0.35, 0.0}));
  EXPECT_EQ(seen["calibration"][9], nlohmann::json({1, 0.9, 1.0}));
}

// Problems, not tokens, are drawn: 40 tokens that agree within their problem are 4 draws.
TEST(SearchScore, TheIntervalOfRecallIsClusteredByProblem) {
  const std::vector<double> truth = {0.5, 0.9};
  SearchScore clustered, separate;
  for (int32_t problem = 0; problem < 4; ++problem) {
    clustered.BeginProblem();
    for (int32_t i = 0; i < 10; ++i) {
      separate.BeginProblem();
      std::vector<int32_t> reported;
      if (problem % 2 == 0) reported.push_back(1);
      clustered.AddReported(reported, nullptr, truth);
      separate.AddReported(reported, nullptr, truth);
    }
  }
  const auto wide = Parsed(clustered), narrow = Parsed(separate);
  EXPECT_EQ(wide["recall"], 0.5);
  EXPECT_EQ(wide["recall_low"], 0.0);  // all four draws are problems without a find: 1 in 16
  EXPECT_EQ(wide["recall_high"], 1.0);
  // 0.5 -+ 1.96 sqrt(0.25 / 40) for 40 independent problems
  EXPECT_THAT(narrow["recall_low"].get<double>(), DoubleNear(0.345, 0.03));
  EXPECT_THAT(narrow["recall_high"].get<double>(), DoubleNear(0.655, 0.03));
}

}  // namespace
}  // namespace pivotal::bench
